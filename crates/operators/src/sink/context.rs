//! What writers and committers know of their surroundings, and of a record besides itself.

use std::future::Future;
use std::sync::Arc;

use flott_filesystem::FileSystems;
use flott_metrics::MetricGroup;
use flott_network::{NO_TIMESTAMP, Waker};
use flott_record::Record;
use flott_state::OperatorSnapshot;
use tokio::sync::oneshot;

use super::outbox::{Confirm, Confirmation, Inbox, Outbox};
use crate::blame::Scope;
use crate::checkpoint::cannot;
use crate::{SubtaskContext, TaskClock, TaskError};

/// What is known of a record besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkRecordContext {
    timestamp: i64,
    watermark: i64,
    processing_time: i64,
}

impl SinkRecordContext {
    /// For a record with that event time, at that watermark and processing time, all in milliseconds
    /// since the epoch; `i64::MIN`: none.
    pub fn new(timestamp: i64, watermark: i64, processing_time: i64) -> Self {
        Self {
            timestamp,
            watermark,
            processing_time,
        }
    }

    /// Its event time, in milliseconds since the epoch, if it has one.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        (self.timestamp != NO_TIMESTAMP).then_some(self.timestamp)
    }

    /// The watermark of the sink's subtask; `i64::MIN` before the first.
    #[inline]
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// When its batch was taken, in milliseconds since the epoch.
    #[inline]
    pub fn current_processing_time(&self) -> i64 {
        self.processing_time
    }
}

/// The contexts of the records of a batch, one after the other.
pub struct SinkRecords<'a> {
    scope: Scope<'a>,
    watermark: i64,
    processing_time: i64,
    taken: u64,
}

impl<'a> SinkRecords<'a> {
    pub(super) fn new(scope: Scope<'a>, watermark: i64, processing_time: i64) -> Self {
        Self {
            scope,
            watermark,
            processing_time,
            taken: 0,
        }
    }

    /// For the next record: what goes wrong from here on is told with its position.
    #[inline(always)]
    pub fn next(&mut self, timestamp: i64) -> SinkRecordContext {
        self.scope.next();
        self.taken += 1;
        SinkRecordContext {
            timestamp,
            watermark: self.watermark,
            processing_time: self.processing_time,
        }
    }

    /// Adds operator and record to the error; records nobody asked for are counted.
    pub(super) fn end(mut self, rows: u64, result: Result<(), TaskError>) -> Result<(), TaskError> {
        let result = result.map_err(|error| self.scope.locate(error));
        self.scope.skip(rows.saturating_sub(self.taken));
        result
    }
}

/// What a writer hands over at a checkpoint.
pub struct SinkState<'a>(&'a mut OperatorSnapshot);

impl<'a> SinkState<'a> {
    pub(super) fn new(snapshot: &'a mut OperatorSnapshot) -> Self {
        Self(snapshot)
    }

    /// Hands over items; after a restore with another parallelism each finds one of the new writers.
    ///
    /// # Errors
    /// When the name was used before.
    pub fn list<T: Record>(&mut self, name: &str, items: &[T]) -> Result<(), TaskError> {
        let stored = self.0.list(name, items);
        stored.map_err(|error| cannot("stored", &error))
    }
}

/// Given to [`super::api::Sink::create_writer`].
#[derive(Clone)]
pub struct SinkContext {
    subtask: SubtaskContext,
    prepared: Arc<[u8]>,
}

