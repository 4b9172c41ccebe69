//! Slots, workers, deployment, task states.

use flott_model::{ExecutionState as S, Failure, FailureClass, JobStatus, ShipStrategy};

use crate::job::RestartStrategy;
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{
    Script, asking, edge, graph, grouped, offers, restarts, sized, transient, without_executions,
    worker,
};

#[test]
fn from_start_to_deployment() {
    let mut script = Script::two_by_two(RestartStrategy::None);
    assert_eq!(script.core.status(), JobStatus::Created);
    assert_eq!(
        script.send(JobEvent::Started),
        [
            "status RUNNING",
            "v0_0_0 SCHEDULED",
            "v0_1_0 SCHEDULED",
            "v1_0_0 SCHEDULED",
            "v1_1_0 SCHEDULED",
            "require 2",
            "timer slots 1 at 300s",
        ]
    );
    assert_eq!(script.send(JobEvent::Started), [""; 0], "started twice");
    assert_eq!(script.grant("a@h1:0"), [""; 0]);
    assert_eq!(
        script.grant("b@h2:1,2"),
        [
            "release b/2",
            "start a#0 [0]",
            "timer worker a#0 at 60s",
            "start b#1 [1]",
            "timer worker b#1 at 60s",
        ]
    );
    assert_eq!(script.register("b#1"), [""; 0]);
    assert_eq!(script.register("b#1"), [""; 0], "registered twice");
    assert_eq!(
        script.register("a#0"),
        [
            "v0_0_0 DEPLOYING on a#0",
            "v0_1_0 DEPLOYING on b#1",
            "v1_0_0 DEPLOYING on a#0",
            "v1_1_0 DEPLOYING on b#1",
            "deploy a#0: v0_0_0 v1_0_0",
            "deploy b#1: v0_1_0 v1_1_0",
        ]
    );
}

#[test]
fn a_group_that_asks_for_more_gets_slots_that_offer_it() {
    let edges = [edge(0, 1, ShipStrategy::Rebalance)];
    let mut graph = graph(&[("source", 2), ("sink", 1)], &edges);
    grouped(&mut graph, 1, "big");
    asking(&mut graph, "big", 700);
    let mut script = Script::new(&graph, restarts(1));
    let big = "1 of (1 core, 700 MiB task heap)";
    assert!(
        script
            .send(JobEvent::Started)
            .contains(&format!("require 2 and {big}"))
    );
    assert_eq!(
        script.grant("a@h1:0,1,2"),
        ["release a/2"],
        "not for the sink"
    );
    let offer = JobEvent::SlotsGranted(sized(700, offers("b@h2:0")));
    assert_eq!(script.send(offer)[0], "start a#0 [0, 1]");
    script.register("a#0");
    let deployed = without_executions(script.register("b#1"));
    assert_eq!(
        deployed,
        ["deploy a#0: v0_0_0 v0_1_0", "deploy b#1: v1_0_0"]
    );
    let lost = script.lose_container("b");
    assert!(lost.iter().all(|action| !action.starts_with("require")));
    script.tasks("v0_0_0 v0_1_0", S::Canceled);
    script.seconds = 5;
    let restarted = script.fire(Timer::Restart(1));
    assert!(restarted.contains(&format!("require 2 and {big}")));
    script.seconds = 305;
    let ended = script.fire(Timer::SlotRequest(2));
    let message = format!("; missing are {big}: the cluster may lack resources");
    assert!(
        ended.iter().any(|action| action.contains(&message)),
        "{ended:?}"
    );
}

#[test]
fn each_group_has_slots_of_its_own() {
    let edges = [edge(0, 1, ShipStrategy::Rebalance)];
    let mut graph = graph(&[("source", 1), ("sink", 2)], &edges);
    grouped(&mut graph, 1, "sinks");
    let mut script = Script::new(&graph, RestartStrategy::None);
    assert!(
        script
            .send(JobEvent::Started)
            .contains(&"require 3".to_owned())
    );
    script.grant("a@h1:0,1,2");
    let actions = script.register("a#0");
    assert_eq!(actions.last().unwrap(), "deploy a#0: v0_0_0 v1_0_0 v1_1_0");
    let mut slots: Vec<u32> = script
        .core
        .executions()
        .map(|execution| execution.slot.unwrap().index)
        .collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2]);
}

#[test]
fn a_live_worker_is_not_started_again_and_an_unknown_one_is_stopped() {
    let mut script = Script::two_by_two(RestartStrategy::None);
    script.send(JobEvent::Started);
    script.grant("a@h1:0,1");
    assert_eq!(script.register("a#7"), ["stop a#7"]);
    assert_eq!(script.register("z#0"), ["stop z#0"]);
    let actions = script.register("a#0");
    assert_eq!(
        actions.last().unwrap(),
        "deploy a#0: v0_0_0 v0_1_0 v1_0_0 v1_1_0"
    );
}

#[test]
fn states_move_forward_only() {
    let mut script = Script::running(RestartStrategy::None);
    assert_eq!(script.task("v0_0_0", S::Initializing), [""; 0], "late");
    assert_eq!(script.task("v0_0_0", S::Running), [""; 0], "doubled");
    assert_eq!(script.task("v0_0_0", S::Canceling), [""; 0], "ours to say");
    assert_eq!(
        script.task("v0_0_9", S::Finished),
        [""; 0],
        "another attempt"
    );
    assert_eq!(
        script.task("v9_0_0", S::Finished),
        [""; 0],
        "no such vertex"
    );
    assert_eq!(
        script.task("v0_9_0", S::Finished),
        [""; 0],
        "no such subtask"
    );
    assert_eq!(
        script.task("v0_0_0", S::Finished),
        ["v0_0_0 FINISHED on a#0"]
    );
    assert_eq!(
        script.task("v0_0_0", S::Failed),
        [""; 0],
        "too late to fail"
    );
    let view = script.core.executions().next().unwrap();
    assert_eq!(view.state, S::Finished);
    let entered: Vec<S> = view.entered.keys().copied().collect();
    assert_eq!(
        entered,
        [
            S::Created,
            S::Scheduled,
            S::Deploying,
            S::Running,
            S::Finished
        ]
    );
}

