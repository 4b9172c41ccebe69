//! How many checkpoints failed one after the other.

use flott_model::{CheckpointId, Failure, FailureClass};

/// Counts failures until a checkpoint is complete.
#[derive(Debug)]
pub(super) struct Failures {
    tolerable: u32,
    count: u32,
    /// The newest that is complete: what failed before it is an old story.
    completed: Option<CheckpointId>,
}

impl Failures {
    pub(super) fn new(tolerable: u32) -> Self {
        Self {
            tolerable,
            count: 0,
            completed: None,
        }
    }

    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        if self.completed < Some(checkpoint) {
            self.completed = Some(checkpoint);
            self.count = 0;
        }
    }

    /// A checkpoint has failed; what fails the job now, if too many have.
    pub(super) fn failed(&mut self, checkpoint: CheckpointId, cause: &Failure) -> Option<Failure> {
        if self.completed >= Some(checkpoint) {
            return None;
        }
        self.count += 1;
        if self.count <= self.tolerable {
            return None;
        }
        let (count, tolerable) = (self.count, self.tolerable);
        self.count = 0;
        let message = format!(
            "checkpoint {checkpoint} failed: {}\n({count} failed one after the other; \
             execution.checkpointing.tolerable-failed-checkpoints is {tolerable})",
            cause.message
        );
        // A restart may help, whatever the storage or the task says of itself.
        let class = match cause.class() {
            FailureClass::UserCode => FailureClass::UserCode,
            FailureClass::Transient | FailureClass::Fatal => FailureClass::Transient,
        };
        let mut failure = Failure::new(class, message);
        failure.task.clone_from(&cause.task);
        failure.location.clone_from(&cause.location);
        Some(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failures: &mut Failures, checkpoint: u64) -> Option<String> {
        let cause = Failure::new(FailureClass::Fatal, "disk full").in_task("map (1/2)");
        let failure = failures.failed(CheckpointId(checkpoint), &cause)?;
        assert_eq!(failure.class(), FailureClass::Transient);
        Some(failure.to_string())
    }

    #[test]
    fn the_first_failure_that_is_not_tolerated_fails_the_job() {
        let mut failures = Failures::new(2);
        assert_eq!(failed(&mut failures, 1), None);
        assert_eq!(failed(&mut failures, 2), None);
        assert_eq!(
            failed(&mut failures, 3).unwrap(),
            "task map (1/2): checkpoint 3 failed: disk full\n(3 failed one after the other; \
             execution.checkpointing.tolerable-failed-checkpoints is 2)"
        );
        assert_eq!(failed(&mut failures, 4), None, "counted anew");
    }

    #[test]
    fn a_completion_begins_the_count_anew_and_older_failures_do_not_count() {
        let mut failures = Failures::new(1);
        assert_eq!(failed(&mut failures, 5), None);
        failures.completed(CheckpointId(7));
        assert_eq!(failed(&mut failures, 6), None);
        assert_eq!(failed(&mut failures, 7), None);
        assert_eq!(failed(&mut failures, 8), None);
        assert!(failed(&mut failures, 9).is_some());
    }

    #[test]
    fn by_default_none_is_tolerated() {
        assert!(failed(&mut Failures::new(0), 1).is_some());
    }
}
