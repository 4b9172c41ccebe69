//! The commit point, and what follows from it; what is kept at the end.

use flott_model::{CheckpointId, ExecutionState as S, FailureClass as C, SnapshotKind as K};

use crate::checkpoint::{CheckpointRetention as R, CheckpointSettings, CheckpointStatus};
use crate::job::message::JobEvent;
use crate::job::testkit::{Script, decisions, every_ten_seconds, snapshot};

#[test]
fn tasks_are_told_and_older_ones_are_deleted() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.hand_over(1);
    assert_eq!(
        script.stored(1),
        [
            "completed 1 a#0: v0_0_0 v1_0_0",
            "completed 1 b#1: v0_1_0 v1_1_0"
        ]
    );
    assert_eq!(script.stored(1), [""; 0], "doubled");
    script.due(2, 20);
    let actions = script.complete(2);
    assert_eq!(actions[0], "completed 2 a#0: v0_0_0 v1_0_0");
    assert_eq!(actions[2], "discard 1 /c/chk-1");
    let statistics = script.core.checkpoints();
    assert_eq!(statistics.counts.completed, 2);
    let first = statistics.get(CheckpointId(1)).unwrap();
    assert!(matches!(
        &first.status,
        CheckpointStatus::Completed { discarded: true, path, .. } if path == "/c/chk-1"
    ));
    assert_eq!(
        statistics.latest_completed.as_ref().unwrap().checkpoint,
        CheckpointId(2)
    );
}

#[test]
fn a_worker_without_tasks_is_told_as_well() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.tasks("v0_1_0 v1_1_0", S::Finished);
    script.due(1, 10);
    assert_eq!(
        script.complete(1),
        ["completed 1 a#0: v0_0_0 v1_0_0", "completed 1 b#1: "]
    );
}

#[test]
fn files_that_the_next_one_uses_stay() {
    let mut script = Script::checkpointing(every_ten_seconds());
    for (number, files) in [
        (1, ["x", "/c/shared/p"]),
        (2, ["/c/chk-1/x", "/c/shared/q"]),
    ] {
        script.due(number, number * 10);
        script.opened(number);
        script.ack_with("v0_0_0", number, snapshot(files[0], &[]));
        script.ack_with("v0_1_0", number, snapshot(files[1], &[]));
        script.ack("v1_0_0 v1_1_0", number);
        script.enumerators(number, b"");
        let actions = script.stored(number);
        if number == 2 {
            assert_eq!(
                actions[2],
                "discard 1 /c/chk-1 keep [\"x\"] files [\"/c/shared/p\"]"
            );
        }
    }
}

#[test]
fn older_ones_on_their_way_are_given_up() {
    let mut script = Script::checkpointing(CheckpointSettings {
        max_concurrent: 3,
        ..every_ten_seconds()
    });
    script.due(1, 10);
    script.due(2, 20);
    script.due(3, 30);
    script.hand_over(1);
    script.opened(3);
    let actions = script.complete(2);
    assert_eq!(
        actions,
        [
            "aborted 1 a#0: v0_0_0 v1_0_0",
            "aborted 1 b#1: v0_1_0 v1_1_0",
            "discard 1 /c/chk-1",
            "completed 2 a#0: v0_0_0 v1_0_0",
            "completed 2 b#1: v0_1_0 v1_1_0"
        ]
    );
    assert_eq!(script.stored(1), [""; 0], "it came too late");
    assert_eq!(script.core.checkpoints().counts.in_progress, 1);
    assert_eq!(
        script.core.failure_history().count(),
        0,
        "it does not count"
    );
}

