//! What users want to know about checkpoints.

use std::collections::VecDeque;

use flott_model::{CheckpointId, Failure, SnapshotKind};

use crate::Timestamp;

/// All that is remembered of a job's checkpoints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckpointStatistics {
    /// How many there were.
    pub counts: CheckpointCounts,
    /// On their way, or among the latest (`web.checkpoints.history`); oldest first.
    pub history: VecDeque<CheckpointRecord>,
    /// The newest that is complete and no savepoint.
    pub latest_completed: Option<CheckpointRecord>,
    /// The newest savepoint that is complete.
    pub latest_savepoint: Option<CheckpointRecord>,
    /// The newest that failed.
    pub latest_failed: Option<CheckpointRecord>,
    /// What the job was restored from last.
    pub latest_restored: Option<RestoreRecord>,
    /// Bytes that completed ones wrote.
    pub bytes: Summary,
    /// Milliseconds that completed ones took.
    pub duration_ms: Summary,
}

/// How many checkpoints there were; savepoints count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckpointCounts {
    /// How often the job was restored from one.
    pub restored: u64,
    /// Triggered, whatever became of them.
    pub total: u64,
    /// On their way.
    pub in_progress: u32,
    /// Complete.
    pub completed: u64,
    /// Failed or aborted.
    pub failed: u64,
}

/// Where a checkpoint stands.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointStatus {
    /// On its way.
    InProgress,
    /// Complete.
    Completed {
        /// When it was.
        at: Timestamp,
        /// Where it is.
        path: String,
        /// It was deleted since.
        discarded: bool,
    },
    /// It will never be complete.
    Failed {
        /// When that was clear.
        at: Timestamp,
        /// Why.
        failure: Failure,
    },
}

/// One checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointRecord {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// Whether its barriers could overtake rows.
    pub unaligned: bool,
    /// When it was triggered.
    pub triggered: Timestamp,
    /// Where it stands.
    pub status: CheckpointStatus,
    /// By vertex.
    pub vertices: Vec<VertexRecord>,
}

/// One vertex in one checkpoint.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VertexRecord {
    /// By subtask; `None`: it has not acknowledged.
    pub subtasks: Vec<Option<SubtaskRecord>>,
}

/// One subtask in one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubtaskRecord {
    /// When the JobMaster heard of it.
    pub acknowledged: Timestamp,
    /// The subtask had finished before.
    pub finished: bool,
    /// Bytes written for it.
    pub bytes: u64,
    /// From the first barrier to the last, in milliseconds.
    pub alignment_ms: u64,
    /// In which it did nothing else, in milliseconds.
    pub sync_ms: u64,
    /// Of encoding and writing, in milliseconds.
    pub async_ms: u64,
    /// From the trigger to the first barrier, in milliseconds.
    pub start_delay_ms: u64,
}

/// The job was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRecord {
    /// From which checkpoint.
    pub checkpoint: CheckpointId,
    /// What that is.
    pub kind: SnapshotKind,
    /// When.
    pub at: Timestamp,
    /// Where it is.
    pub path: String,
}

/// A quantity of all completed checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many values there were.
    pub count: u64,
    /// The least; 0 without values.
    pub minimum: u64,
    /// The greatest; 0 without values.
    pub maximum: u64,
    /// Their sum.
    pub sum: u64,
    /// The latest values, oldest first.
    recent: VecDeque<u64>,
}
