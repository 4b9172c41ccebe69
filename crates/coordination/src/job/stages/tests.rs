//! Staged jobs without failures: what is deployed when, and what it reads.

use std::time::Duration;

use flott_model::{ExecutionState as S, Failure, FailureClass, JobStatus, ShipStrategy as Ship};

use crate::checkpoint::Origin;
use crate::job::message::{JobAction, JobEvent, Timer};
use crate::job::testkit::{
    Script, attempt, blocking, edge, graph, offers, restarts, settings, transient,
    without_executions, worker,
};
use crate::job::{JobCore, PartitionShape, RestartStrategy, TaskDeployment};

#[test]
fn stage_after_stage() {
    let mut script = Script::staged(RestartStrategy::None);
    assert_eq!(
        script.states(),
        "v0_0_0 DEPLOYING, v0_1_0 DEPLOYING, v1_0_0 CREATED, v1_1_0 CREATED, v2_0_0 CREATED"
    );
    assert_eq!(script.task("v0_0_0", S::Running), ["v0_0_0 RUNNING on a#0"]);
    assert_eq!(
        script.task("v0_0_0", S::Finished),
        ["v0_0_0 FINISHED on a#0"],
        "the other one is still being written"
    );
    assert_eq!(
        script.task("v0_1_0", S::Finished),
        [
            "v0_1_0 FINISHED on b#1",
            "v1_0_0 SCHEDULED",
            "v1_1_0 SCHEDULED",
            "v1_0_0 DEPLOYING on a#0",
            "v1_1_0 DEPLOYING on b#1",
            "deploy a#0: v1_0_0",
            "deploy b#1: v1_1_0",
        ]
    );
    assert_eq!(script.task("v0_1_0", S::Finished), [""; 0], "told twice");
    assert_eq!(
        without_executions(script.tasks("v1_1_0 v1_0_0", S::Finished)),
        ["deploy a#0: v2_0_0"]
    );
    assert_eq!(script.core.status(), JobStatus::Running);
    assert_eq!(
        without_executions(script.task("v2_0_0", S::Finished)),
        [
            "stop a#0",
            "stop b#1",
            "release partitions",
            "require 0",
            "release a/0 b/0",
            "status FINISHED",
        ]
    );
}

#[test]
fn what_waits_for_one_producer_only_does_not_wait_for_the_others() {
    let edges = [blocking(0, 1, Ship::Forward), edge(1, 2, Ship::Rescale)];
    let graph = graph(&[("a", 2), ("b", 2), ("c", 4)], &edges);
    let mut script = Script::new(&graph, RestartStrategy::None);
    script.send(JobEvent::Started);
    script.grant("a@h1:0,1,2,3");
    assert_eq!(
        script.register("a#0").last().unwrap(),
        "deploy a#0: v0_0_0 v0_1_0"
    );
    assert_eq!(
        without_executions(script.task("v0_1_0", S::Finished)),
        ["deploy a#0: v1_1_0 v2_2_0 v2_3_0"]
    );
}

/// Runs a job of three vertices on one container and gives what was deployed, finishing each task.
fn run(graph: &flott_model::JobGraph) -> Vec<TaskDeployment> {
    let mut core = JobCore::new(settings(RestartStrategy::None), graph, Origin::default());
    core.handle(Duration::ZERO, JobEvent::Started);
    let mut open = core.handle(
        Duration::ZERO,
        JobEvent::SlotsGranted(offers("a@h1:0,1,2,3")),
    );
    let registered = JobEvent::WorkerRegistered {
        worker: worker("a#0"),
        data_address: "a:1".to_owned(),
    };
    open.extend(core.handle(Duration::ZERO, registered));
    let mut deployed = Vec::new();
    while let Some(action) = open.pop() {
        let JobAction::Deploy { tasks, .. } = action else {
            continue;
        };
        for task in tasks {
            open.extend(core.handle(
                Duration::ZERO,
                JobEvent::TaskStateChanged {
                    attempt: task.attempt,
                    state: S::Finished,
                    failure: None,
                    output: Vec::new(),
                    missing: Vec::new(),
                },
            ));
            deployed.push(task);
        }
    }
    assert_eq!(core.status(), JobStatus::Finished);
    deployed
}

#[test]
fn who_writes_for_whom_and_who_reads_what() {
    let mut graph = graph(
        &[("a", 2), ("b", 4), ("c", 4)],
        &[
            blocking(0, 1, Ship::Rescale),
            blocking(0, 2, Ship::Hash),
            edge(1, 2, Ship::Forward),
        ],
    );
    graph.vertices[2].max_parallelism = 1024;
    let deployed = run(&graph);
    assert_eq!(deployed.len(), 10);
    let task = |name: &str| {
        deployed
            .iter()
            .find(|it| it.attempt == attempt(name))
            .unwrap()
    };
    let writer = task("v0_1_0");
    let shapes: Vec<Option<PartitionShape>> = writer
        .outputs
        .iter()
        .map(|output| output.partition)
        .collect();
    let shape = |key_groups| {
        Some(PartitionShape {
            consumers: 4,
            key_groups,
        })
    };
    assert_eq!(shapes, [shape(128), shape(1024)]);
    assert!(
        writer
            .outputs
            .iter()
            .all(|output| output.targets.is_empty())
    );
    let container = worker("a#0").container;
    let from = |name: &str| (attempt(name), container.clone());
    assert_eq!(task("v1_3_0").inputs[0].partitions, [from("v0_1_0")]);
    assert!(task("v1_3_0").inputs[0].sources.is_empty());
    let reader = &task("v2_3_0").inputs;
    assert_eq!(reader[0].partitions, [from("v0_0_0"), from("v0_1_0")]);
    assert!(reader[1].partitions.is_empty(), "a channel");
    assert_eq!(reader[1].sources, [attempt("v1_3_0")]);
    assert_eq!(task("v1_3_0").outputs[0].partition, None);
}

