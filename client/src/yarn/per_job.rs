//! Per-job: `main()` runs here, each of its jobs in an application of its own. Jobs run side by side, and `main()` asks about
//! them while they do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use flott_hadoop::yarn::ApplicationId;
use flott_hadoop::yarn::rest::ApplicationState;
use flott_model::{JobId, JobStatus, SnapshotKind};
use flott_protocol::environment::Role;
use flott_protocol::program::{
    Answer, Ask, Collected, JobEnded, JobStarted, Snapshot, What, launcher_message,
};
use futures::future::{FutureExt as _, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::created::Phase;
use super::deployer::Work;
use super::resource_manager::job_manager_address;
use super::run::Run;
use super::watch::{Watch, status_of};
use crate::jobs::JobManager;
use crate::program::{Connection, Program, Request, Submitted};
use crate::report::Report;
use crate::target::ProgramCall;

/// How often to look whether a JobManager can be asked.
const WAITING_INTERVAL: Duration = Duration::from_millis(200);

/// What one program wants.
struct Conversation<'a> {
    run: &'a Run,
    report: Report,
    // Held to look something up, never across an await.
    jobs: RefCell<BTreeMap<String, PerJob>>,
}

/// A job of the program.
#[derive(Clone)]
struct PerJob {
    application: ApplicationId,
    ended: Option<JobEnded>,
}

/// Where a job is.
enum Place {
    /// Its JobManager cannot be asked (yet).
    Waiting,
    At(JobManager),
    /// Its application has ended.
    Over(JobStatus),
}

impl Run {
    /// `main()` runs here, each of its jobs in an application of its own.
    pub(super) async fn per_job(&self) -> anyhow::Result<()> {
        let hello = self.settings.hello();
        let ProgramCall { path, args } = &self.call;
        let mut program = Program::start(path, args, Role::Submit, hello, &self.console)?;
        self.console
            .progress("Waiting for main() to build its job", "");
        let conversation = Conversation {
            run: self,
            report: Report::default(),
            jobs: RefCell::default(),
        };
        let mut under_way = FuturesUnordered::<LocalBoxFuture<'_, anyhow::Result<()>>>::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = under_way.next() => if let Err(error) = done {
                    // Without an answer: what main() says to it would only repeat it.
                    program.stop().await;
                    return Err(error);
                },
                request = program.next() => match request? {
                    Some(Request::Execute(submitted, connection)) => {
                        under_way.push(conversation.execute(*submitted, connection).boxed_local());
                    }
                    Some(Request::Ask(ask, connection)) => {
                        under_way.push(conversation.ask(ask, connection).map(Ok).boxed_local());
                    }
                    Some(Request::Started(_) | Request::Ended(_)) => (),
                    None => break,
                },
            }
        }
        let ended = program.ended().await?;
        if ended.failure().is_some() {
            conversation.cancel_all().await;
        }
        // Of jobs that main() did not wait for.
        while let Some(done) = under_way.next().await {
            done?;
        }
        drop(under_way);
        self.console.end_progress();
        self.tidy().await;
        conversation.report.conclude(Some(&ended))
    }
}

