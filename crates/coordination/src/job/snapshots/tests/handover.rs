//! What is handed over, until the metadata is written.

use flott_model::{CheckpointId, EnumeratorState, ExecutionState as S, FailureClass as C};

use crate::checkpoint::{CheckpointSettings, CheckpointStatus};
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{
    Script, attempt, decisions, every_ten_seconds, output, snapshot, transient, uid, worker,
};

fn begun() -> Script {
    let mut script = Script::checkpointing(CheckpointSettings {
        tolerable_failed: 9,
        ..every_ten_seconds()
    });
    script.due(1, 10);
    script.opened(1);
    script
}

fn states(result: Result<&[u8], &str>, from: Option<&str>) -> JobEvent {
    JobEvent::EnumeratorsSnapshotted {
        checkpoint: CheckpointId(1),
        worker: from.map(worker),
        result: match result {
            Ok(state) => Ok(vec![EnumeratorState {
                operator: uid(0),
                state: state.to_vec(),
            }]),
            Err(why) => Err(transient(why)),
        },
    }
}

#[test]
fn enumerators_hand_over_when_all_sources_have() {
    let mut script = begun();
    assert_eq!(script.ack("v0_0_0 v1_0_0 v1_1_0", 1), [""; 0]);
    assert_eq!(
        decisions(script.send(states(Ok(b"early"), None))),
        [""; 0],
        "nobody asked"
    );
    assert_eq!(script.ack("v0_1_0", 1), ["enumerators 1"]);
    assert_eq!(
        decisions(script.send(states(Ok(b"e"), Some("a#0")))),
        ["store 1 in /c/chk-1"]
    );
    assert_eq!(decisions(script.send(states(Ok(b"e"), None))), [""; 0]);
}

#[test]
fn the_last_subtask_may_come_after_the_enumerators() {
    let mut script = begun();
    script.ack("v0_0_0 v0_1_0 v1_0_0", 1);
    assert_eq!(script.enumerators(1, b"e"), [""; 0]);
    assert_eq!(script.ack("v1_0_0", 1), [""; 0], "doubled");
    assert_eq!(script.ack("v1_1_9", 1), [""; 0], "another attempt");
    assert_eq!(script.ack("v1_1_0", 7), [""; 0], "another checkpoint");
    assert_eq!(script.ack("v1_1_0", 1), ["store 1 in /c/chk-1"]);
}

#[test]
fn the_metadata_says_everything() {
    let mut script = begun();
    script.task_with(attempt("v1_1_0"), S::Finished, None, vec![output(1, 8)]);
    // The one that waited for v1_1_0 was given up, and the next one takes it as finished.
    script.opened(2);
    script.ack_with("v0_0_0", 2, snapshot("x", &[]));
    script.ack_with("v0_1_0", 2, snapshot("", &[]));
    script.ack_with("v1_0_0", 2, snapshot("y", &[output(1, 5)]));
    let metadata = script.metadata_after(JobEvent::EnumeratorsSnapshotted {
        checkpoint: CheckpointId(2),
        worker: None,
        result: Ok(vec![EnumeratorState {
            operator: uid(0),
            state: b"e".to_vec(),
        }]),
    });
    let metadata = &metadata[0];
    assert_eq!(metadata.id, 2);
    assert_eq!((metadata.version, metadata.kind, metadata.epoch), (1, 0, 1));
    assert_eq!(metadata.timestamp_ms, 7);
    assert_eq!(metadata.job, format!("{:032x}", 7));
    assert_eq!(metadata.job_name, "job");
    let names: Vec<&str> = metadata
        .vertices
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["source", "sink"]);
    assert_eq!(metadata.vertices[1].uid, uid(1));
    assert_eq!(metadata.vertices[1].operators[0].name, "sink");
    assert_eq!(metadata.vertices[1].max_parallelism, 128);
    assert_eq!(metadata.files().collect::<Vec<&str>>(), ["x", "y"]);
    let finished = metadata.vertices.iter().flat_map(|it| &it.subtasks);
    let finished: Vec<bool> = finished.map(|it| it.finished).collect();
    assert_eq!(finished, [false, false, false, true]);
    assert_eq!(metadata.enumerators[0].state, b"e");
    let committables: Vec<u8> = metadata
        .committables()
        .map(|it| it.committable[0])
        .collect();
    assert_eq!(committables, [5, 8]);
    assert_eq!(metadata.uncommitted, []);
}

#[test]
fn a_decline_gives_it_up() {
    let mut script = begun();
    script.ack_with("v0_0_0", 1, snapshot("x", &[]));
    assert_eq!(script.decline("v1_1_7", 1), [""; 0], "another attempt");
    assert_eq!(script.decline("v1_1_0", 2), [""; 0], "another checkpoint");
    assert_eq!(
        script.decline("v1_1_0", 1),
        [
            "aborted 1 a#0: v0_0_0 v1_0_0",
            "aborted 1 b#1: v0_1_0 v1_1_0",
            "discard 1 /c/chk-1"
        ]
    );
    let latest = script.core.checkpoints().latest_failed.as_ref().unwrap();
    let CheckpointStatus::Failed { failure, .. } = &latest.status else {
        panic!("{latest:?}");
    };
    assert_eq!(failure.to_string(), "task sink (2/2) on b (h2): disk full");
    assert_eq!(script.decline("v1_1_0", 1), [""; 0], "doubled");
    assert_eq!(script.stored(1), [""; 0], "nobody waits for that");
}

