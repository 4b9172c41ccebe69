//! Checkpoints on the wire: what workers are told, and what they answer.

use flott_model::{EnumeratorState, Failure, SubtaskSnapshot};

use super::AttemptId;

/// A checkpoint has begun. Said to every worker with tasks, before any barrier is sent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BeginCheckpoint {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// See [`flott_model::SnapshotKind::number`].
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// When it was triggered, in milliseconds since the epoch.
    #[prost(int64, tag = "3")]
    pub timestamp_ms: i64,
    /// The directory for its files, a URI; empty: all state goes into the acknowledgements.
    #[prost(string, tag = "4")]
    pub directory: String,
    /// The tasks of this worker that send the first barriers.
    #[prost(message, repeated, tag = "5")]
    pub attempts: Vec<AttemptId>,
    /// Its barriers may overtake rows.
    #[prost(bool, tag = "6")]
    pub unaligned: bool,
    /// With `unaligned`: milliseconds from the trigger until they do.
    #[prost(uint64, tag = "7")]
    pub aligned_timeout_ms: u64,
}

/// A checkpoint is complete, or was given up.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct EndCheckpoint {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// Whether it is complete.
    #[prost(bool, tag = "2")]
    pub completed: bool,
    /// Its tasks end now: it was a savepoint after which the job stops.
    #[prost(bool, tag = "3")]
    pub stop: bool,
}

/// Asks the coordinator of the sources for its state.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SnapshotEnumerators {
    /// The checkpoint.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// How many splits subtasks had been given when their barrier passed.
    #[prost(message, repeated, tag = "2")]
    pub received: Vec<SplitsReceived>,
}

/// How many splits a source's subtask had been given.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SplitsReceived {
    /// Whose.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// How many.
    #[prost(uint64, tag = "2")]
    pub splits: u64,
}

/// Answer to [`SnapshotEnumerators`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct EnumeratorsSnapshotted {
    /// The checkpoint.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// By source.
    #[prost(message, repeated, tag = "2")]
    pub states: Vec<EnumeratorState>,
    /// Why there are none.
    #[prost(message, optional, tag = "3")]
    pub failure: Option<Failure>,
}

/// A task's snapshot is stored, or could not be.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskSnapshotted {
    /// The checkpoint.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// The attempt.
    #[prost(message, required, tag = "2")]
    pub attempt: AttemptId,
    /// The snapshot, if it is stored.
    #[prost(message, optional, tag = "3")]
    pub snapshot: Option<SubtaskSnapshot>,
    /// Why it is not.
    #[prost(message, optional, tag = "4")]
    pub failure: Option<Failure>,
    /// For a source with an enumerator: how many splits it had been given.
    #[prost(uint64, optional, tag = "5")]
    pub splits_received: Option<u64>,
}
