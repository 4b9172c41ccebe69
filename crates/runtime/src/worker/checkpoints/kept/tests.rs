//! What a worker keeps, and what it lets go.

use std::collections::BTreeMap;

use flott_config::Configuration;
use flott_model::{CheckpointId, Epoch, ExecutionAttemptId, OperatorUid, SubtaskRestore, VertexId};
use flott_protocol::message::WorkerSpec;
use flott_record::hash::stable_hash;
use flott_state::{KeyedTable, OperatorSnapshot};

use super::{EncodedBytes, Kept, most_bytes};

fn attempt(subtask: u32, attempt: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(0),
        subtask,
        attempt,
    }
}

/// A snapshot with so many rows.
fn snapshot(rows: u64) -> Vec<(OperatorUid, OperatorSnapshot)> {
    let mut table = KeyedTable::<u64, u64>::new();
    for key in 0..rows {
        table.insert(stable_hash(&key), key, key);
    }
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("rows", &mut table).unwrap();
    vec![(OperatorUid(7), snapshot)]
}

fn keep(kept: &mut Kept, checkpoint: u64, subtask: u32) -> EncodedBytes {
    kept.keep(
        CheckpointId(checkpoint),
        attempt(subtask, 0),
        &snapshot(100),
    )
}

fn rolls_back(kept: &mut Kept, checkpoint: u64, attempt: ExecutionAttemptId) -> bool {
    let restore = SubtaskRestore {
        checkpoint,
        ..SubtaskRestore::default()
    };
    let operators = kept.roll_back(attempt, Some(&restore));
    operators.is_some_and(|operators| operators.contains_key(&OperatorUid(7)))
}

fn plenty() -> Kept {
    Kept::new(1 << 30)
}

#[test]
fn a_subtask_rolls_back_to_what_it_took_as_often_as_it_fails() {
    let mut kept = plenty();
    keep(&mut kept, 3, 0);
    keep(&mut kept, 3, 1);
    kept.completed(CheckpointId(3));
    assert!(rolls_back(&mut kept, 3, attempt(0, 1)));
    assert!(rolls_back(&mut kept, 3, attempt(0, 2)));
    assert!(rolls_back(&mut kept, 3, attempt(1, 1)));
    assert!(
        !rolls_back(&mut kept, 3, attempt(2, 1)),
        "nobody took it here"
    );
}

#[test]
fn a_checkpoint_is_there_before_the_word_that_it_is_complete_and_until_the_next_one_is() {
    let mut kept = plenty();
    keep(&mut kept, 3, 0);
    keep(&mut kept, 4, 0);
    kept.completed(CheckpointId(3));
    keep(&mut kept, 5, 0);
    kept.completed(CheckpointId(4));
    kept.aborted(CheckpointId(5));
    let all = kept.bytes();
    assert!(rolls_back(&mut kept, 4, attempt(0, 1)));
    assert_eq!(kept.bytes(), all, "3 went with 4, and 5 was given up");
    assert!(!rolls_back(&mut kept, 3, attempt(0, 1)));
}

#[test]
fn what_was_taken_after_the_checkpoint_that_is_restored_is_dropped() {
    let mut kept = plenty();
    for checkpoint in 3..6 {
        keep(&mut kept, checkpoint, 0);
        keep(&mut kept, checkpoint, 1);
    }
    let all = kept.bytes();
    assert!(rolls_back(&mut kept, 4, attempt(0, 1)));
    assert_eq!(kept.bytes(), all / 6 * 4, "one of three, and three");
    // Without a checkpoint.
    assert!(kept.roll_back(attempt(1, 1), None).is_none());
    assert_eq!(kept.bytes(), all / 6);
}

#[test]
fn a_subtask_that_had_finished_needs_nothing() {
    let mut kept = plenty();
    keep(&mut kept, 3, 0);
    let restore = SubtaskRestore {
        checkpoint: 3,
        finished: true,
        ..SubtaskRestore::default()
    };
    assert!(kept.roll_back(attempt(0, 1), Some(&restore)).is_none());
    assert_eq!(kept.bytes(), 0);
}

#[test]
fn another_jobmaster_counts_anew() {
    let mut kept = plenty();
    keep(&mut kept, 3, 0);
    let other = ExecutionAttemptId {
        epoch: Epoch(2),
        ..attempt(0, 1)
    };
    assert!(!rolls_back(&mut kept, 3, other));
}

#[test]
fn above_the_limit_the_oldest_go() {
    let one = {
        let mut kept = plenty();
        keep(&mut kept, 1, 0);
        kept.bytes()
    };
    let mut kept = Kept::new(3 * one + 50);
    for subtask in 0..3 {
        keep(&mut kept, 1, subtask);
    }
    assert_eq!(kept.bytes(), 3 * one);
    let encoded = keep(&mut kept, 2, 1);
    assert_eq!(kept.bytes(), 3 * one, "for a new one an old one goes");
    assert!(!rolls_back(&mut kept, 1, attempt(0, 1)));
    assert!(rolls_back(&mut kept, 1, attempt(2, 1)));
    encoded.set(100);
    assert_eq!(kept.bytes(), 3 * one + 100, "what rows point to counts");
    kept.completed(CheckpointId(1));
    assert_eq!(kept.bytes(), 2 * one + 100);
    assert!(rolls_back(&mut kept, 2, attempt(1, 1)));
}

#[test]
fn what_is_too_large_alone_is_not_kept() {
    let mut kept = Kept::new(10);
    keep(&mut kept, 1, 0);
    assert_eq!(kept.bytes(), 0);
    let mut none = Kept::new(0);
    none.keep(CheckpointId(1), attempt(0, 0), &[]);
    assert!(none.subtasks.is_empty());
}

#[test]
fn two_operators_by_one_name_are_not_kept() {
    let mut kept = plenty();
    let twice: Vec<_> = snapshot(1).into_iter().chain(snapshot(1)).collect();
    kept.keep(CheckpointId(1), attempt(0, 0), &twice);
    assert_eq!(kept.bytes(), 0);
}

#[test]
fn the_limit_is_what_was_set_or_a_part_of_the_workers_memory() {
    let spec = |memory_bytes| WorkerSpec {
        memory_bytes,
        ..WorkerSpec::default()
    };
    let with = |settings: &[(&str, &str)]| {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings: BTreeMap<_, _> = settings.iter().map(own).collect();
        Configuration::from_map(settings).unwrap()
    };
    let max = ("state.local-recovery.memory.max", "2 mb");
    assert_eq!(most_bytes(&spec(4 << 20), &with(&[])), 1 << 20);
    assert_eq!(most_bytes(&spec(0), &with(&[])), 1 << 30);
    assert_eq!(most_bytes(&spec(0), &with(&[max])), 2 << 20);
    for key in [
        "execution.state-recovery.from-local",
        "state.backend.local-recovery",
    ] {
        assert_eq!(most_bytes(&spec(0), &with(&[max, (key, "false")])), 0);
    }
}
