//! Savepoints and checkpoints that somebody asks for.

use flott_model::{CheckpointId, ExecutionState as S, JobStatus, SnapshotKind as K};

use crate::checkpoint::CheckpointSettings;
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{Script, decisions, every_ten_seconds, transient};

#[test]
fn a_savepoint_goes_where_it_is_wanted() {
    let mut script = Script::checkpointing(CheckpointSettings::default());
    assert_eq!(
        script.request(7, K::Savepoint),
        ["open 1 Savepoint in /s", "timer timeout of 1 at 600s"]
    );
    script.hand_over(1);
    assert_eq!(
        script.metadata(1, Ok("hdfs:/s/savepoint-1".to_owned())),
        ["request 7: 1 at hdfs:/s/savepoint-1"],
        "tasks are not told, and nothing is committed"
    );
    let latest = script.core.checkpoints().latest_savepoint.as_ref().unwrap();
    assert_eq!(latest.checkpoint, CheckpointId(1));
}

#[test]
fn no_restart_begins_from_a_savepoint_that_is_not_the_last_act() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.complete(1);
    script.request(7, K::Savepoint);
    script.complete(2);
    script.fail("v1_0_0", flott_model::FailureClass::UserCode, "boom");
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 1 [[101]]");
}

#[test]
fn a_savepoint_does_not_wait_for_checkpoints() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.opened(1);
    assert_eq!(script.request(7, K::Savepoint)[0], "open 2 Savepoint in /s");
    assert_eq!(script.request(8, K::Savepoint)[0], "open 3 Savepoint in /s");
    script.complete(3);
    assert_eq!(
        script.core.checkpoints().counts.in_progress,
        2,
        "others go on"
    );
    assert_eq!(
        script.due(2, 20),
        [""; 0],
        "periodic ones wait for savepoints"
    );
}

#[test]
fn a_checkpoint_that_is_asked_for_waits_for_its_turn() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    assert_eq!(script.request(7, K::Checkpoint), [""; 0]);
    let actions = script.complete(1);
    assert_eq!(
        actions[2..],
        ["open 2 Checkpoint", "timer timeout of 2 at 610s"]
    );
    let actions = script.complete(2);
    assert_eq!(
        actions[2..],
        ["request 7: 2 at /c/chk-2", "discard 1 /c/chk-1"]
    );
}

#[test]
fn a_savepoint_that_fails_never_counts() {
    let mut script = Script::checkpointing(every_ten_seconds());
    for request in 1..=3 {
        script.request(request, K::Savepoint);
        script.opened(request);
        let actions = script.decline("v0_0_0", request);
        assert_eq!(
            actions.last().unwrap(),
            &format!("request {request}: the savepoint failed: disk full")
        );
    }
    assert_eq!(script.core.status(), JobStatus::Running);
    assert_eq!(script.core.checkpoints().counts.failed, 3);
}

#[test]
fn a_checkpoint_that_was_asked_for_counts() {
    let mut script = Script::checkpointing(CheckpointSettings::default());
    script.request(1, K::Checkpoint);
    script.opened(1);
    let actions = script.decline("v0_0_0", 1);
    assert_eq!(actions[3], "request 1: the checkpoint failed: disk full");
    assert!(actions[4].starts_with("status RESTARTING"));
}

#[test]
fn a_savepoint_begins_anew_when_a_task_has_finished() {
    let mut script = Script::checkpointing(CheckpointSettings::default());
    script.request(7, K::Savepoint);
    script.opened(1);
    let actions = decisions(script.task("v0_0_0", S::Finished));
    assert_eq!(
        actions[2..],
        [
            "discard 1 /c/chk-1",
            "open 2 Savepoint in /s",
            "timer timeout of 2 at 600s"
        ]
    );
    assert_eq!(script.complete(2), ["request 7: 2 at /c/chk-2"]);
}

#[test]
fn no_savepoint_is_taken_of_a_job_that_does_not_run() {
    let mut script = Script::two_by_two(crate::job::RestartStrategy::None);
    script.send(JobEvent::Started);
    assert_eq!(
        script.request(1, K::Savepoint),
        ["request 1: the savepoint failed: the job is RUNNING, and not all its tasks run"]
    );
    script.start_on_two();
    script.task("v0_0_0", S::Running);
    assert_eq!(
        script.request(2, K::StopWithSavepoint),
        [
            "request 2: stop-with-savepoint failed: task source (2/2) is DEPLOYING: try again when \
             all tasks run"
        ]
    );
}

#[test]
fn a_failure_of_the_job_fails_what_was_asked_for() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.request(1, K::Savepoint);
    script.opened(2);
    script.request(2, K::Checkpoint);
    let actions = decisions(script.lose_worker("b#1", "killed by SIGKILL"));
    for request in [1, 2] {
        let name = if request == 1 {
            "savepoint"
        } else {
            "checkpoint"
        };
        let answer = format!(
            "request {request}: the {name} failed: the job failed: b (h2): killed by SIGKILL"
        );
        assert!(actions.contains(&answer), "{actions:?}");
    }
}

#[test]
fn the_end_of_the_job_fails_what_was_asked_for() {
    let mut script = Script::checkpointing(CheckpointSettings::default());
    script.request(1, K::Savepoint);
    let mut actions = decisions(script.all_tasks(0, S::Finished));
    actions.retain(|it| it.starts_with("request"));
    assert_eq!(
        actions,
        ["request 1: the savepoint failed: all tasks of the job have finished"]
    );
    assert_eq!(
        script.request(2, K::Savepoint),
        ["request 2: the savepoint failed: the job is FINISHED, and not all its tasks run"]
    );
}

#[test]
fn a_job_is_cancelled_when_its_savepoint_is_complete() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.opened(1);
    let actions = script.request_with(5, K::Savepoint, true);
    assert_eq!(
        actions,
        [
            "aborted 1 a#0: v0_0_0 v1_0_0",
            "aborted 1 b#1: v0_1_0 v1_1_0",
            "discard 1 /c/chk-1",
            "open 2 Savepoint in /s",
            "timer timeout of 2 at 610s"
        ]
    );
    assert_eq!(
        script.request(6, K::Savepoint),
        ["request 6: the savepoint failed: cancel-with-savepoint is under way"]
    );
    assert_eq!(script.due(2, 20), [""; 0], "no more periodic ones");
    let actions = script.complete(2);
    assert_eq!(
        actions,
        [
            "request 5: 2 at /c/chk-2",
            "status CANCELLING",
            "timer cancellation 1 at 200s",
            "cancel a#0: v0_0_0 v1_0_0",
            "cancel b#1: v0_1_0 v1_1_0"
        ]
    );
}

#[test]
fn a_job_goes_on_if_its_savepoint_fails() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.request_with(5, K::Savepoint, true);
    script.opened(1);
    script.seconds = 3;
    let actions = script.decline("v1_0_0", 1);
    assert_eq!(
        actions[3..],
        [
            "request 5: cancel-with-savepoint failed: disk full",
            "timer checkpoint 2 at 13s"
        ]
    );
    assert_eq!(script.core.status(), JobStatus::Running);
}

#[test]
fn a_wish_whose_place_cannot_be_made_fails() {
    let mut script = Script::checkpointing(CheckpointSettings::default());
    script.request(3, K::Savepoint);
    assert_eq!(
        script.place(1, Err(transient("permission denied"))),
        [
            "discard 1 ",
            "request 3: the savepoint failed: no directory could be made for it: permission denied"
        ]
    );
}