#[test]
fn a_worker_without_tasks_is_started_again_when_it_is_needed() {
    let mut script = Script::staged(RestartStrategy::None);
    script.task("v0_1_0", S::Finished);
    assert_eq!(script.lose_worker("b#1", "killed"), ["stop b#1"]);
    assert_eq!(script.core.status(), JobStatus::Running);
    assert_eq!(
        without_executions(script.task("v0_0_0", S::Finished)),
        [
            "start b#2 [0]",
            "timer worker b#2 at 60s",
            "deploy a#0: v1_0_0",
        ],
        "what was written outlives its worker"
    );
    assert_eq!(
        without_executions(script.register("b#2")),
        ["deploy b#2: v1_1_0"]
    );
}

#[test]
fn a_worker_that_is_needed_and_does_not_start_is_a_failure() {
    let mut script = Script::staged(restarts(1));
    script.task("v0_1_0", S::Finished);
    script.lose_worker("b#1", "killed");
    script.task("v0_0_0", S::Finished);
    script.seconds = 60;
    assert_eq!(
        script.fire(Timer::WorkerStart(worker("b#2"))),
        [
            "stop b#2",
            "status RESTARTING: b (h2): the worker did not register within 60s after its start",
            "timer restart 1 at 65s",
        ]
    );
    script.seconds = 65;
    assert_eq!(
        script.fire(Timer::Restart(1)),
        [
            "status RUNNING",
            "start b#3 [0]",
            "timer worker b#3 at 125s"
        ]
    );
    script.lose_worker("b#3", "exec format error");
    assert_eq!(script.core.status(), JobStatus::Failing, "exhausted");
}

#[test]
fn slots_are_awaited_when_a_region_lacks_them() {
    let mut script = Script::staged(restarts(1));
    script.lose_container("b");
    script.seconds = 5;
    // v0_0 still runs in a; v0_1 needs a slot.
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        ["status RUNNING", "require 2", "timer slots 2 at 305s"]
    );
    assert_eq!(
        without_executions(script.grant("c@h3:1")),
        ["start c#2 [1]", "timer worker c#2 at 65s"]
    );
    assert_eq!(script.fire(Timer::SlotRequest(2)), [""; 0], "they came");
    assert_eq!(script.core.status(), JobStatus::Running);
}

#[test]
fn a_region_does_not_wait_for_slots_of_others() {
    let edges = [blocking(0, 1, Ship::Forward)];
    let mut script = Script::new(&graph(&[("a", 2), ("b", 2)], &edges), restarts(1));
    script.send(JobEvent::Started);
    script.grant("a@h1:0 b@h2:0");
    script.register("a#0");
    script.register("b#1");
    script.lose_container("b");
    assert_eq!(
        without_executions(script.task("v0_0_0", S::Finished)),
        ["deploy a#0: v1_0_0"],
        "also while the other one recovers"
    );
}

#[test]
fn slots_that_do_not_come_end_the_job() {
    for told in [false, true] {
        let mut script = Script::staged(restarts(9));
        script.lose_container("b");
        assert_eq!(
            script.fire(Timer::SlotRequest(1)),
            [""; 0],
            "the first request's"
        );
        script.seconds = 5;
        script.fire(Timer::Restart(1));
        if told {
            let failure = Failure::new(FailureClass::Fatal, "too many containers failed");
            script.send(JobEvent::SlotsUnavailable(failure));
        } else {
            assert_eq!(script.fire(Timer::SlotRequest(1)), [""; 0]);
            script.fire(Timer::SlotRequest(2));
        }
        assert_eq!(script.core.status(), JobStatus::Failing);
        let actions = script.task("v0_0_0", S::Canceled);
        assert!(actions.contains(&"release partitions".to_owned()));
        assert_eq!(script.core.status(), JobStatus::Failed);
    }
}

#[test]
fn no_slots_will_come_but_none_is_needed() {
    let mut script = Script::staged(restarts(9));
    script.send(JobEvent::SlotsUnavailable(transient("no more")));
    assert_eq!(script.core.status(), JobStatus::Running);
}

#[test]
fn a_staged_job_that_did_not_begin_is_scheduled_anew() {
    let edges = [blocking(0, 1, Ship::Hash)];
    let mut script = Script::new(&graph(&[("a", 1), ("b", 1)], &edges), restarts(1));
    script.send(JobEvent::Started);
    script.grant("a@h1:0");
    script.lose_worker("a#0", "killed");
    script.seconds = 5;
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        [
            "status RUNNING",
            "require 1",
            "start a#1 [0]",
            "timer worker a#1 at 65s"
        ]
    );
    script.register("a#1");
    assert_eq!(script.states(), "v0_0_1 DEPLOYING, v1_0_1 CREATED");
}
