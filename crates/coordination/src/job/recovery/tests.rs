//! Failures of staged jobs: what runs again, and what does not.

use flott_model::{ExecutionState as S, FailureClass as C, JobStatus, ShipStrategy as Ship};

use crate::job::RestartStrategy;
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{
    Script, attempt, blocking, edge, graph, grouped, output, restarts, without_executions,
};

#[test]
fn a_failed_task_restarts_its_region_only() {
    let mut script = Script::second_stage(restarts(1));
    script.seconds = 10;
    assert_eq!(
        script.fail("v1_0_0", C::UserCode, "boom"),
        [
            "v1_0_0 FAILED on a#0",
            "status RESTARTING: task count (1/2) on a (h1): boom",
            "timer restart 1 at 15s",
        ]
    );
    assert_eq!(
        script.task("v1_1_0", S::Finished),
        ["v1_1_0 FINISHED on b#1"],
        "the other one goes on"
    );
    assert_eq!(script.fire(Timer::Restart(1)), [""; 0], "too early");
    script.seconds = 15;
    assert_eq!(
        script.fire(Timer::Restart(1)),
        [
            "status RUNNING",
            "v1_0_1 CREATED",
            "v1_0_1 SCHEDULED",
            "v1_0_1 DEPLOYING on a#0",
            "deploy a#0: v1_0_1",
        ]
    );
    assert_eq!(
        script.task("v1_0_0", S::Finished),
        [""; 0],
        "an earlier attempt"
    );
    assert_eq!(
        without_executions(script.task("v1_0_1", S::Finished)),
        ["deploy a#0: v2_0_0"]
    );
    assert_eq!(script.core.restarts(), 1);
}

#[test]
fn what_pipelined_channels_connect_stops_together() {
    let edges = [edge(0, 1, Ship::Forward), blocking(1, 2, Ship::Hash)];
    let graph = graph(&[("a", 2), ("b", 2), ("c", 1)], &edges);
    let mut script = Script::new(&graph, restarts(1));
    script.send(JobEvent::Started);
    script.grant("a@h1:0 b@h2:0");
    script.register("a#0");
    script.register("b#1");
    script.task("v0_1_0", S::Finished);
    assert_eq!(
        without_executions(script.fail("v1_1_0", C::UserCode, "boom")),
        [
            "status RESTARTING: task b (2/2) on b (h2): boom",
            "timer restart 1 at 5s",
        ]
    );
    // A failure of the other region joins.
    assert_eq!(
        script.fail("v1_0_0", C::UserCode, "as well"),
        [
            "v1_0_0 FAILED on a#0",
            "v0_0_0 CANCELING on a#0",
            "timer cancellation 1 at 180s",
            "cancel a#0: v0_0_0",
        ]
    );
    script.seconds = 6;
    assert_eq!(script.fire(Timer::Restart(1)), [""; 0], "one still stops");
    let actions = without_executions(script.task("v0_0_0", S::Canceled));
    assert_eq!(
        actions,
        [
            "status RUNNING",
            "deploy a#0: v0_0_1 v1_0_1",
            "deploy b#1: v0_1_1 v1_1_1"
        ]
    );
    assert_eq!(script.core.restarts(), 1, "several failures, one recovery");
}

#[test]
fn a_missing_partition_is_written_again_before_its_reader_runs_again() {
    let mut script = Script::second_stage(restarts(9));
    assert_eq!(
        without_executions(script.miss("v1_0_0", &["v0_1_0"])),
        [
            "status RESTARTING: task count (1/2) on a (h1): partitions are gone",
            "timer restart 1 at 5s"
        ]
    );
    script.seconds = 5;
    assert_eq!(
        script.fire(Timer::Restart(1)),
        [
            "status RUNNING",
            "v0_1_1 CREATED",
            "v1_0_1 CREATED",
            "v0_1_1 SCHEDULED",
            "v0_1_1 DEPLOYING on b#1",
            "deploy b#1: v0_1_1",
        ],
        "the other producer does not run again"
    );
    // Another reader misses what is being written again already: that is no further failure.
    let actions = without_executions(script.miss("v1_1_0", &["v0_1_0"]));
    assert_eq!(actions[1..], ["status RUNNING"]);
    assert_eq!(
        without_executions(script.task("v0_1_1", S::Finished)),
        ["deploy a#0: v1_0_1", "deploy b#1: v1_1_1"]
    );
    assert_eq!(script.core.restarts(), 1);
    assert_eq!(
        script.core.failure_history().count(),
        1,
        "the loss is told once"
    );
}

