//! What `main()` gets back when something is wrong.

use flott_metrics::accumulators::AccumulatorError;
use flott_model::{Failure, GraphError, JobId, JobStatus};

/// Why a job could not be built, submitted, or finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be read.
    #[error("{0}")]
    Configuration(String),
    /// The program was started in a way it does not understand.
    #[error("cannot start in this role: {0}")]
    Role(String),
    /// The graph cannot be run.
    #[error("the job cannot be run: {0}")]
    Graph(#[from] GraphError),
    /// A check at submission failed: input missing, output exists, `on_submit` failed.
    #[error("{0}")]
    Submission(String),
    /// The cluster did not accept the job.
    #[error("the job was not accepted: {0}")]
    Refused(String),
    /// The job ended otherwise than FINISHED.
    #[error("job {job} ended {status}{}", cause(.failure))]
    Ended {
        /// The job.
        job: JobId,
        /// How it ended.
        status: JobStatus,
        /// Why, if by a failure.
        failure: Option<Box<Failure>>,
    },
    /// The records that a job collects cannot be had (any more), or not be read.
    #[error("the records of the job cannot be collected: {0}")]
    Collect(String),
    /// Whoever looks after the job does not answer a question about it.
    #[error("there is no answer about the job: {0}")]
    Unanswered(String),
    /// An accumulator of the job cannot be read.
    #[error(transparent)]
    Accumulator(#[from] AccumulatorError),
    /// The connection to whoever started the program, or an inner service, broke.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the job certainly does not run (any more): it was not submitted, or it has ended.
    pub(crate) fn job_is_over(&self) -> bool {
        match self {
            Self::Configuration(_)
            | Self::Graph(_)
            | Self::Submission(_)
            | Self::Refused(_)
            | Self::Accumulator(_)
            | Self::Ended { .. } => true,
            Self::Role(_) | Self::Io { .. } | Self::Collect(_) | Self::Unanswered(_) => false,
        }
    }
}

fn cause(failure: &Option<Box<Failure>>) -> String {
    failure
        .as_ref()
        .map_or(String::new(), |failure| format!(": {failure}"))
}
