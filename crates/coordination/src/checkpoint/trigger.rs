//! What a checkpoint is begun with, and what a request for one ends with.

use std::time::Duration;

use flott_model::{CheckpointId, SnapshotKind};

use super::settings::CheckpointingMode;

/// Everything that tasks are told of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointTrigger {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// When it was triggered, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Where its files go: the answer to [`crate::job::JobAction::OpenCheckpoint`].
    pub directory: String,
    /// How barriers behave.
    pub options: BarrierOptions,
}

/// How the barriers of a checkpoint behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierOptions {
    /// Whether gates wait for the barriers of all channels.
    pub mode: CheckpointingMode,
    /// Whether barriers may overtake rows; never those of savepoints.
    pub unaligned: bool,
    /// With `unaligned`: how long a gate waits for the other barriers before; zero: not at all.
    pub aligned_timeout: Duration,
    /// All state is written, and no file of an earlier checkpoint is used.
    pub full: bool,
}

/// A checkpoint that somebody had asked for is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotResult {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Where it is, as a job is restored from it.
    pub path: String,
}