#[test]
fn what_nobody_wrote_cannot_be_missed() {
    let mut script = Script::second_stage(restarts(9));
    // A subtask that is not there, an attempt that never was, one that writes none, one that runs.
    script.miss("v1_0_0", &["v0_9_0", "v0_1_5", "v2_0_0", "v1_1_0"]);
    script.seconds = 5;
    assert_eq!(
        script.states(),
        "v0_0_0 FINISHED, v0_1_0 FINISHED, v1_0_1 DEPLOYING, v1_1_0 DEPLOYING, v2_0_0 CREATED"
    );
}

#[test]
fn a_lost_container_has_its_partitions_written_again_as_far_as_they_are_needed() {
    let mut script = Script::second_stage(restarts(9));
    script.task("v1_1_0", S::Finished);
    let actions = without_executions(script.lose_container("b"));
    assert_eq!(
        actions,
        [
            "stop b#1",
            "status RESTARTING: b (h2): node lost",
            "timer restart 1 at 5s"
        ]
    );
    script.seconds = 5;
    script.fire(Timer::Restart(1));
    // v0_1 is read by v1_0, which runs, and by v1_1, whose own partition is lost and needed by v2.
    assert_eq!(
        script.states(),
        "v0_0_0 FINISHED, v0_1_1 SCHEDULED, v1_0_0 DEPLOYING, v1_1_1 CREATED, v2_0_0 CREATED"
    );
    assert_eq!(
        without_executions(script.grant("c@h3:0")),
        ["start c#2 [0]", "timer worker c#2 at 65s"]
    );
    assert_eq!(
        without_executions(script.register("c#2")),
        ["deploy c#2: v0_1_1"]
    );
    script.task("v1_0_0", S::Finished);
    assert_eq!(
        without_executions(script.task("v0_1_1", S::Finished)),
        ["deploy c#2: v1_1_1"]
    );
    assert_eq!(
        without_executions(script.task("v1_1_1", S::Finished)),
        ["deploy a#0: v2_0_0"]
    );
}

#[test]
fn what_has_been_read_by_all_is_not_written_again() {
    let mut script = Script::third_stage(restarts(9));
    script.lose_container("b");
    script.seconds = 5;
    script.fire(Timer::Restart(1));
    assert_eq!(
        script.states(),
        "v0_0_0 FINISHED, v0_1_1 SCHEDULED, v1_0_0 FINISHED, v1_1_1 CREATED, v2_0_0 DEPLOYING",
        "v1_1 must be written again, and for that v0_1"
    );

    let mut script = Script::third_stage(restarts(9));
    script.miss("v2_0_0", &["v1_0_0"]);
    script.seconds = 5;
    script.fire(Timer::Restart(1));
    assert_eq!(
        script.states(),
        "v0_0_0 FINISHED, v0_1_0 FINISHED, v1_0_1 DEPLOYING, v1_1_0 FINISHED, v2_0_1 CREATED"
    );

    // v2 has read everything and only a sink beside it still runs.
    let edges = [blocking(0, 1, Ship::Hash)];
    let graph = graph(&[("a", 1), ("b", 1), ("c", 1)], &edges);
    let mut script = Script::new(&graph, restarts(9));
    script.send(JobEvent::Started);
    script.grant("a@h1:0");
    script.register("a#0");
    script.tasks("v0_0_0 v1_0_0", S::Finished);
    script.lose_container("a");
    script.seconds = 5;
    script.fire(Timer::Restart(1));
    assert_eq!(
        script.states(),
        "v0_0_0 FINISHED, v1_0_0 FINISHED, v2_0_1 SCHEDULED"
    );
}