#[test]
fn what_one_on_its_way_may_use_waits_for_it() {
    let mut script = Script::checkpointing(CheckpointSettings {
        max_concurrent: 2,
        tolerable_failed: 9,
        ..every_ten_seconds()
    });
    let hand_over = |script: &mut Script, number: u64, file: &str| {
        script.opened(number);
        script.ack_with("v0_0_0", number, snapshot(file, &[]));
        script.ack("v0_1_0 v1_0_0 v1_1_0", number);
        script.enumerators(number, b"");
    };
    script.due(1, 10);
    hand_over(&mut script, 1, "/c/shared/p");
    script.stored(1);
    script.due(2, 20);
    script.due(3, 30);
    hand_over(&mut script, 2, "/c/shared/q");
    let actions = script.stored(2);
    let discards = |actions: Vec<String>| {
        let actions = actions.into_iter();
        let discards = actions.filter(|it| it.starts_with("discard"));
        discards.collect::<Vec<String>>()
    };
    assert_eq!(
        discards(actions),
        [""; 0],
        "3 may begin where 1 was the newest"
    );
    hand_over(&mut script, 3, "/c/shared/p");
    assert_eq!(
        discards(script.stored(3)),
        [
            "discard 1 /c/chk-1",
            "discard 2 /c/chk-2 keep [] files [\"/c/shared/q\"]"
        ]
    );
}

#[test]
fn as_many_are_kept_as_wanted() {
    let mut script = Script::checkpointing(CheckpointSettings {
        num_retained: 2,
        ..every_ten_seconds()
    });
    let mut deleted = Vec::new();
    for number in 1..=4 {
        script.due(number, number * 10);
        let actions = script.complete(number).into_iter();
        deleted.extend(actions.filter(|it| it.starts_with("discard")));
    }
    assert_eq!(deleted, ["discard 1 /c/chk-1", "discard 2 /c/chk-2"]);
}

/// What is deleted when a job with a complete checkpoint, and another one on its way, ends.
fn deleted_at_the_end(retention: R, end: fn(&mut Script) -> Vec<String>) -> Vec<String> {
    let mut script = Script::checkpointing(CheckpointSettings {
        retention,
        ..every_ten_seconds()
    });
    script.due(1, 10);
    script.complete(1);
    script.due(2, 20);
    script.opened(2);
    let actions = end(&mut script).into_iter();
    assert!(script.core.status().is_terminal());
    actions.filter(|it| it.starts_with("discard")).collect()
}

fn finish(script: &mut Script) -> Vec<String> {
    script.all_tasks(0, S::Finished)
}

fn cancel(script: &mut Script) -> Vec<String> {
    let mut actions = script.send(JobEvent::CancelRequested);
    actions.extend(script.all_tasks(0, S::Canceled));
    actions
}

fn fail(script: &mut Script) -> Vec<String> {
    let mut actions = script.fail("v0_0_0", C::Fatal, "another graph");
    actions.extend(script.tasks("v0_1_0 v1_0_0 v1_1_0", S::Canceled));
    actions
}

#[test]
fn what_is_kept_at_the_end_is_configured() {
    let both = ["discard 2 /c/chk-2", "discard 1 /c/chk-1"];
    let pending = ["discard 2 /c/chk-2"];
    let never = R::NoExternalizedCheckpoints;
    assert_eq!(deleted_at_the_end(never, cancel), both);
    assert_eq!(deleted_at_the_end(never, fail), both);
    assert_eq!(deleted_at_the_end(R::DeleteOnCancellation, cancel), both);
    assert_eq!(deleted_at_the_end(R::DeleteOnCancellation, fail), pending);
    assert_eq!(deleted_at_the_end(R::RetainOnCancellation, cancel), pending);
    assert_eq!(deleted_at_the_end(R::RetainOnCancellation, fail), pending);
    for retention in [never, R::DeleteOnCancellation, R::RetainOnCancellation] {
        let deleted = deleted_at_the_end(retention, finish);
        // Each task that finishes has one begin anew.
        assert!(deleted.contains(&"discard 2 /c/chk-2".to_owned()));
        assert_eq!(deleted.last().unwrap(), "discard 1 /c/chk-1");
    }
}

#[test]
fn savepoints_stay() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.request(1, K::Savepoint);
    script.complete(1);
    let deleted = finish(&mut script).into_iter();
    let deleted: Vec<String> = deleted.filter(|it| it.starts_with("discard")).collect();
    assert_eq!(deleted, [""; 0]);
}

#[test]
fn the_end_of_a_job_with_one_on_its_way_is_no_failure_of_it() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.hand_over(1);
    let actions = decisions(finish(&mut script));
    assert_eq!(actions.last().unwrap(), "discard 1 /c/chk-1");
    assert_eq!(script.core.failure_history().count(), 0);
    assert_eq!(script.stored(1), [""; 0]);
}
