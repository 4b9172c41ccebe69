//! Failures while checkpoints are on their way, and what tasks begin from afterwards.

use flott_model::{ExecutionState as S, FailureClass as C, JobStatus, ShipStrategy as Ship};

use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{Script, decisions, edge, every_ten_seconds, graph, transient};

#[test]
fn all_tasks_go_back_to_the_newest_complete_one() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.complete(1);
    script.due(2, 20);
    script.opened(2);
    script.ack("v0_0_0", 2);
    let actions = decisions(script.fail("v1_0_0", C::UserCode, "boom"));
    assert_eq!(
        actions[0],
        "status RESTARTING: task sink (1/2) on a (h1): boom"
    );
    assert!(actions.contains(&"discard 2 /c/chk-2".to_owned()));
    let aborted = actions.iter().filter(|it| it.starts_with("aborted"));
    let aborted: Vec<&String> = aborted.collect();
    assert_eq!(
        aborted,
        ["aborted 2 a#0: ", "aborted 2 b#1: "],
        "no task goes on, but what workers store for it must stop"
    );
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 25;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(
        actions,
        [
            "status RUNNING",
            "enumerators begin with 1 [[101]]",
            "require 2",
            "deploy a#0: v0_0_1 v1_0_1",
            "deploy b#1: v0_1_1 v1_1_1"
        ]
    );
    assert_eq!(script.core.checkpoints().counts.restored, 1);
    assert_eq!(script.ack("v0_1_0", 2), [""; 0], "an earlier attempt");
    script.seconds = 26;
    assert_eq!(script.run_all(), ["timer checkpoint 4 at 36s"]);
    assert_eq!(script.due(4, 36)[1], "open 3 Checkpoint", "numbers grow");
}

#[test]
fn without_a_complete_one_everything_begins_anew() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.opened(1);
    script.fail("v1_0_0", C::UserCode, "boom");
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "require 2");
    assert_eq!(script.core.checkpoints().counts.restored, 0);
}

#[test]
fn metadata_that_is_written_during_a_failover_does_not_count() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.hand_over(1);
    let actions = decisions(script.fail("v1_0_0", C::UserCode, "boom"));
    assert!(
        actions.contains(&"discard 1 /c/chk-1".to_owned()),
        "after it was written"
    );
    assert_eq!(script.stored(1), [""; 0]);
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "require 2", "from nothing");
}

/// Two chains beside each other on a#0 and b#1, with a complete checkpoint.
fn chains() -> Script {
    let edges = [edge(0, 1, Ship::Forward)];
    let graph = graph(&[("source", 2), ("sink", 2)], &edges);
    let mut script = Script::checkpointing_graph(every_ten_seconds(), &graph);
    script.due(1, 10);
    script.complete(1);
    script
}

#[test]
fn independent_chains_go_on() {
    let mut script = chains();
    script.due(2, 20);
    script.opened(2);
    assert_eq!(
        decisions(script.fail("v1_0_0", C::UserCode, "boom")),
        [
            "status RESTARTING: task sink (1/2) on a (h1): boom",
            "timer restart 1 at 25s",
            "timer cancellation 1 at 200s",
            "cancel a#0: v0_0_0",
            "aborted 2 a#0: ",
            "aborted 2 b#1: v0_1_0 v1_1_0",
            "discard 2 /c/chk-2"
        ]
    );
    script.task("v0_0_0", S::Canceled);
    assert_eq!(script.due(3, 30), [""; 0], "not now");
    assert_eq!(
        decisions(script.fire(Timer::Restart(1))),
        ["status RUNNING", "deploy a#0: v0_0_1 v1_0_1"],
        "enumerators know what a subtask was given since"
    );
    assert_eq!(script.core.checkpoints().counts.restored, 1);
    assert_eq!(script.run_all(), ["timer checkpoint 4 at 40s"]);
    assert!(script.states().contains("v0_1_0 RUNNING, v1_0_1 RUNNING"));
    script.due(4, 40);
    assert_eq!(
        script.opened(3),
        ["trigger 3 a#0: v0_0_1", "trigger 3 b#1: v0_1_0"]
    );
}

