//! Role embedded: a whole cluster in this process, for each job, on threads beside `main()`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flott_config::options;
use flott_jobmanager::{
    Dispatcher, DispatcherHandle, DispatcherSettings, EmbeddedDriver, WorkerFactory,
};
use flott_model::{JobGraph, JobId, JobStatus, SnapshotKind};
use flott_protocol::message::JobBundle;
use flott_protocol::program::{
    Collected, JobAccumulator, JobEnded, JobStarted, Snapshot, program_message,
};
use flott_protocol::rpc::Secret;
use flott_runtime::plan::Plan;
use flott_runtime::worker::Worker;
use tokio::runtime::Handle;

use super::job::{Access, Job, Leftovers};
use super::line::Line;
use super::{Launch, engine};
use crate::error::Error;

/// How long one look for collected records waits for some.
const COLLECTED_PATIENCE: Duration = Duration::from_secs(60);

/// Starts the job; its cluster lives on threads of its own until the job has ended.
pub(super) fn start_job(
    launch: &Launch,
    plan: Plan,
    leftovers: Leftovers,
) -> Result<Arc<Job>, Error> {
    let shared = Arc::new(EmbeddedJob::default());
    let (accepted, acceptance) = channel();
    let cluster = Cluster {
        settings: settings(launch),
        slots: slots_per_container(launch, &plan.graph),
        plan,
        line: launch.line().cloned(),
        // Also if something panics, somebody waits for the end.
        end: End(Arc::clone(&shared)),
        accepted,
    };
    let thread = std::thread::Builder::new().name("flott-job".to_owned());
    let spawned = thread.spawn(move || cluster.live());
    spawned.map_err(|source| Error::Io {
        doing: "starting the engine's threads",
        source,
    })?;
    let gone = |_| Error::Refused("the embedded cluster did not start".to_owned());
    let id = acceptance.recv().map_err(gone)??;
    Ok(Job::new(id, false, shared, Some(leftovers), false))
}

/// A job on threads of this process.
#[derive(Default)]
struct EmbeddedJob {
    // Std mutexes: held to look, or to wait for news.
    /// Its cluster, while that lives.
    running: Mutex<Option<(DispatcherHandle, JobId, Handle)>>,
    end: Mutex<Option<Result<JobEnded, String>>>,
    news: Condvar,
    /// The program wants it to end.
    cancelled: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmbeddedJob {
    /// Has the cluster do something; `None` if it is gone.
    fn ask<F>(&self, question: impl FnOnce(DispatcherHandle, JobId) -> F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let (dispatcher, job, threads) = lock(&self.running).clone()?;
        let question = question(dispatcher, job);
        let (answer, answered) = channel();
        threads.spawn(async move {
            // Who asked waits.
            let _ = answer.send(question.await);
        });
        // Its threads end with the job.
        answered.recv().ok()
    }
}

/// Sets the end of a job that nobody else has set.
struct End(Arc<EmbeddedJob>);

impl End {
    fn conclude(&self, end: Result<JobEnded, String>) {
        lock(&self.0.end).get_or_insert(end);
        self.0.news.notify_all();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.0.running).take();
        self.conclude(Err("the embedded cluster lost the job".to_owned()));
    }
}