impl SinkContext {
    /// For the sink of that subtask, with what was found out at submission.
    pub fn new(subtask: &SubtaskContext, prepared: impl Into<Arc<[u8]>>) -> Self {
        Self {
            subtask: subtask.clone(),
            prepared: prepared.into(),
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

    /// Name of the task: `Sink: numbers (2/4)`.
    pub fn task_name(&self) -> &str {
        &self.subtask.task_name
    }

    /// Position of the sink in the program, which tells several sinks of a job apart.
    pub fn operator(&self) -> u32 {
        self.subtask.operator.node
    }

    /// What [`super::api::Sink::prepare`] returned when the job was submitted.
    pub fn prepared(&self) -> &[u8] {
        &self.prepared
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.subtask.files
    }

    /// Processing time, and a way to be called at a time: [`TaskClock::wake_at`].
    pub fn clock(&self) -> &TaskClock {
        &self.subtask.clock
    }

    /// Where the sink adds metrics of its own.
    pub fn metric_group(&self) -> &MetricGroup {
        &self.subtask.metrics
    }

    /// What the writers before a restore had handed over with that name
    /// ([`super::api::SinkWriter::snapshot_state`]): this subtask's share of it. Empty if the job
    /// begins anew.
    ///
    /// # Errors
    /// When it cannot be read, or its type has changed too much.
    pub fn restored<T: Record>(&self, name: &str) -> Result<Vec<T>, TaskError> {
        match self.subtask.checkpoints().restored() {
            Some(restored) => restored
                .list(name)
                .map_err(|error| cannot("restored", &error)),
            None => Ok(Vec::new()),
        }
    }

    /// Wakes the task: to be called when [`super::api::SinkWriter::settle`] or
    /// [`super::api::SinkWriter::prepare_commit`] have something new to say.
    pub fn waker(&self) -> Waker {
        self.subtask.waker.clone()
    }

    /// Runs a future beside the task. It should end when nobody needs it any more.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.subtask.io.spawn(future);
    }

    /// A queue of at most `capacity` items to a future that runs beside the task. The future should
    /// end when its [`Inbox`] does; what it fails with, the task fails with.
    pub fn outbox<T, F>(&self, capacity: usize, run: impl FnOnce(Inbox<T>) -> F) -> Outbox<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        Outbox::start(capacity, &self.subtask.io, self.waker(), run)
    }

    /// To have something confirmed by the future behind an [`Outbox`]; confirming wakes the task.
    pub fn confirmation<R>(&self) -> (Confirm<R>, Confirmation<R>) {
        let (sender, receiver) = oneshot::channel();
        let confirm = Confirm::new(sender, self.waker());
        (confirm, Confirmation::new(receiver))
    }
}

/// When something is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitStage {
    /// A checkpoint is complete; the job goes on.
    Checkpoint,
    /// The job has finished; what it committed with checkpoints before stays.
    End,
    /// The job has finished, and has taken no checkpoint: what the sink shows was committed by an
    /// earlier attempt to do the same.
    EndWithoutCheckpoints,
}

/// Given to [`super::api::Sink::create_committer`] and [`super::api::Sink::abandon`].
#[derive(Clone)]
pub struct CommitterContext {
    stage: CommitStage,
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    operator: u32,
    prepared: Arc<[u8]>,
}

impl CommitterContext {
    /// For the sink at that position of the program, with what was found out at submission.
    pub fn new(
        files: Arc<FileSystems>,
        io: tokio::runtime::Handle,
        operator: u32,
        prepared: impl Into<Arc<[u8]>>,
    ) -> Self {
        Self {
            stage: CommitStage::EndWithoutCheckpoints,
            files,
            io,
            operator,
            prepared: prepared.into(),
        }
    }

    /// To commit at that stage.
    #[must_use]
    pub fn at(self, stage: CommitStage) -> Self {
        Self { stage, ..self }
    }

    /// What is committed: a checkpoint, or the end of the job.
    pub fn stage(&self) -> CommitStage {
        self.stage
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.files
    }

    /// Position of the sink in the program, which tells several sinks of a job apart.
    pub fn operator(&self) -> u32 {
        self.operator
    }

    /// What [`super::api::Sink::prepare`] returned when the job was submitted.
    pub fn prepared(&self) -> &[u8] {
        &self.prepared
    }

    /// Waits for a future: the calling thread may block.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.io.block_on(future)
    }
}
