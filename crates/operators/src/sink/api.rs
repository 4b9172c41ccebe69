//! What a connector implements to be a sink in two phases: writers in the subtasks, and a committer
//! that makes what they wrote visible once the job is done.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use flott_filesystem::FileSystems;
use flott_network::{Batch, Waker};
use flott_record::Record;

use super::SinkWriter;
use crate::source::{SubmissionContext, decode_message, encode_message};
use crate::{SubtaskContext, TaskClock, TaskError};

/// Where a stream ends. One value describes the sink in every process; writers and committer are
/// made of it where they run.
///
/// Writers keep what they write out of sight and say at the end what is to be committed. When all
/// subtasks of the job have finished, one of its workers commits everything; what a failed attempt
/// wrote is never committed.
pub trait Sink<In: Record>: Send + Sync + 'static {
    /// Writes the records of one subtask.
    type Writer: Writer<In>;

    /// Checks the target when the job is submitted, so that mistakes are told before anything runs.
    /// What it returns is shipped with the job ([`WriterContext::prepared`]). May block.
    fn prepare(&self, _context: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }

    /// Makes the writer of one subtask. Must not block.
    fn create_writer(&self, context: &WriterContext) -> Result<Self::Writer, TaskError>;

    /// Makes visible what all writers wrote. May run again after a failure in the middle: what is
    /// committed already must succeed. May block.
    fn commit(
        &self,
        _context: &CommitContext,
        _committables: Vec<<Self::Writer as Writer<In>>::Committable>,
    ) -> Result<(), TaskError> {
        Ok(())
    }

    /// Removes what a job left that did not finish. May block.
    fn abandon(&self, _context: &CommitContext) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Writes the records of one subtask. Its methods must not block: whoever waits for I/O does that
/// beside the task ([`WriterContext::spawn`]) and wakes it.
pub trait Writer<In>: Send + 'static {
    /// What is to be committed; `()` if nothing is.
    type Committable: Record;

    /// Takes the rows and leaves the batch empty.
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError>;

    /// Whether there is room for another batch; after `false` the writer wakes the task when there
    /// is.
    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }

    /// Sends what is buffered on its way, so that readers see it soon.
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// Processing time has reached `now`, in milliseconds since the epoch; asked for with
    /// [`TaskClock::wake_at`], each time anew.
    fn time(&mut self, _now: i64) -> Result<(), TaskError> {
        Ok(())
    }

    /// No row follows: makes everything durable, and gives what is to be committed. Called until it
    /// is ready; the writer wakes the task.
    fn prepare_commit(&mut self) -> Result<Poll<Vec<Self::Committable>>, TaskError>;
}

/// Given to [`Sink::create_writer`].
#[derive(Clone)]
pub struct WriterContext {
    subtask: SubtaskContext,
    prepared: Arc<[u8]>,
}

impl WriterContext {
    /// For the sink of that subtask.
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

    /// Position of the sink in the program: tells several sinks of a job apart.
    pub fn operator(&self) -> u32 {
        self.subtask.operator.node
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.subtask.files
    }

    /// Processing time, and a way to be called at a time.
    pub fn clock(&self) -> &TaskClock {
        &self.subtask.clock
    }

    /// Wakes the task.
    pub fn waker(&self) -> Waker {
        self.subtask.waker.clone()
    }

    /// What [`Sink::prepare`] returned when the job was submitted.
    pub fn prepared(&self) -> &[u8] {
        &self.prepared
    }

    /// Runs a future beside the task.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.subtask.io.spawn(future);
    }
}

/// Given to [`Sink::commit`] and [`Sink::abandon`].
#[derive(Clone)]
pub struct CommitContext {
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    operator: u32,
    prepared: Arc<[u8]>,
}

impl CommitContext {
    /// For the sink at that position of the program.
    pub fn new(
        files: Arc<FileSystems>,
        io: tokio::runtime::Handle,
        operator: u32,
        prepared: impl Into<Arc<[u8]>>,
    ) -> Self {
        Self {
            files,
            io,
            operator,
            prepared: prepared.into(),
        }
    }

    /// File systems by URI.
    pub fn files(&self) -> &Arc<FileSystems> {
        &self.files
    }

    /// Position of the sink in the program: tells several sinks of a job apart.
    pub fn operator(&self) -> u32 {
        self.operator
    }

    /// What [`Sink::prepare`] returned when the job was submitted.
    pub fn prepared(&self) -> &[u8] {
        &self.prepared
    }

    /// Waits for a future: the calling thread may block.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.io.block_on(future)
    }
}

/// A [`Writer`] as the engine drives it.
pub struct DrivenWriter<W>(pub W);

impl<In, W: Writer<In>> SinkWriter<In> for DrivenWriter<W> {
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        self.0.write(batch)
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.0.settle()
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.0.flush()
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.0.time(now)
    }

    fn finish(&mut self) -> Result<Poll<Vec<Vec<u8>>>, TaskError> {
        let Poll::Ready(committables) = self.0.prepare_commit()? else {
            return Ok(Poll::Pending);
        };
        let encoded = committables.iter().map(encode_message);
        encoded.collect::<Result<_, _>>().map(Poll::Ready)
    }
}

/// Commits what the writers of a sink gave, off the threads that poll.
pub async fn commit<In: Record, S: Sink<In>>(
    sink: Arc<S>,
    context: CommitContext,
    committables: Vec<Vec<u8>>,
) -> Result<(), TaskError> {
    let committables = committables.iter().map(|bytes| decode_message(bytes));
    let committables = committables.collect::<Result<Vec<_>, _>>()?;
    let committed = tokio::task::spawn_blocking(move || sink.commit(&context, committables));
    committed.await.unwrap_or_else(|error| {
        Err(TaskError::user(format!(
            "the sink's committer panicked: {error}"
        )))
    })
}