impl Conversation<'_> {
    /// One `execute()`, to the end of its job if the program is attached to it.
    async fn execute(&self, submitted: Submitted, connection: Connection) -> anyhow::Result<()> {
        let (run, report) = (self.run, &self.report);
        let attached = run.attached || submitted.collects;
        let graph = submitted.graph;
        graph.validate()?;
        let index = graph.execute_index;
        let work = Work::Job(Box::new(graph));
        let id = run.deployer.deploy(work, attached, &run.console).await?;
        let job = JobId::derive(&id.to_string(), index).to_string();
        let started = JobStarted {
            job: job.clone(),
            detached: !attached,
        };
        report.started(&started, &run.console);
        let known = PerJob {
            application: id,
            ended: None,
        };
        self.jobs.borrow_mut().insert(job.clone(), known);
        let mut watch = Watch::job(&run.deployer.rm, &run.console, id, &job);
        if attached {
            let kind = launcher_message::Kind::Started(started);
            connection.answer(kind).await;
            watch.until_running(report).await?;
            run.note_phase(&watch, id);
            watch.until_end(report).await?;
            run.deployer.created.set(id, Phase::Ended);
            if let Some(ended) = watch.result(&job) {
                self.note_end(&ended);
                let kind = launcher_message::Kind::Ended(ended);
                connection.answer(kind).await;
            }
            return Ok(());
        }
        watch.until_running(report).await?;
        run.note_phase(&watch, id);
        let kind = if watch.is_running() {
            run.console.end_progress();
            run.console
                .note(&format!("The job is RUNNING. {}", run.how_to_follow(id)));
            launcher_message::Kind::Started(started)
        } else {
            let reason = "the job ended before it was RUNNING".to_owned();
            launcher_message::Kind::Refused(reason)
        };
        connection.answer(kind).await;
        Ok(())
    }

    fn note_end(&self, ended: &JobEnded) {
        if let Some(job) = self.jobs.borrow_mut().get_mut(&ended.job) {
            job.ended = Some(ended.clone());
        }
    }

    /// `main()` failed: nobody waits for the results of its jobs any more.
    async fn cancel_all(&self) {
        let jobs = self.jobs.borrow().clone();
        for (job, known) in jobs {
            if self.run.attached && known.ended.is_none() {
                let answer = self.cancel(&job, known.application).await;
                if let Err(error) = answer {
                    let console = &self.run.console;
                    console.note(&format!("warning: job {job} was not cancelled: {error:#}"));
                }
            }
        }
    }

    async fn ask(&self, ask: Ask, connection: Connection) {
        let known = self.jobs.borrow().get(&ask.job).cloned();
        let answer = match known {
            Some(known) => self.answer(&ask, known).await,
            None => Err(anyhow::anyhow!("{} is no job of this program", ask.job)),
        };
        let answer = answer.unwrap_or_else(|error| Answer::failed(ask.id, format!("{error:#}")));
        connection
            .answer(launcher_message::Kind::Answer(answer))
            .await;
    }

    async fn answer(&self, ask: &Ask, known: PerJob) -> anyhow::Result<Answer> {
        let mut answer = Answer {
            id: ask.id,
            ..Answer::default()
        };
        let id = known.application;
        match What::try_from(ask.what)? {
            What::Status => {
                let status = match known.ended {
                    Some(ended) => ended.status,
                    None => self.status(&ask.job, id).await?.number(),
                };
                answer.status = status;
            }
            What::Cancel => {
                self.report.unwanted(&ask.job);
                self.cancel(&ask.job, id).await?;
            }
            What::Accumulators => {
                answer.accumulators = match (known.ended, self.place(id).await?) {
                    (Some(ended), _) => ended.accumulators,
                    (None, Place::At(manager)) => manager.accumulators(&ask.job).await?,
                    (None, _) => Vec::new(),
                };
            }
            What::Snapshot => {
                let wish = ask.snapshot.clone().unwrap_or_default();
                answer.path = self.snapshot(&ask.job, id, &wish).await?;
            }
            What::Collected => {
                answer.collected = Some(self.collected(&ask.job, id, ask.from).await?);
            }
        }
        Ok(answer)
    }

    async fn place(&self, id: ApplicationId) -> anyhow::Result<Place> {
        let rm = &self.run.deployer.rm;
        let Some(application) = rm.report(id).await? else {
            return Ok(Place::Waiting);
        };
        if application.state.is_terminal() {
            return Ok(Place::Over(status_of(&application)));
        }
        Ok(match job_manager_address(&application) {
            Some(address) if application.state == ApplicationState::Running => {
                Place::At(JobManager::at(rm.http(), address))
            }
            _ => Place::Waiting,
        })
    }

    async fn status(&self, job: &str, id: ApplicationId) -> anyhow::Result<JobStatus> {
        let manager = match self.place(id).await? {
            Place::Waiting => return Ok(JobStatus::Initializing),
            Place::Over(status) => return Ok(status),
            Place::At(manager) => manager,
        };
        let details = manager.job(job).await?;
        let status = details.and_then(|details| {
            let all = JobStatus::ALL.iter();
            all.copied().find(|status| status.as_str() == details.state)
        });
        Ok(status.unwrap_or(JobStatus::Initializing))
    }

    /// Returns when its JobManager knows that, or the job has ended.
    async fn cancel(&self, job: &str, id: ApplicationId) -> anyhow::Result<()> {
        loop {
            match self.place(id).await? {
                Place::Over(_) => return Ok(()),
                Place::At(manager) if manager.job(job).await?.is_some() => {
                    return manager.cancel(job).await;
                }
                Place::At(_) | Place::Waiting => tokio::time::sleep(WAITING_INTERVAL).await,
            }
        }
    }

    /// Waits until the savepoint is complete.
    async fn snapshot(
        &self,
        job: &str,
        id: ApplicationId,
        wish: &Snapshot,
    ) -> anyhow::Result<String> {
        let kind = SnapshotKind::from_number(wish.kind);
        let kind = kind.context("this version of flott does not know the wish")?;
        let manager = match self.place(id).await? {
            Place::At(manager) => manager,
            Place::Waiting => bail!("job {job} does not run yet"),
            Place::Over(status) => bail!("job {job} is {status}"),
        };
        let directory = Some(&*wish.directory).filter(|directory| !directory.is_empty());
        let path = manager.snapshot(job, kind, directory, wish.cancel).await?;
        if wish.cancel {
            self.report.unwanted(job);
        }
        Ok(path)
    }

    /// Waits until there are records, or none will come.
    async fn collected(
        &self,
        job: &str,
        id: ApplicationId,
        from: u64,
    ) -> anyhow::Result<Collected> {
        loop {
            if let Place::At(manager) = self.place(id).await? {
                // One that does not answer is starting, or has just ended.
                while let Ok(found) = manager.collected(job, from).await {
                    if found != Collected::default() {
                        return Ok(found);
                    }
                }
            }
            let ended = self
                .jobs
                .borrow()
                .get(job)
                .is_some_and(|job| job.ended.is_some());
            if ended || matches!(self.place(id).await?, Place::Over(_)) {
                return Ok(Collected {
                    over: true,
                    ..Collected::default()
                });
            }
            tokio::time::sleep(WAITING_INTERVAL).await;
        }
    }
}