#[test]
fn a_chain_that_has_finished_stays_so() {
    let mut script = chains();
    script.tasks("v0_1_0 v1_1_0", S::Finished);
    script.fail("v1_0_0", C::UserCode, "boom");
    script.task("v0_0_0", S::Canceled);
    script.seconds = 25;
    assert_eq!(
        decisions(script.fire(Timer::Restart(1))),
        ["status RUNNING", "deploy a#0: v0_0_1 v1_0_1"]
    );
    script.tasks("v0_0_1 v1_0_1", S::Finished);
    assert_eq!(script.core.status(), JobStatus::Finished);
}

#[test]
fn too_many_failed_checkpoints_stop_all_chains() {
    let mut script = chains();
    script.due(2, 20);
    script.opened(2);
    let actions = script.decline("v1_0_0", 2);
    assert!(actions[3].starts_with("status RESTARTING"), "{actions:?}");
    assert!(actions.contains(&"cancel a#0: v0_0_0 v1_0_0".to_owned()));
    assert!(actions.contains(&"cancel b#1: v0_1_0 v1_1_0".to_owned()));
}

#[test]
fn lost_enumerators_take_the_whole_job_back() {
    let mut script = chains();
    let actions = script.send(JobEvent::EnumeratorsLost(transient(
        "the coordinator was lost",
    )));
    let actions = decisions(actions);
    assert_eq!(actions[0], "status RESTARTING: the coordinator was lost");
    script.all_tasks(0, S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 1 [[101]]");
}

#[test]
fn lost_enumerators_begin_anew_also_without_a_checkpoint() {
    let mut script = Script::checkpointing(every_ten_seconds());
    let lost = JobEvent::EnumeratorsLost(transient("the coordinator was lost"));
    script.send(lost);
    script.all_tasks(0, S::Canceled);
    script.seconds = 5;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with nothing []");
}

#[test]
fn enumerators_that_are_lost_between_two_runs_begin_anew() {
    let lost = || JobEvent::EnumeratorsLost(transient("the coordinator was lost"));
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.complete(1);
    script.lose_container("a");
    assert_eq!(script.send(lost()), [""; 0], "tasks are stopping");
    script.tasks("v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 1 [[101]]");
    assert_eq!(
        script.send(lost()),
        ["enumerators begin with 1 [[101]]"],
        "slots are missing"
    );
}

#[test]
fn enumerators_that_are_lost_while_readers_have_stopped_take_all_back() {
    let mut script = chains();
    script.tasks("v0_1_0 v1_1_0", S::Finished);
    script.fail("v1_0_0", C::UserCode, "boom");
    script.task("v0_0_0", S::Canceled);
    let lost = JobEvent::EnumeratorsLost(transient("the coordinator was lost"));
    assert_eq!(script.send(lost), ["timer restart 1 at 15s"]);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 1 [[101]]");
}

#[test]
fn lost_enumerators_of_finished_sources_are_no_loss() {
    let mut script = chains();
    script.tasks("v0_0_0 v0_1_0", S::Finished);
    let lost = JobEvent::EnumeratorsLost(transient("the coordinator was lost"));
    assert_eq!(script.send(lost), [""; 0]);
}

#[test]
fn a_failure_of_all_takes_over_a_recovery() {
    let mut script = chains();
    script.fail("v1_0_0", C::UserCode, "boom");
    let lost = JobEvent::EnumeratorsLost(transient("the coordinator was lost"));
    let actions = decisions(script.send(lost));
    assert!(
        actions.contains(&"cancel b#1: v0_1_0 v1_1_0".to_owned()),
        "{actions:?}"
    );
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 1 [[101]]");
    assert_eq!(script.core.restarts(), 1, "one loss counts once");
}
