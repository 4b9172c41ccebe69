//! What enumerators and readers know of their surroundings.

use std::future::Future;
use std::sync::Arc;

use flott_filesystem::FileSystems;
use flott_network::Waker;

use super::{Handover, HandoverSender, handover};
use crate::{SubtaskContext, TaskClock, TaskError};

/// Given to [`super::Source::prepare`] and [`crate::sink::api::Sink::prepare`].
#[derive(Clone)]
pub struct SubmissionContext {
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    parallelism: u32,
    plan: bool,
    retry: bool,
}

impl SubmissionContext {
    /// For a source or sink with so many subtasks, of a job that is submitted for the first time.
    pub fn new(files: Arc<FileSystems>, io: tokio::runtime::Handle, parallelism: u32) -> Self {
        Self {
            files,
            io,
            parallelism,
            plan: false,
            retry: false,
        }
    }

    /// Only the plan of the job is wanted: it will not run.
    #[must_use]
    pub fn for_plan(self, plan: bool) -> Self {
        Self { plan, ..self }
    }

    /// An earlier attempt of the application submitted the job, too.
    #[must_use]
    pub fn for_retry(self, retry: bool) -> Self {
        Self { retry, ..self }
    }

    /// Whether only the plan of the job is wanted: nothing must be created then.
    pub fn is_plan(&self) -> bool {
        self.plan
    }

    /// Whether an earlier attempt of the application submitted the job, too, and may have begun to
    /// write.
    pub fn is_retry(&self) -> bool {
        self.retry
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.files
    }

    /// Number of subtasks.
    pub fn parallelism(&self) -> u32 {
        self.parallelism
    }

    /// Waits for a future: the calling thread may block.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.io.block_on(future)
    }
}

/// Given to [`super::Source::create_enumerator`] and [`super::Source::restore_enumerator`].
#[derive(Clone)]
pub struct EnumeratorContext {
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    parallelism: u32,
    prepared: Arc<[u8]>,
}

impl EnumeratorContext {
    /// For a source with so many subtasks.
    pub fn new(
        files: Arc<FileSystems>,
        io: tokio::runtime::Handle,
        parallelism: u32,
        prepared: impl Into<Arc<[u8]>>,
    ) -> Self {
        Self {
            files,
            io,
            parallelism,
            prepared: prepared.into(),
        }
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.files
    }

    /// Number of subtasks.
    pub fn parallelism(&self) -> u32 {
        self.parallelism
    }

    /// What [`super::Source::prepare`] returned when the job was submitted.
    pub fn prepared(&self) -> &[u8] {
        &self.prepared
    }

    /// Waits for a future: the thread of an enumerator may block.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.io.block_on(future)
    }

    /// The same source with what was found out at submission.
    #[must_use]
    pub fn with_prepared(self, prepared: impl Into<Arc<[u8]>>) -> Self {
        Self {
            prepared: prepared.into(),
            ..self
        }
    }
}

/// Given to [`super::Source::create_reader`].
#[derive(Clone)]
pub struct ReaderContext {
    subtask: SubtaskContext,
}

impl ReaderContext {
    /// For the source of that subtask.
    pub fn new(subtask: &SubtaskContext) -> Self {
        Self {
            subtask: subtask.clone(),
        }
    }

    /// Index of the subtask, from 0.
    pub fn subtask_index(&self) -> u32 {
        self.subtask.subtask
    }

    /// Number of subtasks.
    pub fn parallelism(&self) -> u32 {
        self.subtask.parallelism
    }

    /// How often the subtask was tried before.
    pub fn attempt_number(&self) -> u32 {
        self.subtask.attempt.attempt
    }

    /// Name of the task: `Source: numbers (2/4)`.
    pub fn task_name(&self) -> &str {
        &self.subtask.task_name
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.subtask.files
    }

    /// Processing time, and a way to be called at a time: [`TaskClock::wake_at`] wakes the task.
    pub fn clock(&self) -> &TaskClock {
        &self.subtask.clock
    }

    /// Wakes the task: to be called when there is something for [`super::SourceReader::fill`].
    pub fn waker(&self) -> Waker {
        self.subtask.waker.clone()
    }

    /// A bounded queue from a future or thread to the reader; sending wakes the task.
    pub fn handover<T: Send>(&self, capacity: usize) -> (HandoverSender<T>, Handover<T>) {
        handover(capacity, self.waker())
    }

    /// Runs a future beside the task. It should end when its [`HandoverSender`] says that nobody
    /// reads any more.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.subtask.io.spawn(future);
    }

    /// Runs a client that blocks on a thread of its own. It should end when its [`HandoverSender`]
    /// says that nobody reads any more.
    pub fn spawn_thread(
        &self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), TaskError> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map(drop)
            .map_err(|error| TaskError::transient(format!("cannot start thread '{name}': {error}")))
    }
}
