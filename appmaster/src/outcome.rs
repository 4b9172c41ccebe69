//! How an application ended, in YARN's words.

use flott_hadoop::yarn::FinalStatus;
use flott_jobmanager::{JobSnapshot, ProgramEnd};
use flott_model::{Failure, JobStatus};

/// YARN shows diagnostics in tables and keeps them in its state store.
const MAXIMUM_DIAGNOSTICS: usize = 4000;

/// What is told to YARN at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: FinalStatus,
    pub(crate) diagnostics: String,
}

impl Outcome {
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self {
            status: FinalStatus::Failed,
            diagnostics: shortened(&why.into()),
        }
    }

    /// Of an application of one job.
    pub(crate) fn of_job(job: &JobSnapshot) -> Self {
        of(job.status, &job.graph.name, job.root_cause())
    }

    /// Of an application whose driver submitted jobs: the program's own failure counts first, then
    /// its first job that did not finish.
    pub(crate) fn of_program(end: &ProgramEnd) -> Self {
        if let Some(failure) = &end.failure {
            return Self::failed(failure.to_string());
        }
        let as_wanted = |job: &JobSnapshot| {
            job.status == JobStatus::Finished
                || (job.status == JobStatus::Canceled && end.unwanted.contains(&job.id))
        };
        match end.jobs.iter().find(|job| !as_wanted(job)) {
            Some(unfinished) => Self::of_job(unfinished),
            None if end.jobs.is_empty() => Self::failed("the program ended without a job"),
            None => of(JobStatus::Finished, "", None),
        }
    }
}

fn of(status: JobStatus, name: &str, cause: Option<&Failure>) -> Outcome {
    match status {
        JobStatus::Finished => Outcome {
            status: FinalStatus::Succeeded,
            diagnostics: String::new(),
        },
        JobStatus::Canceled => Outcome {
            status: FinalStatus::Killed,
            diagnostics: format!("the job '{name}' was cancelled"),
        },
        JobStatus::Failed
        | JobStatus::Initializing
        | JobStatus::Created
        | JobStatus::Running
        | JobStatus::Failing
        | JobStatus::Cancelling
        | JobStatus::Restarting
        | JobStatus::Suspended
        | JobStatus::Reconciling => Outcome::failed(cause.map_or_else(
            || format!("the job '{name}' ended while it was {status}"),
            Failure::to_string,
        )),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAXIMUM_DIAGNOSTICS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flott_model::FailureClass;

    use super::*;

    #[test]
    fn the_application_ends_as_its_job() {
        let failure = Failure::new(FailureClass::UserCode, "division by zero").in_task("map (1/2)");
        for (status, cause, expected, text) in [
            (JobStatus::Finished, None, FinalStatus::Succeeded, ""),
            (
                JobStatus::Canceled,
                None,
                FinalStatus::Killed,
                "the job 'j' was cancelled",
            ),
            (
                JobStatus::Failed,
                Some(&failure),
                FinalStatus::Failed,
                "task map (1/2): division by zero",
            ),
            (
                JobStatus::Suspended,
                None,
                FinalStatus::Failed,
                "the job 'j' ended while it was SUSPENDED",
            ),
        ] {
            let outcome = of(status, "j", cause);
            assert_eq!(
                (outcome.status, outcome.diagnostics.as_str()),
                (expected, text)
            );
        }
    }

    #[test]
    fn a_program_without_jobs_failed_and_long_texts_are_cut() {
        let none = ProgramEnd {
            jobs: vec![],
            failure: None,
            unwanted: BTreeSet::new(),
        };
        assert_eq!(Outcome::of_program(&none).status, FinalStatus::Failed);
        let text = "ü".repeat(2 * MAXIMUM_DIAGNOSTICS);
        let failure = Some(Failure::new(FailureClass::UserCode, text));
        let outcome = Outcome::of_program(&ProgramEnd {
            jobs: vec![],
            failure,
            unwanted: BTreeSet::new(),
        });
        assert_eq!(outcome.diagnostics.chars().count(), MAXIMUM_DIAGNOSTICS + 1);
    }
}
