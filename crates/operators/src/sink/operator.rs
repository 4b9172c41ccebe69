//! A writer at the end of a chain.

use std::marker::PhantomData;
use std::task::Poll;

use flott_metrics::Counter;
use flott_network::{Batch, Control, NO_TIMESTAMP};
use flott_record::Record;

use super::{DrivenWriter, SinkRecords, SinkState};
use crate::blame::Site;
use crate::{BatchSink, OperatorCheckpoints, SubtaskContext, TaskClock, TaskError};

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Open,
    /// A barrier has come: what is before it is made durable.
    AtBarrier,
    Finishing,
    Done,
}

/// Drives a [`DrivenWriter`].
pub struct SinkOperator<In, W> {
    writer: W,
    checkpoints: OperatorCheckpoints,
    clock: TaskClock,
    watermark: i64,
    phase: Phase,
    site: Site,
    sent: Counter,
    errors: Counter,
    input: PhantomData<fn(In)>,
}

impl<In, W> SinkOperator<In, W> {
    /// The writer as the operator of that context.
    pub fn new(writer: W, context: &SubtaskContext) -> Self {
        Self {
            writer,
            checkpoints: context.checkpoints(),
            clock: context.clock.clone(),
            watermark: NO_TIMESTAMP,
            phase: Phase::Open,
            site: context.site(),
            sent: context.metrics.counter("numRecordsSend"),
            errors: context.metrics.counter("numRecordsSendErrors"),
            input: PhantomData,
        }
    }
}

impl<In: Record, W: DrivenWriter<In>> SinkOperator<In, W> {
    /// Goes on with making things durable. Whether it is done.
    fn prepare(&mut self) -> Result<bool, TaskError> {
        let end_of_input = self.phase == Phase::Finishing;
        let prepared = self.writer.prepare_commit(end_of_input);
        let prepared = prepared.map_err(|error| self.site.scope().locate(error))?;
        let Poll::Ready(committables) = prepared else {
            return Ok(false);
        };
        self.checkpoints.commit(committables);
        if !end_of_input {
            let mut snapshot = self.checkpoints.begin();
            self.writer
                .snapshot_state(&mut SinkState::new(&mut snapshot))?;
            self.checkpoints.put(snapshot);
        }
        self.phase = if end_of_input {
            Phase::Done
        } else {
            Phase::Open
        };
        Ok(true)
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
        let result = records.end(rows, result);
        match &result {
            Ok(()) => self.sent.inc_by(rows.cast_signed()),
            Err(_) => self.errors.inc(),
        }
        result
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            Control::End => self.phase = Phase::Finishing,
            Control::Barrier(_) => self.phase = Phase::AtBarrier,
            Control::Watermark(watermark) => {
                self.watermark = watermark;
                let told = self.writer.watermark(watermark);
                return told.map_err(|error| self.site.scope().locate(error));
            }
            Control::Idle | Control::Active | Control::Marker(_) | Control::KeysEnd => (),
        }
        Ok(())
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        match self.phase {
            Phase::Open => {
                let told = self.writer.time(now);
                told.map_err(|error| self.site.scope().locate(error))
            }
            // Time comes only while there is room.
            Phase::AtBarrier | Phase::Finishing | Phase::Done => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        match self.phase {
            Phase::Open => self.writer.flush(),
            Phase::AtBarrier | Phase::Finishing | Phase::Done => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        match self.phase {
            Phase::Open => self.writer.settle(),
            Phase::Done => Ok(true),
            Phase::AtBarrier => Ok(self.prepare()? && self.writer.settle()?),
            Phase::Finishing => self.prepare(),
        }
    }
}
