//! A job that was submitted, whoever runs it; and the wait for all of them at the end of the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flott_filesystem::FileSystems;
use flott_model::{JobId, JobStatus};
use flott_protocol::program::{Collected, Frame, JobAccumulator, JobEnded, Snapshot};

use super::record::ExecutedJob;
use super::{JobExecutionResult, abandon, result};
use crate::error::Error;
use crate::graph::{Abandon, Prepared};

/// How a job is reached in a role. May be called by any thread; what waits, waits for the answer.
pub(crate) trait Access: Send + Sync {
    /// Waits for the end.
    fn wait(&self) -> Result<JobEnded, Error>;
    /// The end, if it is known.
    fn ended(&self) -> Option<JobEnded>;
    /// Its status, while it has not ended.
    fn status(&self) -> Result<JobStatus, Error>;
    /// Asks it to end.
    fn cancel(&self) -> Result<(), Error>;
    /// Its accumulators, while it has not ended.
    fn accumulators(&self) -> Result<Vec<JobAccumulator>, Error>;
    /// Has a savepoint or checkpoint taken; waits until it is complete. Where it is.
    fn snapshot(&self, wish: Snapshot) -> Result<String, Error>;
    /// Collected records from that frame on; those before were taken.
    fn collected(&self, from: u64) -> Result<Collected, Error>;
}

/// A job of this program.
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) detached: bool,
    access: Arc<dyn Access>,
    /// The program wants it to end.
    is_unwanted: AtomicBool,
    /// What is to be removed if it does not finish.
    leftovers: Option<Leftovers>,
    /// What `main()` was given of the records; kept where workers of later jobs need them.
    read: Option<Mutex<Read>>,
}

/// What a job may leave behind; clones are the same.
#[derive(Clone)]
pub(crate) struct Leftovers {
    // A std mutex: held to take it.
    abandoned: Arc<Mutex<Vec<(Prepared, Abandon)>>>,
    files: Arc<FileSystems>,
}

impl Leftovers {
    pub(crate) fn new(abandoned: Vec<(Prepared, Abandon)>, files: Arc<FileSystems>) -> Self {
        Self {
            abandoned: Arc::new(Mutex::new(abandoned)),
            files,
        }
    }

    /// Removes it, once.
    pub(crate) fn remove(&self) {
        let abandoned = std::mem::take(&mut *lock(&self.abandoned));
        if !abandoned.is_empty() {
            abandon(abandoned, &self.files);
        }
    }
}

#[derive(Default)]
struct Read {
    frames: Vec<Frame>,
    bytes: usize,
    over: bool,
    failure: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Job {
    /// `records`: what is read of it is recorded for the workers of later jobs.
    pub(crate) fn new(
        id: JobId,
        detached: bool,
        access: Arc<dyn Access>,
        leftovers: Option<Leftovers>,
        records: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            detached,
            access,
            is_unwanted: AtomicBool::new(false),
            leftovers,
            read: records.then(Mutex::default),
        })
    }

    /// Waits for the end; detached, there is no waiting.
    pub(crate) fn wait(&self) -> Result<JobExecutionResult, Error> {
        if self.detached {
            return Ok(JobExecutionResult::without_end(self.id, true));
        }
        let ended = result(self.access.wait()?);
        if ended.as_ref().is_err_and(Error::job_is_over)
            && let Some(leftovers) = &self.leftovers
        {
            leftovers.remove();
        }
        ended
    }

    pub(crate) fn status(&self) -> Result<JobStatus, Error> {
        match self.access.ended() {
            Some(ended) => Ok(status_of(&ended)),
            None => self.access.status(),
        }
    }

    pub(crate) fn cancel(&self) -> Result<(), Error> {
        self.is_unwanted.store(true, Ordering::Relaxed);
        match self.access.ended() {
            Some(_) => Ok(()),
            None => self.access.cancel(),
        }
    }

    /// Has a savepoint taken. `ends`: the job is to end with it.
    pub(crate) fn snapshot(&self, wish: Snapshot, ends: bool) -> Result<String, Error> {
        let path = self.access.snapshot(wish)?;
        if ends {
            self.is_unwanted.store(true, Ordering::Relaxed);
        }
        Ok(path)
    }

    pub(crate) fn accumulators(&self) -> Result<Vec<JobAccumulator>, Error> {
        match self.access.ended() {
            Some(ended) => Ok(ended.accumulators),
            None => self.access.accumulators(),
        }
    }

    /// Collected records from that frame on.
    pub(crate) fn collected(&self, from: u64) -> Result<Collected, Error> {
        let found = self.access.collected(from)?;
        if let Some(read) = &self.read {
            lock(read).add(&found);
        }
        Ok(found)
    }

    /// What is known of it, for the workers of later jobs.
    pub(crate) fn record(&self) -> Result<ExecutedJob, usize> {
        let mut record = ExecutedJob {
            job: self.id.to_string(),
            detached: self.detached,
            ended: self.access.ended(),
            ..ExecutedJob::default()
        };
        if let Some(read) = &self.read {
            let read = lock(read);
            if read.bytes > super::record::LARGEST {
                return Err(read.bytes);
            }
            record.frames = read.frames.clone();
            record.over = read.over;
            record.failure.clone_from(&read.failure);
        }
        Ok(record)
    }
}

impl Read {
    fn add(&mut self, found: &Collected) {
        self.bytes += found
            .frames
            .iter()
            .map(|frame| frame.bytes.len())
            .sum::<usize>();
        self.over |= found.over;
        self.failure.clone_from(&found.failure);
        if self.bytes > super::record::LARGEST {
            // It is refused then: nothing needs to be kept.
            self.frames = Vec::new();
        } else {
            self.frames.extend(found.frames.iter().cloned());
        }
    }
}

pub(crate) fn status_of(ended: &JobEnded) -> JobStatus {
    JobStatus::from_number(ended.status).unwrap_or(JobStatus::Failed)
}

/// Keeps the end of the program until its jobs have ended: dropped with the last environment, stream and client.
#[derive(Default)]
pub(crate) struct Keeper(
    // A std mutex: held to add a job.
    Mutex<Vec<Arc<Job>>>,
);

impl Keeper {
    pub(crate) fn add(&self, job: &Arc<Job>) {
        let mut jobs = lock(&self.0);
        // One that has ended is asked once, so that what it left is removed.
        jobs.retain(|job| {
            let runs = job.access.ended().is_none();
            if !runs {
                let _ = job.wait();
            }
            runs
        });
        jobs.push(Arc::clone(job));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The program ends by that panic, and its jobs with it.
            return;
        }
        for job in std::mem::take(&mut *lock(&self.0)) {
            // Of one that has ended somebody may have seen the result; of one that was cancelled nobody wants it.
            let is_news = job.access.ended().is_none() && !job.is_unwanted.load(Ordering::Relaxed);
            if let Err(error) = job.wait()
                && is_news
            {
                tracing::warn!("nobody waited for the result of a job: {error}");
            }
        }
    }
}
