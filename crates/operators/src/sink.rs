//! Where records go to.

pub mod api;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use flott_filesystem::FileSystems;
use flott_network::{Batch, Control};
use flott_record::Record;

use crate::blame::Site;
use crate::{BatchSink, Committables, SubtaskContext, TaskError};

/// The sink of one subtask. Never blocks: what waits for I/O runs beside it and wakes the task.
pub trait SinkWriter<In>: Send {
    /// Takes the rows and leaves the batch empty.
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError>;

    /// Whether there is room for another batch; after `false` the task is woken when there is.
    fn settle(&mut self) -> Result<bool, TaskError>;

    /// Sends what is buffered on its way, so that readers see it soon.
    fn flush(&mut self) -> Result<(), TaskError>;

    /// Processing time has reached `now`, as asked for with [`crate::TaskClock::wake_at`].
    fn time(&mut self, _now: i64) -> Result<(), TaskError> {
        Ok(())
    }

    /// No row follows: makes everything durable and gives what is to be committed when the job is
    /// done. Called until it is ready.
    fn finish(&mut self) -> Result<Poll<Vec<Vec<u8>>>, TaskError>;
}

/// Makes the outputs of a finished job visible. Runs once per job, possibly again after a failure
/// in the middle: committing what is committed already succeeds.
pub type Committer = Arc<
    dyn Fn(
            Arc<FileSystems>,
            Vec<Vec<u8>>,
        ) -> Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>
        + Send
        + Sync,
>;

enum Phase {
    Open,
    Finishing,
    Done,
}

/// A sink at the end of a chain.
pub struct SinkOperator<W> {
    writer: W,
    operator: u32,
    committables: Committables,
    phase: Phase,
    site: Site,
}

impl<W> SinkOperator<W> {
    /// The writer as the operator at that position of the program's graph.
    pub fn new(writer: W, operator: u32, context: &SubtaskContext) -> Self {
        Self {
            writer,
            operator,
            committables: context.committables.clone(),
            site: context.site(),
            phase: Phase::Open,
        }
    }
}

impl<In: Record, W: SinkWriter<In>> BatchSink<In> for SinkOperator<W> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        // Writers take whole batches: the first record of the batch is told.
        let rows = batch.len() as u64;
        let mut scope = self.site.scope();
        scope.next();
        let written = self.writer.write(batch);
        let result = written.map_err(|error| scope.locate(error));
        scope.skip(rows.saturating_sub(1));
        batch.clear();
        result
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            Control::End => self.phase = Phase::Finishing,
            Control::Watermark(_)
            | Control::Idle
            | Control::Active
            | Control::Marker(_)
            | Control::KeysEnd
            | Control::Barrier(_) => (),
        }
        Ok(())
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        match self.phase {
            Phase::Open => self.writer.time(now),
            Phase::Finishing | Phase::Done => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        match self.phase {
            Phase::Open => self.writer.flush(),
            Phase::Finishing | Phase::Done => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        match self.phase {
            Phase::Open => self.writer.settle(),
            Phase::Done => Ok(true),
            Phase::Finishing => match self.writer.finish()? {
                Poll::Pending => Ok(false),
                Poll::Ready(committables) => {
                    for committable in committables {
                        self.committables.add(self.operator, committable);
                    }
                    self.phase = Phase::Done;
                    Ok(true)
                }
            },
        }
    }
}
