//! What a connector implements to be a sink.

use std::task::Poll;

use flott_network::Batch;
use flott_record::Record;

use super::{CommitterContext, SinkContext, SinkRecordContext, SinkRecords, SinkState};
use crate::TaskError;
use crate::source::SubmissionContext;

/// Where a stream ends. One value describes the sink in every process; writers and committer are
/// made of it where they run.
///
/// A sink that only writes needs no committer: its records are seen at once, and some of them again
/// after a restart. One that has a committer shows each record exactly once: when the checkpoint
/// behind the record is complete, and at the latest when the job has FINISHED. What an attempt wrote
/// that failed before is never committed.
pub trait Sink<In: Record>: Send + Sync + 'static {
    /// Writes the records of one subtask.
    type Writer: SinkWriter<In>;

    /// Checks the target when the job is submitted, so that mistakes are told before anything runs,
    /// and gives what writers and committer must agree on: it is shipped with the job
    /// ([`SinkContext::prepared`]). May block.
    fn prepare(&self, _context: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }

    /// Makes the writer of one subtask. Must not block.
    fn create_writer(&self, context: &SinkContext) -> Result<Self::Writer, TaskError>;

    /// Makes what commits; `None`: writers give nothing to commit. May block.
    #[expect(
        clippy::type_complexity,
        reason = "an alias would hide what is committed"
    )]
    fn create_committer(
        &self,
        _context: &CommitterContext,
    ) -> Result<Option<Box<dyn Committer<<Self::Writer as SinkWriter<In>>::Committable>>>, TaskError>
    {
        Ok(None)
    }

    /// Removes what a job left that did not finish. Runs in the program that submitted the job. May
    /// block.
    fn abandon(&self, _context: &CommitterContext) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Writes the records of one subtask. Its methods must not block: whatever waits for I/O runs beside
/// the task ([`SinkContext::outbox`]) and wakes it.
pub trait SinkWriter<In: Record>: Send + 'static {
    /// What is to be committed; `()` if nothing is.
    type Committable: Record;

    /// Takes a record.
    fn write(&mut self, record: In, context: &SinkRecordContext) -> Result<(), TaskError>;

    /// Takes the records of a batch and leaves it empty; by default one after the other. What fails
    /// or panics is told with the record that `records` was asked for last.
    fn write_batch(
        &mut self,
        batch: &mut Batch<In>,
        records: &mut SinkRecords<'_>,
    ) -> Result<(), TaskError> {
        for (record, timestamp) in batch.drain() {
            let context = records.next(timestamp);
            self.write(record, &context)?;
        }
        Ok(())
    }

    /// No record with this event time (milliseconds since the epoch) or a smaller one follows.
    fn watermark(&mut self, _watermark: i64) -> Result<(), TaskError> {
        Ok(())
    }

    /// Processing time has reached `now` (milliseconds since the epoch): asked for with
    /// [`crate::TaskClock::wake_at`], each time anew.
    fn time(&mut self, _now: i64) -> Result<(), TaskError> {
        Ok(())
    }

    /// Whether there is room for more records; after `false` the task must be woken when there is.
    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }

    /// Sends what is buffered on its way, so that readers see it soon.
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// Makes everything durable that was written since the last time, and gives what commits it: at
    /// each checkpoint, and with `end_of_input` when no record follows. Called again, and nothing else
    /// meanwhile, until it is ready; the task must be woken for that.
    ///
    /// What is given is committed once the checkpoint is complete; what comes after it must not
    /// depend on that. If the checkpoint fails, it is committed with the next one.
    fn prepare_commit(
        &mut self,
        end_of_input: bool,
    ) -> Result<Poll<Vec<Self::Committable>>, TaskError>;

    /// At a checkpoint, behind [`SinkWriter::prepare_commit`]: hands over what the writer still holds
    /// of records before it. After a restore [`SinkContext::restored`] gives it back.
    fn snapshot_state(&mut self, _state: &mut SinkState<'_>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Makes visible what writers wrote.
pub trait Committer<C>: Send {
    /// Commits all of these. Runs again, perhaps in another process, when it failed or its answer was
    /// lost: what is committed already must succeed. May block.
    fn commit(&mut self, committables: Vec<C>) -> Result<(), TaskError>;
}

impl<C, F: FnMut(Vec<C>) -> Result<(), TaskError> + Send> Committer<C> for F {
    fn commit(&mut self, committables: Vec<C>) -> Result<(), TaskError> {
        self(committables)
    }
}
