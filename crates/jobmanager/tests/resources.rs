//! Slots that must offer something, in an embedded cluster: where they come from, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod scripted;

use std::collections::BTreeSet;
use std::time::Duration;

use flott_jobmanager::{Dispatcher, DispatcherHandle, EmbeddedDriver, JobSnapshot, SubmitError};
use flott_model::{FailureClass, GroupResources, JobGraph, JobStatus, ResourceProfile};
use flott_protocol::message::JobBundle;
use scripted::{Behaviour, Script, graph, settings};

const GIBIBYTE: u64 = 1 << 30;

/// Source and sink of two subtasks each; the sink's slots must offer that much memory.
fn asking(memory_bytes: u64) -> JobGraph {
    let mut graph = graph(2, 0);
    graph.vertices[1].slot_sharing_group = "big".to_owned();
    graph.group_resources.push(GroupResources {
        group: "big".to_owned(),
        profile: ResourceProfile {
            cpu_millicores: 64_000,
            task_heap_bytes: memory_bytes,
            ..ResourceProfile::default()
        },
    });
    graph
}

/// Containers of 4 GiB for four slots.
fn start() -> DispatcherHandle {
    let script = Script::new(|_| Behaviour::Finish);
    let driver = EmbeddedDriver::new(4, script.factory()).with_memory(4 * GIBIBYTE);
    Dispatcher::start(settings(0), Box::new(driver))
}

async fn run(dispatcher: &DispatcherHandle, graph: JobGraph) -> JobSnapshot {
    let job = dispatcher.submit(graph, JobBundle::default()).await;
    let end = dispatcher.wait(job.unwrap());
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .expect("it takes too long")
        .unwrap()
}

/// Containers that the subtasks of each vertex ran in.
fn containers(job: &JobSnapshot) -> Vec<BTreeSet<String>> {
    let vertices = job.vertices.iter();
    let of = |subtasks: &[flott_jobmanager::SubtaskSnapshot]| {
        let subtasks = subtasks.iter();
        subtasks.map(|subtask| subtask.container.clone()).collect()
    };
    vertices.map(|vertex| of(&vertex.subtasks)).collect()
}

#[tokio::test]
async fn what_a_share_offers_shares_and_the_rest_has_containers_of_its_own() {
    let dispatcher = start();
    let end = run(&dispatcher, asking(GIBIBYTE)).await;
    assert_eq!(end.status, JobStatus::Finished, "{:?}", end.failures);
    let [sources, sinks] = &containers(&end)[..] else {
        panic!("two vertices");
    };
    assert_eq!((sources.len(), sources), (1, sinks), "four shares of one");

    let dispatcher = start();
    let end = run(&dispatcher, asking(GIBIBYTE + 1)).await;
    assert_eq!(end.status, JobStatus::Finished, "{:?}", end.failures);
    let [sources, sinks] = &containers(&end)[..] else {
        panic!("two vertices");
    };
    assert_eq!((sources.len(), sinks.len()), (1, 2));
    assert!(sources.is_disjoint(sinks));
    let executors = dispatcher.executors().await;
    let slots: BTreeSet<u32> = executors.iter().map(|executor| executor.slots).collect();
    assert_eq!(slots, BTreeSet::from([1, 4]));
}

#[tokio::test]
async fn what_exceeds_the_cluster_fails_the_job_and_names_the_limit() {
    let dispatcher = start();
    let end = run(&dispatcher, asking(5 * GIBIBYTE)).await;
    assert_eq!(end.status, JobStatus::Failed);
    let cause = end.root_cause().unwrap();
    assert_eq!(cause.class(), FailureClass::Fatal);
    for part in [
        "64 cores, 5120 MiB task heap",
        "has 4096 MiB",
        "lower the memory of the slot sharing group",
    ] {
        assert!(cause.message.contains(part), "{cause}");
    }
}

#[tokio::test]
async fn resources_can_be_forbidden() {
    let dispatcher = start();
    let key = "cluster.fine-grained-resource-management.enabled";
    let mut graph = asking(1);
    let setting = (key.to_owned(), "false".to_owned());
    graph.configuration.extend([setting]);
    let refused = dispatcher.submit(graph.clone(), JobBundle::default()).await;
    let error = refused.unwrap_err();
    let group = "big".to_owned();
    assert_eq!(error, SubmitError::Resources { group, key });
    assert!(error.to_string().contains("is false: set it to true"));
    graph.group_resources.clear();
    let end = run(&dispatcher, graph).await;
    assert_eq!(end.status, JobStatus::Finished, "it asks for nothing");
}
