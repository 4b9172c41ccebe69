//! Which of several failures is shown as the cause.

use std::collections::VecDeque;

use flott_model::{Failure, FailureClass};

use crate::Timestamp;

/// Failures kept for the user (Flink's default of `web.exception-history-size`).
const MAXIMUM_HISTORY: usize = 16;

/// One failure that ended or restarted the job.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureRecord {
    /// When it was reported.
    pub timestamp: Timestamp,
    /// What happened.
    pub failure: Failure,
    /// How many restarts had happened before.
    pub restarts: u32,
}

/// What a failure says about its origin; a greater one explains more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A task lost its surroundings: mostly the echo of a peer's death.
    Echo,
    /// A process ended, or the user's code failed.
    Origin,
    /// Trying again cannot help.
    Fatal,
}

impl Weight {
    /// The weight of a failure that a task reported.
    pub(super) fn of_task(failure: &Failure) -> Self {
        match failure.class() {
            FailureClass::Transient => Self::Echo,
            FailureClass::UserCode => Self::Origin,
            FailureClass::Fatal => Self::Fatal,
        }
    }

    /// The weight of the end of a process.
    pub(super) fn of_process(failure: &Failure) -> Self {
        Self::of_task(failure).max(Self::Origin)
    }
}

/// The failures of a job, newest last.
#[derive(Debug, Default)]
pub(super) struct Failures {
    records: VecDeque<FailureRecord>,
    /// Weight of the newest.
    weight: Option<Weight>,
}

impl Failures {
    /// A failure that begins a failover.
    pub(super) fn begin(&mut self, record: FailureRecord, weight: Weight) {
        if self.records.len() == MAXIMUM_HISTORY {
            self.records.pop_front();
        }
        self.records.push_back(record);
        self.weight = Some(weight);
    }

    /// A failure during a failover: it becomes the cause if it explains more than the first.
    pub(super) fn refine(&mut self, failure: Failure, weight: Weight) {
        if let Some(newest) = self.records.back_mut()
            && self.weight < Some(weight)
        {
            newest.failure = failure;
            self.weight = Some(weight);
        }
    }

    /// The cause of the present failover.
    pub(super) fn cause(&self) -> Option<&Failure> {
        self.records.back().map(|record| &record.failure)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &FailureRecord> {
        self.records.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: FailureClass, message: &str) -> Failure {
        Failure::new(class, message)
    }

    fn record(failure: Failure) -> FailureRecord {
        FailureRecord {
            timestamp: Timestamp::ZERO,
            failure,
            restarts: 0,
        }
    }

    #[test]
    fn an_exit_explains_a_reset_and_not_the_other_way() {
        let reset = failure(FailureClass::Transient, "connection reset");
        let exit = failure(FailureClass::Transient, "killed by SIGKILL");
        let panic = failure(FailureClass::UserCode, "panic");
        let mut failures = Failures::default();
        failures.begin(record(reset.clone()), Weight::of_task(&reset));
        failures.refine(exit.clone(), Weight::of_process(&exit));
        assert_eq!(failures.cause(), Some(&exit));
        failures.refine(panic.clone(), Weight::of_task(&panic));
        failures.refine(reset.clone(), Weight::of_task(&reset));
        assert_eq!(
            failures.cause(),
            Some(&exit),
            "the first of equal weight stays"
        );
        let fatal = failure(FailureClass::Fatal, "another graph");
        failures.refine(fatal.clone(), Weight::of_task(&fatal));
        assert_eq!(failures.cause(), Some(&fatal));
    }

    #[test]
    fn the_history_is_bounded() {
        let mut failures = Failures::default();
        for number in 0..100 {
            let text = number.to_string();
            failures.begin(
                record(failure(FailureClass::UserCode, &text)),
                Weight::Origin,
            );
        }
        assert_eq!(failures.records().count(), MAXIMUM_HISTORY);
        assert_eq!(
            failures.cause().map(|cause| cause.message.as_str()),
            Some("99")
        );
    }
}