#[test]
fn a_lost_worker_takes_only_what_ran_in_it() {
    let mut script = Script::second_stage(restarts(1));
    let actions = script.lose_worker("b#1", "killed by SIGKILL");
    assert_eq!(
        actions,
        [
            "stop b#1",
            "v1_1_0 FAILED on b#1",
            "status RESTARTING: b (h2): killed by SIGKILL",
            "timer restart 1 at 5s",
        ]
    );
    script.seconds = 5;
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        ["status RUNNING", "start b#2 [0]", "timer worker b#2 at 65s"]
    );
    assert_eq!(
        without_executions(script.register("b#2")),
        ["deploy b#2: v1_1_1"]
    );
}

#[test]
fn the_loss_of_the_container_explains_what_its_readers_missed() {
    let mut script = Script::second_stage(restarts(9));
    script.miss("v1_0_0", &["v0_1_0"]);
    script.lose_container("b");
    let history: Vec<&str> = script
        .core
        .failure_history()
        .map(|it| it.failure.message.as_str())
        .collect();
    assert_eq!(history, ["node lost"]);
    assert_eq!(script.core.restarts(), 1);
}

#[test]
fn the_restart_strategy_counts_and_ends() {
    let mut script = Script::second_stage(restarts(1));
    script.fail("v1_0_0", C::UserCode, "first");
    script.seconds = 5;
    script.fire(Timer::Restart(1));
    let actions = without_executions(script.fail("v1_0_1", C::UserCode, "second"));
    assert_eq!(
        actions,
        [
            "status FAILING: task count (1/2) on a (h1): second",
            "timer cancellation 1 at 185s",
            "cancel b#1: v1_1_0",
        ]
    );
    let actions = script.task("v1_1_0", S::Canceled);
    assert!(
        actions
            .last()
            .unwrap()
            .contains("exhausted after 1 restart"),
        "{actions:?}"
    );
    assert!(actions.contains(&"release partitions".to_owned()));

    let mut script = Script::second_stage(RestartStrategy::None);
    script.lose_container("b");
    assert_eq!(
        script.core.status(),
        JobStatus::Failing,
        "lost partitions are failures too"
    );
}

#[test]
fn a_fatal_failure_ends_a_recovery() {
    let edges = [edge(0, 1, Ship::Forward), blocking(1, 2, Ship::Hash)];
    let graph = graph(&[("a", 2), ("b", 2), ("c", 1)], &edges);
    let mut script = Script::new(&graph, restarts(9));
    script.send(JobEvent::Started);
    script.grant("a@h1:0,1");
    script.register("a#0");
    script.fail("v0_0_0", C::Transient, "reset");
    let actions = script.fail("v0_1_0", C::Fatal, "another graph");
    // v1_0 stops already: it is awaited, and not asked again.
    assert_eq!(
        without_executions(actions),
        [
            "status FAILING: task a (2/2) on a (h1): another graph",
            "timer cancellation 2 at 180s",
            "cancel a#0: v1_1_0",
        ]
    );
    script.tasks("v1_0_0 v1_1_0", S::Canceled);
    assert_eq!(script.core.status(), JobStatus::Failed);
}

#[test]
fn cancelled_in_a_recovery() {
    let mut script = Script::second_stage(restarts(9));
    script.fail("v1_0_0", C::UserCode, "boom");
    let actions = without_executions(script.send(JobEvent::CancelRequested));
    assert_eq!(
        actions,
        [
            "status CANCELLING",
            "timer cancellation 1 at 180s",
            "cancel b#1: v1_1_0"
        ]
    );
    let actions = script.task("v1_1_0", S::Canceled);
    assert_eq!(actions.last().unwrap(), "status CANCELED");
}

