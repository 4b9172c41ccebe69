//! A writer at the end of a chain.

use std::marker::PhantomData;
use std::task::Poll;

use flott_network::{Batch, Control, NO_TIMESTAMP};
use flott_record::Record;

use super::{DrivenWriter, SinkRecords};
use crate::blame::Site;
use crate::{BatchSink, Committables, SubtaskContext, TaskClock, TaskError};

enum Phase {
    Open,
    Finishing,
    Done,
}

/// Drives a [`DrivenWriter`].
pub struct SinkOperator<In, W> {
    writer: W,
    operator: u32,
    committables: Committables,
    clock: TaskClock,
    watermark: i64,
    phase: Phase,
    site: Site,
    input: PhantomData<fn(In)>,
}

impl<In, W> SinkOperator<In, W> {
    /// The writer as the operator at that position of the program's graph.
    pub fn new(writer: W, operator: u32, context: &SubtaskContext) -> Self {
        Self {
            writer,
            operator,
            committables: context.committables.clone(),
            clock: context.clock.clone(),
            watermark: NO_TIMESTAMP,
            phase: Phase::Open,
            site: context.site(),
            input: PhantomData,
        }
    }
}

impl<In: Record, W: DrivenWriter<In>> BatchSink<In> for SinkOperator<In, W> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        let rows = batch.len() as u64;
        if rows == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let mut records = SinkRecords::new(self.site.scope(), self.watermark, now);
        let result = self.writer.write_records(batch, &mut records);
        batch.clear();
        records.end(rows, result)
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            Control::End => self.phase = Phase::Finishing,
            Control::Watermark(watermark) => {
                self.watermark = watermark;
                let told = self.writer.watermark(watermark);
                return told.map_err(|error| self.site.scope().locate(error));
            }
            Control::Idle
            | Control::Active
            | Control::Marker(_)
            | Control::KeysEnd
            | Control::Barrier(_) => (),
        }
        Ok(())
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        match self.phase {
            Phase::Open => {
                let told = self.writer.time(now);
                told.map_err(|error| self.site.scope().locate(error))
            }
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
            Phase::Finishing => {
                let finished = self.writer.finish();
                let finished = finished.map_err(|error| self.site.scope().locate(error))?;
                let Poll::Ready(committables) = finished else {
                    return Ok(false);
                };
                for committable in committables {
                    self.committables.add(self.operator, committable);
                }
                self.phase = Phase::Done;
                Ok(true)
            }
        }
    }
}
