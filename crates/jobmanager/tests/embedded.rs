//! The shells end to end, with scripted workers in this process.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use flott_jobmanager::{Dispatcher, DispatcherHandle, EmbeddedDriver, JobSnapshot, SubmitError};
use flott_model::{ExecutionState, Failure, FailureClass, GraphError, JobGraph, JobId, JobStatus};
use flott_protocol::message::JobBundle;
use scripted::{Behaviour, Script, graph, settings};

fn start(script: &Arc<Script>, restarts: u32) -> DispatcherHandle {
    let driver = EmbeddedDriver::new(2, script.factory());
    Dispatcher::start(settings(restarts), Box::new(driver))
}

async fn submit(dispatcher: &DispatcherHandle, graph: JobGraph) -> JobId {
    dispatcher
        .submit(graph, JobBundle::default())
        .await
        .unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it takes too long")
}

async fn ended(dispatcher: &DispatcherHandle, job: JobId) -> JobSnapshot {
    within(dispatcher.wait(job)).await.unwrap()
}

async fn until(dispatcher: &DispatcherHandle, job: JobId, what: impl FnMut(&JobSnapshot) -> bool) {
    let mut watch = dispatcher.watch(job).unwrap();
    within(watch.wait_for(what)).await.unwrap();
}

#[tokio::test]
async fn a_job_runs_commits_and_finishes() {
    let script = Script::new(|_| Behaviour::Finish);
    let dispatcher = start(&script, 0);
    let job = submit(&dispatcher, graph(3, 0)).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!(end.status, JobStatus::Finished, "{:?}", end.failures);
    for status in [
        JobStatus::Initializing,
        JobStatus::Created,
        JobStatus::Running,
    ] {
        assert!(end.timestamps.contains_key(&status), "{status}");
    }
    assert!(end.end_time().unwrap() >= end.start_time());
    assert_eq!(
        end.subtasks_by_state().get(&ExecutionState::Finished),
        Some(&6)
    );
    let subtask = &end.vertices[1].subtasks[2];
    assert_eq!(subtask.host, "localhost");
    assert!(subtask.timestamps[&ExecutionState::Running] >= end.start_time());
    assert_eq!(
        subtask.metrics.records_in, 42,
        "counters of the last report"
    );
    assert_eq!(
        script.committed(),
        3,
        "each sink's output is committed once"
    );
    // Three subtasks of parallelism 3 share slots with the sources: two containers of two slots.
    let executors = dispatcher.executors().await;
    assert_eq!(
        executors.iter().map(|executor| executor.slots).sum::<u32>(),
        4
    );
    within(dispatcher.shutdown()).await;
    assert_eq!(script.live(), 0, "no worker outlives the JobManager");
}