#[test]
fn what_comes_for_one_that_was_given_up_is_deleted() {
    let mut script = begun();
    script.decline("v1_1_0", 1);
    assert_eq!(
        script.ack_with("v1_0_0", 1, snapshot("late", &[])),
        ["discard 1 /c/chk-1"]
    );
    assert_eq!(
        script.ack_with("v1_0_0", 1, snapshot("/c/shared/late", &[])),
        ["discard 1 /c/chk-1 keep [] files [\"/c/shared/late\"]"]
    );
    assert_eq!(script.ack("v1_0_0", 1), [""; 0], "nothing was stored");
}

#[test]
fn one_that_takes_too_long_is_given_up() {
    let mut script = begun();
    script.ack("v0_0_0 v0_1_0 v1_0_0", 1);
    script.seconds = 610;
    let actions = decisions(script.fire(Timer::CheckpointTimeout(CheckpointId(1))));
    assert_eq!(actions[2], "discard 1 /c/chk-1");
    let latest = script.core.checkpoints().latest_failed.as_ref().unwrap();
    let CheckpointStatus::Failed { failure, .. } = &latest.status else {
        panic!("{latest:?}");
    };
    assert_eq!(
        failure.message,
        "it was not complete within 600s (execution.checkpointing.timeout); 3 of 4 subtasks had \
         handed over"
    );
}

#[test]
fn enumerators_without_a_state_give_it_up() {
    let mut script = begun();
    script.ack("v0_0_0 v0_1_0", 1);
    let actions = decisions(script.send(states(Err("nobody coordinates"), None)));
    assert_eq!(actions[2], "discard 1 /c/chk-1");
    assert_eq!(script.core.checkpoints().counts.failed, 1);
}

#[test]
fn the_word_of_a_lost_coordinator_does_not_count() {
    let mut script = begun();
    script.ack("v0_0_0 v0_1_0", 1);
    let actions = decisions(script.send(states(Ok(b"e"), Some("c#7"))));
    assert_eq!(
        actions[2..],
        [
            "discard 1 /c/chk-1",
            "timer checkpoint 3 at 20s",
            "open 2 Checkpoint",
            "timer timeout of 2 at 610s"
        ]
    );
}

#[test]
fn the_metadata_may_not_be_written() {
    let mut script = begun();
    script.hand_over(1);
    assert_eq!(
        script.metadata(1, Err(transient("quota exceeded"))),
        [
            "aborted 1 a#0: v0_0_0 v1_0_0",
            "aborted 1 b#1: v0_1_0 v1_1_0",
            "discard 1 /c/chk-1"
        ]
    );
    assert_eq!(script.core.checkpoints().counts.completed, 0);
}

#[test]
fn failures_one_after_the_other_fail_the_job() {
    let mut script = Script::checkpointing(CheckpointSettings {
        tolerable_failed: 1,
        ..every_ten_seconds()
    });
    let fail = |script: &mut Script, number: u64| {
        script.due(number, number * 10);
        script.opened(number);
        script.decline("v1_1_0", number)
    };
    assert_eq!(fail(&mut script, 1).len(), 3);
    script.due(2, 20);
    script.complete(2);
    assert_eq!(fail(&mut script, 3).len(), 3, "the count began anew");
    let actions = fail(&mut script, 4);
    assert_eq!(
        actions[3],
        "status RESTARTING: task sink (2/2) on b (h2): checkpoint 4 failed: disk full\n(2 failed one \
         after the other; execution.checkpointing.tolerable-failed-checkpoints is 1)"
    );
}

#[test]
fn a_failure_of_the_users_code_in_a_snapshot_is_that() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.opened(1);
    script.send(JobEvent::CheckpointDeclined {
        attempt: attempt("v1_0_0"),
        checkpoint: CheckpointId(1),
        failure: flott_model::Failure::new(C::UserCode, "snapshot() panicked"),
    });
    let history: Vec<C> = script
        .core
        .failure_history()
        .map(|it| it.failure.class())
        .collect();
    assert_eq!(history, [C::UserCode]);
}

#[test]
fn statistics_follow() {
    let mut script = begun();
    script.seconds = 12;
    script.ack_with("v0_0_0", 1, snapshot("x", &[]));
    let record = script.core.checkpoints().get(CheckpointId(1)).unwrap();
    assert_eq!(record.progress(), (4, 1));
    assert_eq!(record.bytes(), 100);
    assert_eq!(record.triggered.as_secs(), 10);
    assert_eq!(record.latest_acknowledgement().unwrap().as_secs(), 12);
    let events = script.send(JobEvent::CheckpointAcknowledged {
        attempt: attempt("v0_1_0"),
        checkpoint: CheckpointId(1),
        snapshot: snapshot("", &[]),
    });
    assert_eq!(events, ["changed 1", "enumerators 1"]);
    let subtask = script.core.checkpoints().history[0].vertices[0].subtasks[1].unwrap();
    assert!(!subtask.finished);
    assert_eq!(script.core.checkpoints().counts.in_progress, 1);
}
