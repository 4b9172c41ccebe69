//! What users ask for: savepoints, and checkpoints out of turn.

use flott_model::{Failure, FailureClass, SnapshotKind};

use super::trigger::SnapshotResult;

/// A wish of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) kind: SnapshotKind,
    /// Where savepoints are to go.
    pub(crate) directory: Option<String>,
    /// Whether the job is cancelled afterwards.
    pub(crate) cancel: bool,
}

impl Request {
    /// Whether it is the job's last act.
    pub(super) fn closes(&self) -> bool {
        self.cancel || self.kind.stops()
    }

    /// As people call it.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            SnapshotKind::Checkpoint => "the checkpoint",
            SnapshotKind::Savepoint if self.cancel => "cancel-with-savepoint",
            SnapshotKind::Savepoint => "the savepoint",
            SnapshotKind::StopWithSavepoint | SnapshotKind::DrainWithSavepoint => {
                "stop-with-savepoint"
            }
        }
    }

    /// Why it came to nothing.
    pub(super) fn failed(&self, why: &str) -> Failure {
        let message = format!("{} failed: {why}", self.name());
        Failure::new(FailureClass::Transient, message)
    }
}

/// The job's last act: nothing else is begun meanwhile.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) request: Request,
    /// Sources were told to stop.
    pub(super) stopped: bool,
    /// Set when its savepoint is complete: tasks are to finish, or are cancelled.
    pub(super) savepoint: Option<SnapshotResult>,
}
