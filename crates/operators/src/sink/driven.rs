//! A writer as its operator drives it: what is to be committed is bytes.

use std::task::Poll;

use flott_network::{Batch, NO_TIMESTAMP};
use flott_record::{Record, codec};

use super::api::SinkWriter;
use super::{SinkRecords, SinkState};
use crate::TaskError;

/// The sink of one subtask. Never blocks: what waits for I/O runs beside it and wakes the task.
pub trait DrivenWriter<In>: Send {
    /// Takes the rows and leaves the batch empty.
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError>;

    /// The same, and says at which record it is; by default at the first.
    fn write_records(
        &mut self,
        batch: &mut Batch<In>,
        records: &mut SinkRecords<'_>,
    ) -> Result<(), TaskError> {
        records.next(NO_TIMESTAMP);
        self.write(batch)
    }

    /// The watermark has reached this, in milliseconds since the epoch.
    fn watermark(&mut self, _watermark: i64) -> Result<(), TaskError> {
        Ok(())
    }

    /// Processing time has reached `now`, as asked for with [`crate::TaskClock::wake_at`].
    fn time(&mut self, _now: i64) -> Result<(), TaskError> {
        Ok(())
    }

    /// Whether there is room for another batch; after `false` the task is woken when there is.
    fn settle(&mut self) -> Result<bool, TaskError>;

    /// Sends what is buffered on its way, so that readers see it soon.
    fn flush(&mut self) -> Result<(), TaskError>;

    /// Makes everything durable and gives what is to be committed: at each checkpoint, and when no
    /// row follows (`end_of_input`). Called until it is ready, and nothing else meanwhile.
    fn prepare_commit(&mut self, end_of_input: bool) -> Result<Poll<Vec<Vec<u8>>>, TaskError>;

    /// Hands over what the writer still holds, at each checkpoint.
    fn snapshot_state(&mut self, _state: &mut SinkState<'_>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// A [`SinkWriter`], driven.
pub struct Driven<W>(pub W);

impl<In: Record, W: SinkWriter<In>> DrivenWriter<In> for Driven<W> {
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        let mut site = crate::blame::Site::new([].into());
        let mut records = SinkRecords::new(site.scope(), NO_TIMESTAMP, NO_TIMESTAMP);
        self.0.write_batch(batch, &mut records)
    }

    fn write_records(
        &mut self,
        batch: &mut Batch<In>,
        records: &mut SinkRecords<'_>,
    ) -> Result<(), TaskError> {
        self.0.write_batch(batch, records)
    }

    fn watermark(&mut self, watermark: i64) -> Result<(), TaskError> {
        self.0.watermark(watermark)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.0.time(now)
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.0.settle()
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.0.flush()
    }

    fn prepare_commit(&mut self, end_of_input: bool) -> Result<Poll<Vec<Vec<u8>>>, TaskError> {
        let Poll::Ready(committables) = self.0.prepare_commit(end_of_input)? else {
            return Ok(Poll::Pending);
        };
        let encoded = committables.iter().map(|committable| {
            let mut bytes = Vec::new();
            codec::encode(committable, &mut bytes)
                .map(|()| bytes)
                .map_err(|error| {
                    TaskError::user(format!("a committable cannot be encoded: {error}"))
                })
        });
        encoded.collect::<Result<_, _>>().map(Poll::Ready)
    }

    fn snapshot_state(&mut self, state: &mut SinkState<'_>) -> Result<(), TaskError> {
        self.0.snapshot_state(state)
    }
}
