//! Where a job and each of its executions stand, with Flink's names.

use std::fmt;

macro_rules! named_states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every state, in order of declaration; the position is its number on the wire.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Flink's name for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Its number on the wire.
            pub fn number(self) -> u32 {
                self as u32
            }

            /// The state with that number, if there is one.
            pub fn from_number(number: u32) -> Option<Self> {
                Self::ALL.get(usize::try_from(number).ok()?).copied()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_states!(
    /// Where a job stands.
    JobStatus {
        /// Accepted, its JobMaster does not run yet.
        Initializing = "INITIALIZING",
        /// Its JobMaster runs, nothing is scheduled.
        Created = "CREATED",
        /// Scheduled: slots are asked for, or its tasks run.
        Running = "RUNNING",
        /// A fatal failure; its tasks are being cancelled.
        Failing = "FAILING",
        /// Ended by a failure. Terminal.
        Failed = "FAILED",
        /// The user asked to cancel; its tasks are being cancelled.
        Cancelling = "CANCELLING",
        /// Ended by the user. Terminal.
        Canceled = "CANCELED",
        /// Ended by itself, output committed. Terminal.
        Finished = "FINISHED",
        /// A failure its restart strategy allows; tasks are cancelled, then deployed again.
        Restarting = "RESTARTING",
        /// Its JobManager lost leadership.
        Suspended = "SUSPENDED",
        /// A new JobManager adopts its tasks.
        Reconciling = "RECONCILING",
    }
);

named_states!(
    /// Where one execution of one subtask stands.
    ExecutionState {
        /// Known, nothing done.
        Created = "CREATED",
        /// Waits for its slot.
        Scheduled = "SCHEDULED",
        /// Its description is on the way to its worker.
        Deploying = "DEPLOYING",
        /// Its worker builds it.
        Initializing = "INITIALIZING",
        /// Processes records.
        Running = "RUNNING",
        /// Ended by itself. Terminal.
        Finished = "FINISHED",
        /// Asked to stop.
        Canceling = "CANCELING",
        /// Stopped on demand. Terminal.
        Canceled = "CANCELED",
        /// Ended by a failure. Terminal.
        Failed = "FAILED",
    }
);

impl JobStatus {
    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }
}

impl ExecutionState {
    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for state in ExecutionState::ALL {
            assert_eq!(ExecutionState::from_number(state.number()), Some(*state));
        }
        assert_eq!(JobStatus::from_number(99), None);
        assert_eq!(JobStatus::Canceled.to_string(), "CANCELED");
    }
}