impl Access for EmbeddedJob {
    fn wait(&self) -> Result<JobEnded, Error> {
        let mut end = lock(&self.end);
        loop {
            match &*end {
                Some(Ok(ended)) => return Ok(ended.clone()),
                Some(Err(why)) => return Err(Error::Refused(why.clone())),
                None => end = self.news.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn ended(&self) -> Option<JobEnded> {
        lock(&self.end).clone()?.ok()
    }

    fn status(&self) -> Result<JobStatus, Error> {
        let status = self.ask(async |dispatcher, job| dispatcher.job(job).map(|job| job.status));
        match status.flatten() {
            Some(status) => Ok(status),
            None => Ok(super::job::status_of(&self.wait()?)),
        }
    }

    fn cancel(&self) -> Result<(), Error> {
        self.cancelled.store(true, Ordering::SeqCst);
        // One that is gone has ended.
        self.ask(async |dispatcher: DispatcherHandle, job| dispatcher.cancel(job).await);
        Ok(())
    }

    fn accumulators(&self) -> Result<Vec<JobAccumulator>, Error> {
        let all =
            self.ask(async |dispatcher: DispatcherHandle, job| dispatcher.accumulators(job).await);
        match all {
            Some(all) => Ok(all.into_iter().map(Into::into).collect()),
            None => Ok(self.wait()?.accumulators),
        }
    }

    fn snapshot(&self, wish: Snapshot) -> Result<String, Error> {
        let Some(kind) = SnapshotKind::from_number(wish.kind) else {
            return Err(Error::Unanswered("there is no such savepoint".to_owned()));
        };
        let directory = Some(wish.directory).filter(|directory| !directory.is_empty());
        let taken = self.ask(move |dispatcher, job| async move {
            let taken = dispatcher.snapshot(job, kind, directory, wish.cancel);
            taken.await
        });
        match taken.flatten() {
            Some(Ok(taken)) => Ok(taken.path),
            Some(Err(failure)) => Err(Error::Unanswered(failure.message)),
            None => Err(Error::Unanswered("the job has ended".to_owned())),
        }
    }

    fn collected(&self, from: u64) -> Result<Collected, Error> {
        loop {
            let found = self.ask(move |dispatcher, job| async move {
                dispatcher.collected(job, from, COLLECTED_PATIENCE).await
            });
            match found.flatten() {
                Some(found) if found == Collected::default() => (),
                Some(found) => return Ok(found),
                None => {
                    let over = true;
                    return Ok(Collected {
                        over,
                        ..Collected::default()
                    });
                }
            }
        }
    }
}

/// What the thread of a job works with.
struct Cluster {
    settings: DispatcherSettings,
    slots: u32,
    plan: Plan,
    line: Option<Arc<Line>>,
    end: End,
    accepted: Sender<Result<JobId, Error>>,
}

impl Cluster {
    fn live(self) {
        let Self {
            settings,
            slots,
            plan,
            line,
            end,
            accepted,
        } = self;
        let (told, refused) = (line.clone(), accepted.clone());
        let ran = engine::on_threads(|| async {
            let (dispatcher, job) = start(settings, slots, plan).await?;
            *lock(&end.0.running) = Some((dispatcher.clone(), job, Handle::current()));
            if let Some(line) = told {
                let detached = false;
                let job = job.to_string();
                line.tell(program_message::Kind::Started(JobStarted { job, detached }))?;
            }
            // Whoever submitted it waits for this.
            let _ = accepted.send(Ok(job));
            let snapshot = dispatcher.wait(job).await;
            dispatcher.shutdown().await;
            Ok(snapshot.map(|snapshot| snapshot.to_ended()))
        });
        // Its files and threads go with it.
        lock(&end.0.running).take();
        match ran.and_then(|ran| ran) {
            Ok(Some(mut ended)) => {
                let wanted = end.0.cancelled.load(Ordering::SeqCst);
                ended.as_wanted = wanted && ended.status == JobStatus::Canceled.number();
                if let Some(line) = line {
                    // A launcher that is gone has ended this process.
                    let _ = line.tell(program_message::Kind::Ended(ended.clone()));
                }
                end.conclude(Ok(ended));
            }
            Ok(None) => (),
            Err(error) => {
                // Nobody listens if it was accepted.
                let _ = refused.send(Err(error));
            }
        }
    }
}

/// Starts a cluster and submits the job.
async fn start(
    settings: DispatcherSettings,
    slots: u32,
    plan: Plan,
) -> Result<(DispatcherHandle, JobId), Error> {
    let plan = Arc::new(plan);
    let graph = plan.graph.clone();
    // Several containers share the cores: as on a cluster, each has a thread for each of its slots.
    let alone = slots >= slots_needed(&graph);
    let factory: WorkerFactory = Arc::new(move |mut spec, messages, commands| {
        spec.threads = if alone {
            cores()
        } else {
            spec.threads.min(cores())
        };
        let worker = Worker {
            spec,
            plan: Arc::clone(&plan),
            messages,
            commands,
        };
        tokio::spawn(async move {
            if let Err(error) = Box::pin(worker.run()).await {
                tracing::debug!("embedded worker: {error}");
            }
        });
    });
    let driver = EmbeddedDriver::new(slots, factory);
    let driver = match machine_memory() {
        Some(bytes) => driver.with_memory(bytes),
        None => driver,
    };
    let dispatcher = Dispatcher::start(settings, Box::new(driver));
    let job = dispatcher
        .submit(graph, JobBundle::default())
        .await
        .map_err(|error| Error::Refused(error.to_string()))?;
    Ok((dispatcher, job))
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// Memory of this machine in bytes, if it says so: more cannot be asked for.
fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

fn settings(launch: &Launch) -> DispatcherSettings {
    let cluster_id = format!("embedded-{}-{:x}", std::process::id(), start_nanos());
    DispatcherSettings {
        hadoop: launch.hadoop().clone(),
        user: launch.user().to_owned(),
        ..DispatcherSettings::new(cluster_id, Secret::new(&[]), launch.configuration().clone())
    }
}

/// One container with all slots, unless its number of slots was set: then as many as it takes.
fn slots_per_container(launch: &Launch, graph: &JobGraph) -> u32 {
    let option = &options::TASKMANAGER_NUMBER_OF_TASK_SLOTS;
    match launch.configuration().text(option.key()) {
        Some(_) => launch.configuration().get(option),
        None => slots_needed(graph),
    }
}

fn start_nanos() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos())
}

fn slots_needed(graph: &JobGraph) -> u32 {
    let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
    for vertex in &graph.vertices {
        let slots = groups.entry(&vertex.slot_sharing_group).or_default();
        *slots = (*slots).max(vertex.parallelism);
    }
    groups.values().sum::<u32>().max(1)
}

#[cfg(test)]
mod tests;
