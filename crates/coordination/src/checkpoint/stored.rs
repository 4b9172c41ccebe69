//! Checkpoints in storage, as a job may begin from them.

use std::sync::Arc;

use flott_model::{CheckpointId, CheckpointMetadata};

/// A complete checkpoint or savepoint, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCheckpoint {
    /// What its `_metadata` says.
    pub metadata: Arc<CheckpointMetadata>,
    /// What the names of files in it are relative to.
    pub directory: String,
    /// Where it is, as users name it.
    pub path: String,
}

/// What is known of a job's state before it begins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Origin {
    /// Complete checkpoints of this job, oldest first: an earlier JobManager took them. The newest is
    /// what the job begins from. The savepoint that the job was to be stopped with is one of them: what
    /// it covers may be committed.
    pub completed: Vec<StoredCheckpoint>,
    /// What the user wanted the job to begin from. Used if there is no checkpoint of its own; said
    /// also if there is, because it may be the job's to delete.
    pub savepoint: Option<SavepointRestore>,
    /// The greatest number of a checkpoint that was seen in storage, complete or not.
    pub seen: Option<CheckpointId>,
}

/// The user's wish to begin from a savepoint, or from a checkpoint that was kept
/// (`execution.state-recovery.path`).
#[derive(Debug, Clone, PartialEq)]
pub struct SavepointRestore {
    /// It.
    pub checkpoint: StoredCheckpoint,
    /// `execution.state-recovery.claim-mode`.
    pub claim: ClaimMode,
    /// `execution.state-recovery.ignore-unclaimed-state`: state that no operator of the job wants is
    /// left behind.
    pub allow_non_restored: bool,
}

/// Whose a restored savepoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimMode {
    /// The user's: it is never deleted, and nothing that the job writes needs it: the first checkpoint
    /// is a full one.
    NoClaim,
    /// The job's: it is deleted like a checkpoint of its own.
    Claim,
}
