//! The checkpoints of one job, as its shell performs what the core decides about them: storage, what
//! enumerators must be told, and who asked for savepoints.

mod begin;
mod dispose;
mod queue;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use flott_coordination::checkpoint::SnapshotResult;
use flott_coordination::job::JobEvent;
use flott_model::{CheckpointId, ExecutionAttemptId, Failure, SnapshotKind};
use flott_protocol::message::{SnapshotEnumerators, SplitsReceived};
use tokio::sync::oneshot;

pub(crate) use begin::{Begin, begin, file_systems};
pub use dispose::dispose;
pub(crate) use queue::StorageQueue;
pub use storage::{CheckpointError, load};
pub(crate) use storage::{CheckpointStorage, NOT_ADDRESSABLE};

/// A wish for a savepoint or checkpoint, and where the answer goes.
#[derive(Debug)]
pub(crate) struct SnapshotWish {
    pub(crate) kind: SnapshotKind,
    pub(crate) directory: Option<String>,
    pub(crate) cancel: bool,
    pub(crate) answer: oneshot::Sender<Result<SnapshotResult, Failure>>,
}

/// The checkpoints of one job.
pub(crate) struct JobCheckpoints {
    pub(crate) storage: StorageQueue,
    /// What subtasks of sources had been given at the barriers of checkpoints under way.
    received: BTreeMap<CheckpointId, BTreeMap<ExecutionAttemptId, u64>>,
    /// Savepoints that end the job.
    stopping: BTreeSet<CheckpointId>,
    /// When those under way were triggered, in milliseconds since the epoch.
    triggered: BTreeMap<CheckpointId, i64>,
    wishes: BTreeMap<u64, oneshot::Sender<Result<SnapshotResult, Failure>>>,
    last_wish: u64,
}

impl JobCheckpoints {
    pub(crate) fn new(storage: StorageQueue) -> Self {
        Self {
            storage,
            received: BTreeMap::new(),
            stopping: BTreeSet::new(),
            triggered: BTreeMap::new(),
            wishes: BTreeMap::new(),
            last_wish: 0,
        }
    }

    /// Somebody wants a savepoint: the event for the core.
    pub(crate) fn wish(&mut self, wish: SnapshotWish) -> JobEvent {
        self.last_wish += 1;
        self.wishes.insert(self.last_wish, wish.answer);
        JobEvent::SnapshotRequested {
            request: self.last_wish,
            kind: wish.kind,
            directory: wish.directory,
            cancel: wish.cancel,
        }
    }

    /// A wish has come true, or never will.
    pub(crate) fn answer(&mut self, request: u64, result: Result<SnapshotResult, Failure>) {
        if let Some(answer) = self.wishes.remove(&request) {
            // Who asked may have gone.
            let _ = answer.send(result);
        }
    }

    /// A checkpoint is to begin.
    pub(crate) fn open(
        &mut self,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
        directory: Option<String>,
    ) {
        if kind.stops() {
            self.stopping.insert(checkpoint);
        }
        self.storage.open(checkpoint, kind, directory);
    }

    /// A checkpoint has begun.
    pub(crate) fn opened(&mut self, checkpoint: CheckpointId, timestamp_ms: i64) {
        self.triggered.insert(checkpoint, timestamp_ms);
    }

    /// When a checkpoint under way was triggered, in milliseconds since the epoch.
    pub(crate) fn triggered_ms(&self, checkpoint: CheckpointId) -> i64 {
        self.triggered.get(&checkpoint).copied().unwrap_or_default()
    }

    /// A subtask of a source had been given so many splits at the barrier.
    pub(crate) fn received(
        &mut self,
        checkpoint: CheckpointId,
        attempt: ExecutionAttemptId,
        splits: u64,
    ) {
        let of_checkpoint = self.received.entry(checkpoint).or_default();
        of_checkpoint.insert(attempt, splits);
    }

    /// What the coordinator of the sources is asked.
    pub(crate) fn ask_enumerators(&self, checkpoint: CheckpointId) -> SnapshotEnumerators {
        let received = self.received.get(&checkpoint).into_iter().flatten();
        let received = received.map(|(attempt, splits)| SplitsReceived {
            attempt: (*attempt).into(),
            splits: *splits,
        });
        SnapshotEnumerators {
            checkpoint: checkpoint.0,
            received: received.collect(),
        }
    }

    /// A checkpoint has ended. Whether the job stops with it, if it is complete.
    pub(crate) fn ended(&mut self, checkpoint: CheckpointId) -> bool {
        // Older ones were given up.
        let next = CheckpointId(checkpoint.0 + 1);
        self.received = self.received.split_off(&next);
        self.triggered = self.triggered.split_off(&next);
        self.stopping.contains(&checkpoint)
    }
}