#[tokio::test]
async fn a_failed_task_restarts_the_job_until_its_strategy_is_exhausted() {
    let script = Script::new(|attempt| match attempt.attempt {
        0 if attempt.vertex == 0 => Behaviour::Fail("first try"),
        _ => Behaviour::Finish,
    });
    let dispatcher = start(&script, 1);
    let job = submit(&dispatcher, graph(2, 0)).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!(
        (end.status, end.restarts),
        (JobStatus::Finished, 1),
        "{:?}",
        end.failures
    );
    assert_eq!(end.failures.len(), 1);
    assert!(end.failures[0].root.message.contains("first try"));
    assert!(
        end.failures[0].root.task.starts_with("source ("),
        "{:?}",
        end.failures[0].root
    );
    assert!(end.failures[0].root.location.contains("localhost"));
    assert!(end.failures[0].root.timestamp_ms > 0);

    let script = Script::new(|_| Behaviour::Fail("always"));
    let dispatcher = start(&script, 2);
    let job = submit(&dispatcher, graph(1, 0)).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!((end.status, end.restarts), (JobStatus::Failed, 2));
    let cause = end.root_cause().unwrap();
    assert!(cause.message.contains("always"), "{cause}");
    assert!(
        cause.message.contains("exhausted"),
        "says why it is over: {cause}"
    );
    assert_eq!(end.failures.len(), 3, "newest first, one per attempt");
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_in_its_container() {
    let script = Script::new(|attempt| match attempt.attempt {
        0 => Behaviour::Die,
        _ => Behaviour::Finish,
    });
    let dispatcher = start(&script, 1);
    let job = submit(&dispatcher, graph(1, 0)).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!(
        (end.status, end.restarts),
        (JobStatus::Finished, 1),
        "{:?}",
        end.failures
    );
    let message = &end.failures[0].root.message;
    assert!(
        message.contains("ended unexpectedly"),
        "the agent's word counts: {message}"
    );
    assert_eq!(dispatcher.executors().await.len(), 1, "no new container");
}

#[tokio::test]
async fn a_silent_worker_is_lost() {
    let script = Script::new(|attempt| match attempt.attempt {
        0 => Behaviour::FallSilent,
        _ => Behaviour::Finish,
    });
    let dispatcher = start(&script, 1);
    let job = submit(&dispatcher, graph(1, 0)).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!(
        (end.status, end.restarts),
        (JobStatus::Finished, 1),
        "{:?}",
        end.failures
    );
    let message = &end.failures[0].root.message;
    assert!(message.contains("heartbeat.timeout"), "{message}");
}

#[tokio::test]
async fn an_unfit_worker_fails_the_job_without_restart() {
    let script = Script::new(|_| Behaviour::Finish);
    script.unfit(Failure::new(
        FailureClass::Fatal,
        "main() built another graph",
    ));
    let dispatcher = start(&script, 5);
    let job = submit(&dispatcher, graph(1, 0)).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!((end.status, end.restarts), (JobStatus::Failed, 0));
    assert!(end.root_cause().unwrap().message.contains("another graph"));
}

#[tokio::test]
async fn cancelling_stops_every_task_and_worker() {
    let script = Script::new(|_| Behaviour::Run);
    let dispatcher = start(&script, 3);
    let job = submit(&dispatcher, graph(2, 0)).await;
    until(&dispatcher, job, JobSnapshot::all_running).await;
    assert!(dispatcher.cancel(job).await);
    let end = ended(&dispatcher, job).await;
    assert_eq!(end.status, JobStatus::Canceled);
    assert_eq!(
        end.subtasks_by_state().get(&ExecutionState::Canceled),
        Some(&4)
    );
    assert!(end.failures.is_empty());
    assert!(dispatcher.cancel(job).await, "cancelling again is harmless");
    assert!(!dispatcher.cancel(JobId(1)).await, "there is no such job");
}

#[tokio::test]
async fn the_same_execute_attaches_and_another_graph_is_refused() {
    let script = Script::new(|_| Behaviour::Run);
    let dispatcher = start(&script, 0);
    let job = submit(&dispatcher, graph(1, 0)).await;
    assert_eq!(submit(&dispatcher, graph(1, 0)).await, job);
    assert_ne!(
        submit(&dispatcher, graph(1, 1)).await,
        job,
        "the next execute()"
    );
    let other = dispatcher.submit(graph(2, 0), JobBundle::default()).await;
    assert_eq!(other, Err(SubmitError::OtherGraph { index: 0 }));
    let empty = dispatcher.submit(
        JobGraph {
            vertices: vec![],
            ..graph(1, 5)
        },
        JobBundle::default(),
    );
    assert_eq!(empty.await, Err(SubmitError::Graph(GraphError::Empty)));
    assert_eq!(dispatcher.jobs().len(), 2);
    within(dispatcher.shutdown()).await;
    assert_eq!(dispatcher.job(job).unwrap().status, JobStatus::Suspended);
    assert_eq!(
        ended(&dispatcher, job).await.status,
        JobStatus::Suspended,
        "wait does not hang"
    );
    let late = dispatcher.submit(graph(1, 9), JobBundle::default()).await;
    assert_eq!(late, Err(SubmitError::ShuttingDown));
    assert_eq!(script.live(), 0);
}
