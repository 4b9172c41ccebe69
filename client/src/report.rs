//! What a command says about jobs, in the words that tools around Flink look for, and what its
//! exit code is in the end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use flott_model::JobStatus;
use flott_protocol::program::{JobEnded, JobStarted};

use crate::console::Console;
use crate::program::Ended;

/// What became of the jobs of a program.
#[derive(Debug, Default)]
pub(crate) struct Report {
    // Jobs of a program run side by side, and all report here.
    submitted: Cell<u32>,
    /// The first failure: state, job id, cause.
    failure: RefCell<Option<Failed>>,
    /// Jobs that `main()` itself cancelled.
    unwanted: RefCell<BTreeSet<String>>,
}

#[derive(Debug)]
struct Failed {
    /// `job …` or `application …`.
    what: String,
    state: String,
    cause: Option<String>,
}

impl Report {
    /// A job was accepted.
    pub(crate) fn started(&self, job: &JobStarted, console: &Console) {
        self.submitted.set(self.submitted.get() + 1);
        console.line(&format!("Job has been submitted with JobID {}", job.job));
    }

    /// `main()` wants that job to end: if it is CANCELED that is no failure.
    pub(crate) fn unwanted(&self, job: &str) {
        self.unwanted.borrow_mut().insert(job.to_owned());
    }

    /// A job has ended.
    pub(crate) fn ended(&self, job: &JobEnded, console: &Console) {
        console.end_progress();
        match JobStatus::from_number(job.status) {
            Some(JobStatus::Finished) => {
                console.line("Program execution finished");
                console.line(&format!("Job with JobID {} has finished.", job.job));
                console.line(&format!("Job Runtime: {} ms", job.runtime_ms));
            }
            Some(JobStatus::Canceled)
                if job.as_wanted || self.unwanted.borrow().contains(&job.job) =>
            {
                console.line(&format!(
                    "Job with JobID {} was cancelled by main().",
                    job.job
                ));
            }
            status => {
                let state = status.map_or("in an unknown state", JobStatus::as_str);
                self.failure.borrow_mut().get_or_insert_with(|| Failed {
                    what: format!("job {}", job.job),
                    state: state.to_owned(),
                    cause: job.failure.as_ref().map(ToString::to_string),
                });
            }
        }
    }

    /// An application has ended, in which `main()` ran; jobs that failed have said so before.
    pub(crate) fn application_ended(&self, id: &str, failure: Option<(&str, String)>) {
        // Its main() may have had nothing to do: that is for the application to judge.
        self.submitted.set(self.submitted.get() + 1);
        if let Some((state, cause)) = failure {
            self.failure.borrow_mut().get_or_insert_with(|| Failed {
                what: format!("application {id}"),
                state: state.to_owned(),
                cause: Some(cause),
            });
        }
    }

    /// How the whole run went, given how the program's process ended (if there was one).
    pub(crate) fn conclude(self, program: Option<&Ended>) -> anyhow::Result<()> {
        if let Some(Failed { what, state, cause }) = self.failure.into_inner() {
            let said = |cause: &String| program.is_some_and(|program| program.said(cause));
            match cause.filter(|cause| !said(cause)) {
                Some(cause) => anyhow::bail!("{what} is {state}: {cause}"),
                None => anyhow::bail!("{what} is {state}"),
            }
        }
        if let Some(failure) = program.and_then(Ended::failure) {
            anyhow::bail!("{failure}");
        }
        if self.submitted.get() == 0 {
            anyhow::bail!("main() ended without calling execute(): there was no job to run");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flott_model::{Failure, FailureClass};

    use super::*;

    #[test]
    fn a_failed_job_fails_the_command_with_its_cause() {
        let console = Console::new();
        let report = Report::default();
        let job = "0123".to_owned();
        report.started(
            &JobStarted {
                job: job.clone(),
                detached: false,
            },
            &console,
        );
        let failure = Failure::new(FailureClass::UserCode, "boom").in_task("map (1/2)");
        report.ended(
            &JobEnded {
                job,
                status: JobStatus::Failed.number(),
                failure: Some(failure),
                runtime_ms: 7,
                ..JobEnded::default()
            },
            &console,
        );
        let message = report.conclude(None).unwrap_err().to_string();
        assert_eq!(message, "job 0123 is FAILED: task map (1/2): boom");
    }

    #[test]
    fn a_program_without_a_job_is_a_failure() {
        let message = Report::default().conclude(None).unwrap_err().to_string();
        assert!(message.contains("without calling execute()"), "{message}");
    }
}
