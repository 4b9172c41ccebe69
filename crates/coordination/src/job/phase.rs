//! Where a job stands, with the data of each phase, and which statuses may follow each other.

use flott_model::JobStatus;

use super::recovery::Recovery;
use crate::Timestamp;

/// The phase of a job. What belongs to one phase only is kept in it.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not started.
    Created,
    /// Slots are missing.
    WaitingForSlots {
        /// Number of the slot request.
        request: u64,
    },
    /// All slots are here; not every worker is.
    StartingWorkers,
    /// Every subtask was deployed; of a job of several regions, those that need not wait for others.
    Executing,
    /// Some regions of the job run again; the others go on.
    Recovering(Recovery),
    /// Every subtask finished; a last checkpoint makes sure that what they left is committed, whatever
    /// happens to this JobManager.
    Sealing,
    /// Every subtask finished; their outputs are being committed.
    Committing,
    /// Tasks are asked to stop.
    Stopping {
        /// What follows.
        then: Then,
        /// Tells cancellation timers apart.
        round: u64,
    },
    /// All tasks stopped; the restart delay is running.
    Pausing {
        /// Number of the restart.
        restart: u64,
    },
    /// The end.
    Ended(JobStatus),
}

/// What follows when all tasks have stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    /// Schedule everything again, but not before a time.
    Restart { not_before: Timestamp },
    /// FAILED; with a remark on the restart strategy, if it had a say.
    Fail { remark: Option<String> },
    /// CANCELED.
    Cancel,
}

impl Phase {
    pub(super) fn status(&self) -> JobStatus {
        match self {
            Self::Created => JobStatus::Created,
            Self::WaitingForSlots { .. }
            | Self::StartingWorkers
            | Self::Executing
            | Self::Sealing
            | Self::Committing => JobStatus::Running,
            Self::Stopping { then, .. } => match then {
                Then::Restart { .. } => JobStatus::Restarting,
                Then::Fail { .. } => JobStatus::Failing,
                Then::Cancel => JobStatus::Cancelling,
            },
            Self::Recovering(_) | Self::Pausing { .. } => JobStatus::Restarting,
            Self::Ended(status) => *status,
        }
    }
}

/// The statuses that may follow a status.
pub(super) fn successors(status: JobStatus) -> &'static [JobStatus] {
    use JobStatus as S;
    match status {
        S::Created => &[S::Running, S::Failing, S::Cancelling],
        S::Running => &[S::Restarting, S::Failing, S::Cancelling, S::Finished],
        S::Restarting => &[S::Running, S::Failing, S::Cancelling],
        S::Failing => &[S::Failed, S::Cancelling],
        S::Cancelling => &[S::Canceled],
        S::Failed | S::Canceled | S::Finished => &[],
        // Entered by the Dispatcher, before and after this state machine.
        S::Initializing | S::Suspended | S::Reconciling => &[],
    }
}