#[test]
fn a_task_that_does_not_stop_is_ended_with_its_worker() {
    let edges = [edge(0, 1, Ship::Forward), blocking(1, 2, Ship::Hash)];
    let graph = graph(&[("a", 3), ("b", 3), ("c", 1)], &edges);
    let mut script = Script::new(&graph, restarts(9));
    script.send(JobEvent::Started);
    script.grant("a@h1:0,1 b@h2:0");
    script.register("a#0");
    script.register("b#1");
    // The subtasks 0 and 2 run in a, 1 in b.
    script.fail("v0_0_0", C::UserCode, "boom");
    script.seconds = 10;
    script.fail("v0_1_0", C::UserCode, "as well");
    script.seconds = 180;
    assert_eq!(
        without_executions(script.fire(Timer::Cancellation(1))),
        ["stop a#0"],
        "the other one has ten seconds left"
    );
    assert_eq!(
        script.states(),
        "v0_0_0 FAILED, v0_1_0 FAILED, v0_2_0 FAILED, \
         v1_0_0 FAILED, v1_1_0 CANCELING, v1_2_0 FAILED, v2_0_0 CREATED"
    );
    script.seconds = 190;
    assert_eq!(
        without_executions(script.fire(Timer::Cancellation(2))),
        [
            "stop b#1",
            "status RUNNING",
            "start a#2 [0, 1]",
            "timer worker a#2 at 250s",
            "start b#3 [0]",
            "timer worker b#3 at 250s",
        ]
    );
    assert_eq!(script.fire(Timer::Cancellation(2)), [""; 0]);
    assert_eq!(script.core.restarts(), 1);
}

#[test]
fn processes_are_not_started_before_the_pause_is_over() {
    let edges = [blocking(0, 1, Ship::Forward)];
    let mut graph = graph(&[("a", 1), ("b", 1), ("c", 1)], &edges);
    grouped(&mut graph, 1, "other");
    grouped(&mut graph, 2, "third");
    let mut script = Script::new(&graph, restarts(1));
    script.send(JobEvent::Started);
    script.grant("a@h1:0 b@h2:0 c@h3:0");
    for worker in ["a#0", "b#1", "c#2"] {
        script.register(worker);
    }
    assert_eq!(script.lose_worker("b#1", "killed"), ["stop b#1"], "idle");
    script.fail("v2_0_0", C::UserCode, "boom");
    assert_eq!(
        without_executions(script.task("v0_0_0", S::Finished)),
        [""; 0],
        "its reader needs a worker in b"
    );
    script.seconds = 5;
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        [
            "status RUNNING",
            "start b#3 [0]",
            "timer worker b#3 at 65s",
            "deploy c#2: v2_0_1"
        ]
    );
}

#[test]
fn the_outputs_of_the_last_attempts_are_committed() {
    let edges = [blocking(0, 1, Ship::Hash), edge(0, 2, Ship::Forward)];
    let graph = graph(&[("a", 1), ("b", 1), ("sink", 1)], &edges);
    let mut script = Script::new(&graph, restarts(9));
    script.send(JobEvent::Started);
    script.grant("a@h1:0");
    script.register("a#0");
    script.task("v0_0_0", S::Finished);
    script.task_with(attempt("v2_0_0"), S::Finished, None, vec![output(2, 1)]);
    // What the sink's region wrote for the other one is gone: the sink runs again with it.
    script.miss("v1_0_0", &["v0_0_0"]);
    script.seconds = 5;
    let actions = without_executions(script.fire(Timer::Restart(1)));
    assert_eq!(actions.last().unwrap(), "deploy a#0: v0_0_1 v2_0_1");
    script.task_with(attempt("v2_0_1"), S::Finished, None, vec![output(2, 7)]);
    script.tasks("v0_0_1 v1_0_1", S::Finished);
    assert!(matches!(script.core.status(), JobStatus::Running));
    let committed = script.send(JobEvent::Committed {
        round: 1,
        failure: None,
    });
    assert!(committed.contains(&"release partitions".to_owned()));
    assert_eq!(script.core.status(), JobStatus::Finished);
}
