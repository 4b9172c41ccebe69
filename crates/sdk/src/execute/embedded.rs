//! Role embedded: a whole cluster in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_config::options;
use flott_jobmanager::{
    Dispatcher, DispatcherHandle, DispatcherSettings, EmbeddedDriver, JobSnapshot, WorkerFactory,
};
use flott_model::{JobGraph, JobId};
use flott_protocol::message::JobBundle;
use flott_protocol::program::{JobEnded, JobStarted, program_message};
use flott_protocol::rpc::Secret;
use flott_runtime::plan::Plan;
use flott_runtime::worker::Worker;

use super::{JobExecutionResult, Launch, engine, submit};
use crate::error::Error;

pub(super) fn execute(launch: &mut Launch, plan: Plan) -> Result<JobExecutionResult, Error> {
    let settings = settings(launch);
    let slots = slots_per_container(launch, &plan.graph);
    let job = JobId::derive(&settings.cluster_id, plan.graph.execute_index);
    let started = JobStarted {
        job: job.to_string(),
        detached: false,
    };
    launch.tell(program_message::Kind::Started(started))?;
    let ended = engine::run_threaded(|| run(settings, slots, plan))??;
    if launch.has_launcher() {
        launch.tell(program_message::Kind::Ended(ended.clone()))?;
    }
    submit::result(ended)
}

async fn run(settings: DispatcherSettings, slots: u32, plan: Plan) -> Result<JobEnded, Error> {
    let (dispatcher, job) = start(settings, slots, plan).await?;
    let snapshot = dispatcher.wait(job).await;
    dispatcher.shutdown().await;
    snapshot
        .map(|snapshot| ended(&snapshot))
        .ok_or_else(|| Error::Refused("the embedded cluster lost the job".into()))
}

/// Starts a cluster and submits the job.
async fn start(
    settings: DispatcherSettings,
    slots: u32,
    plan: Plan,
) -> Result<(DispatcherHandle, JobId), Error> {
    let plan = Arc::new(plan);
    let graph = plan.graph.clone();
    let factory: WorkerFactory = Arc::new(move |mut spec, messages, commands| {
        spec.threads = cores();
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
    let dispatcher = Dispatcher::start(settings, Box::new(driver));
    let job = dispatcher
        .submit(graph, JobBundle::default())
        .await
        .map_err(|error| Error::Refused(error.to_string()))?;
    Ok((dispatcher, job))
}

fn ended(snapshot: &JobSnapshot) -> JobEnded {
    JobEnded {
        job: snapshot.id.to_string(),
        status: snapshot.status.number(),
        failure: snapshot.root_cause().cloned(),
        runtime_ms: snapshot.duration_ms(),
        accumulators: snapshot
            .accumulators()
            .into_iter()
            .map(Into::into)
            .collect(),
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
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
