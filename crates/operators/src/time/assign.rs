//! `assign_timestamps_and_watermarks` in the middle of a stream.

use std::collections::VecDeque;

use flott_network::{Batch, Control};
use flott_record::Data;

use super::{EventTime, WatermarkStrategy};
use crate::{BatchSink, Collect, Output, SubtaskContext, TaskError};

/// Gives rows event times, and makes watermarks of them; what came from before it is not passed on,
/// except that the input ends.
pub struct AssignTimestamps<T> {
    time: EventTime<T>,
    part: usize,
    output: Output<T>,
    controls: VecDeque<Control>,
}

impl<T: Data> AssignTimestamps<T> {
    /// In front of `output`; the interval is `pipeline.auto-watermark-interval` in milliseconds.
    pub fn new(
        strategy: WatermarkStrategy<T>,
        auto_watermark_interval_ms: i64,
        output: Output<T>,
        context: &SubtaskContext,
    ) -> Self {
        let mut time = EventTime::new(strategy, auto_watermark_interval_ms, context);
        Self {
            part: time.add_split(),
            time,
            output,
            controls: VecDeque::new(),
        }
    }

    fn tell(&mut self) -> Result<(), TaskError> {
        self.time.controls(&mut self.controls);
        for control in self.controls.drain(..) {
            self.output.control(control)?;
        }
        Ok(())
    }
}

impl<T: Data> BatchSink<T> for AssignTimestamps<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        self.time.rows(self.part, batch);
        if let Some(control) = self.time.before() {
            self.output.control(control)?;
        }
        for (row, timestamp) in batch.drain() {
            self.output.collect(row, timestamp);
        }
        self.output.hand_on()?;
        self.tell()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            // The end of event time: everything that is left is due.
            Control::Watermark(i64::MAX) => {
                self.time.end(&mut self.controls);
                self.tell()?;
                self.output.control(control)
            }
            Control::Watermark(_) | Control::Idle | Control::Active => Ok(()),
            Control::Barrier(_) | Control::Marker(_) | Control::KeysEnd | Control::End => {
                self.output.control(control)
            }
        }
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.time.tick(now, |_| false);
        self.tell()?;
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.output.settle()
    }
}

#[cfg(test)]
mod tests;
