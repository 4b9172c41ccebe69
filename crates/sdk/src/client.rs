//! A handle to a job that runs beside `main()`.

use std::fmt;
use std::sync::Arc;

use flott_metrics::accumulators::{Accumulator, AccumulatorError, MergedAccumulator};
use flott_model::{JobId, JobStatus, SnapshotKind};
use flott_protocol::program::{JobAccumulator, Snapshot};

use crate::error::Error;
use crate::execute::{Job, JobExecutionResult, Keeper};

/// A job that was submitted by
/// [`execute_async`](crate::StreamExecutionEnvironment::execute_async). Clones are the same job; they may be used on any
/// thread, also inside a tokio runtime, whose thread they block while they wait.
///
/// Dropping it does not cancel the job. The program waits for its jobs when the last environment, stream and client is
/// dropped, which is at the end of `main()`, unless it panics; `std::process::exit` does not wait.
///
/// Where `main()` runs again in a worker of a later job, an earlier job is as it was when the later one was submitted: what
/// was known of its end then is what [`JobClient::result`] gives, and before its end its status is RUNNING and its
/// accumulators are empty. So nothing that a later graph is built from may depend on those two.
///
/// ```
/// use flott::prelude::*;
/// use flott::JobStatus;
///
/// let env = StreamExecutionEnvironment::get()?;
/// env.from_sequence(1, 3).discard();
/// let first = env.execute_async("first")?;
/// env.from_sequence(1, 3).discard();
/// let second = env.execute_async("second")?;
/// assert_ne!(first.job_id(), second.job_id());
/// first.result()?;
/// second.result()?;
/// assert_eq!(second.status()?, JobStatus::Finished);
/// # Ok::<(), flott::Error>(())
/// ```
#[derive(Clone)]
pub struct JobClient {
    // Before the keeper, which waits for it.
    job: Arc<Job>,
    _keeper: Arc<Keeper>,
}

impl JobClient {
    pub(crate) fn new(job: Arc<Job>, keeper: Arc<Keeper>) -> Self {
        Self {
            job,
            _keeper: keeper,
        }
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// The id of the job.
    pub fn job_id(&self) -> JobId {
        self.job.id
    }

    /// Where the job stands now. Fails if whoever looks after it cannot be asked.
    pub fn status(&self) -> Result<JobStatus, Error> {
        self.job.status()
    }

    /// Asks the job to end; it will be CANCELED soon, unless it ends otherwise before. What it wrote does not appear. A job
    /// that has ended is left alone. That `main()` cancels its own job is no failure of the program.
    ///
    /// ```
    /// use flott::prelude::*;
    /// use flott::{Error, JobStatus};
    ///
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, i64::MAX).discard();
    /// let job = env.execute_async("endless")?;
    /// job.cancel()?;
    /// let error = job.result().unwrap_err();
    /// assert!(matches!(error, Error::Ended { status: JobStatus::Canceled, .. }));
    /// # Ok::<(), flott::Error>(())
    /// ```
    pub fn cancel(&self) -> Result<(), Error> {
        self.job.cancel()
    }

    /// Takes a savepoint: all state of the job as it is now, in a directory of its own in `directory`, or where
    /// `execution.checkpointing.savepoint-dir` says. Waits until it is complete, and gives where it is: a job with
    /// `execution.state-recovery.path` set to that goes on from there, at any parallelism. The job itself goes on.
    ///
    /// ```
    /// use flott::prelude::*;
    ///
    /// # let directory = std::env::temp_dir().join(format!("flott-savepoints-{}", std::process::id()));
    /// # let directory = directory.to_str().unwrap();
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, i64::MAX).discard();
    /// let job = env.execute_async("endless")?;
    /// # while job.status()? != flott::JobStatus::Running {}
    /// # let path = loop { if let Ok(path) = job.trigger_savepoint(Some(directory)) { break path } };
    /// let path = job.trigger_savepoint(Some(directory))?;
    /// assert!(path.contains("savepoint-"));
    /// job.cancel()?;
    /// # let _ = job.result();
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok::<(), flott::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it failed: not all tasks run (yet), there is no directory, or it cannot be written. The job goes on.
    pub fn trigger_savepoint(&self, directory: Option<&str>) -> Result<String, Error> {
        let wish = wish(SnapshotKind::Savepoint, directory, false);
        self.job.snapshot(wish, false)
    }

    /// Takes a savepoint and ends the job with it: nothing comes behind it, and the job is FINISHED. With `drain` the end of
    /// time is told first, so that all windows and timers fire: for jobs that will not go on.
    ///
    /// # Errors
    /// As [`JobClient::trigger_savepoint`]; the job goes on then.
    pub fn stop_with_savepoint(
        &self,
        drain: bool,
        directory: Option<&str>,
    ) -> Result<String, Error> {
        let kind = if drain {
            SnapshotKind::DrainWithSavepoint
        } else {
            SnapshotKind::StopWithSavepoint
        };
        self.job.snapshot(wish(kind, directory, false), true)
    }

    /// Takes a savepoint and cancels the job with it.
    ///
    /// # Errors
    /// As [`JobClient::trigger_savepoint`]; the job goes on then.
    pub fn cancel_with_savepoint(&self, directory: Option<&str>) -> Result<String, Error> {
        let wish = wish(SnapshotKind::Savepoint, directory, true);
        self.job.snapshot(wish, true)
    }

    /// Waits for the end of the job: its result, or its failure; as often as wanted. If the program was started detached this
    /// does not wait.
    pub fn result(&self) -> Result<JobExecutionResult, Error> {
        self.job.wait()
    }

    /// What the job has accumulated so far; of subtasks that run about a second ago.
    ///
    /// ```
    /// use flott::accumulators::LongCounter;
    /// use flott::prelude::*;
    ///
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 10).discard();
    /// let job = env.execute_async("numbers")?;
    /// let accumulators = job.accumulators()?;
    /// assert!(accumulators.result::<LongCounter>("rows").is_err());
    /// job.result()?;
    /// # Ok::<(), flott::Error>(())
    /// ```
    pub fn accumulators(&self) -> Result<JobAccumulators, Error> {
        self.job.accumulators().map(JobAccumulators::new)
    }
}

fn wish(kind: SnapshotKind, directory: Option<&str>, cancel: bool) -> Snapshot {
    Snapshot {
        kind: kind.number(),
        directory: directory.unwrap_or_default().to_owned(),
        cancel,
    }
}

impl fmt::Debug for JobClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobClient")
            .field("job_id", &self.job.id)
            .finish_non_exhaustive()
    }
}

/// The accumulators of a job, over all its subtasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobAccumulators(Vec<MergedAccumulator>);

impl JobAccumulators {
    pub(crate) fn new(all: Vec<JobAccumulator>) -> Self {
        Self(all.into_iter().map(Into::into).collect())
    }

    /// What was accumulated under a name. Fails if there is no such accumulator, or if it is of another type.
    pub fn result<A: Accumulator>(&self, name: &str) -> Result<A::Result, Error> {
        let found = self.0.iter().find(|one| one.name == name);
        let found = found.ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            AccumulatorError::Unknown {
                name: name.to_owned(),
                known,
            }
        })?;
        Ok(found.read::<A>()?.result())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|one| one.name.as_str())
    }
}