#[test]
fn a_task_nobody_deployed_has_no_say() {
    let mut script = Script::two_by_two(RestartStrategy::None);
    script.send(JobEvent::Started);
    assert_eq!(script.fail("v0_0_0", FailureClass::Fatal, "x"), [""; 0]);
    assert_eq!(script.core.status(), JobStatus::Running);
}

#[test]
fn the_end_without_outputs() {
    let mut script = Script::running(RestartStrategy::None);
    script.all_tasks(0, S::Finished);
    assert_eq!(script.core.status(), JobStatus::Finished);
    assert_eq!(
        script.grant("c@h3:0,1"),
        ["release c/0 c/1"],
        "a late grant goes back"
    );
    assert_eq!(script.register("c#9"), ["stop c#9"]);
    assert_eq!(script.send(JobEvent::CancelRequested), [""; 0]);
    assert_eq!(script.lose_container("a"), [""; 0]);
}

#[test]
fn everything_is_given_back_before_the_end_is_told() {
    let mut script = Script::running(RestartStrategy::None);
    for task in ["v0_0_0", "v0_1_0", "v1_0_0"] {
        script.task(task, S::Finished);
    }
    assert_eq!(
        script.task("v1_1_0", S::Finished),
        [
            "v1_1_0 FINISHED on b#1",
            "stop a#0",
            "stop b#1",
            "require 0",
            "release a/0 b/0",
            "status FINISHED",
        ]
    );
}

#[test]
fn too_few_slots_in_time() {
    let mut script = Script::two_by_two(restarts(9));
    script.send(JobEvent::Started);
    script.grant("a@h1:0");
    assert_eq!(
        script.fire(Timer::SlotRequest(7)),
        [""; 0],
        "another request's"
    );
    let actions = without_executions(script.fire(Timer::SlotRequest(1)));
    let why = "got 1 of 2 slots within 300s (slot.request.timeout): the cluster may lack resources";
    assert_eq!(
        actions,
        [
            format!("status FAILING: {why}"),
            "require 0".to_owned(),
            "release a/0".to_owned(),
            format!("status FAILED: {why}"),
        ]
    );
}

#[test]
fn a_slot_timeout_is_stale_once_slots_are_here() {
    let mut script = Script::running(RestartStrategy::None);
    assert_eq!(script.fire(Timer::SlotRequest(1)), [""; 0]);
}

#[test]
fn no_containers_will_come() {
    let failure = Failure::new(FailureClass::Fatal, "3 containers failed");
    let mut script = Script::two_by_two(restarts(9));
    script.send(JobEvent::Started);
    let actions = script.send(JobEvent::SlotsUnavailable(failure.clone()));
    assert_eq!(
        actions.last().unwrap(),
        "status FAILED: 3 containers failed"
    );

    let mut script = Script::running(restarts(9));
    assert_eq!(
        script.send(JobEvent::SlotsUnavailable(failure)),
        [""; 0],
        "none is missing"
    );
}

#[test]
fn a_container_lost_while_waiting_shrinks_the_grant() {
    let mut script = Script::two_by_two(RestartStrategy::None);
    script.send(JobEvent::Started);
    script.grant("a@h1:0");
    assert_eq!(script.lose_container("a"), [""; 0]);
    assert_eq!(script.grant("b@h2:0"), [""; 0], "one is missing again");
    assert!(script.grant("c@h2:0").contains(&"start c#1 [0]".to_owned()));
}

#[test]
fn a_worker_that_does_not_register_is_a_failure() {
    let mut script = Script::two_by_two(restarts(1));
    script.send(JobEvent::Started);
    script.grant("a@h1:0 b@h2:0");
    script.register("a#0");
    script.seconds = 60;
    assert_eq!(
        script.fire(Timer::WorkerStart(worker("a#0"))),
        [""; 0],
        "it did"
    );
    assert_eq!(
        without_executions(script.fire(Timer::WorkerStart(worker("b#1")))),
        [
            "stop b#1",
            "status RESTARTING: b (h2): the worker did not register within 60s after its start",
            "timer restart 1 at 65s",
        ]
    );
    script.seconds = 65;
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        [
            "status RUNNING",
            "require 2",
            "start b#2 [0]",
            "timer worker b#2 at 125s"
        ],
        "the worker that lives stays"
    );
    assert_eq!(script.register("b#1"), ["stop b#1"], "too late");
    let actions = script.register("b#2");
    assert_eq!(actions.last().unwrap(), "deploy b#2: v0_1_1 v1_1_1");
}

#[test]
fn a_worker_that_cannot_be_started_is_a_failure() {
    let mut script = Script::two_by_two(RestartStrategy::None);
    script.send(JobEvent::Started);
    script.grant("a@h1:0,1");
    let actions = script.lose_worker("a#0", "exec format error");
    assert_eq!(
        actions.last().unwrap(),
        "status FAILED: a (h1): exec format error\n(no restart: restart-strategy.type is none)"
    );
    assert_eq!(script.core.failure_history().next().unwrap().failure, {
        transient("exec format error").at("a (h1)")
    });
}
