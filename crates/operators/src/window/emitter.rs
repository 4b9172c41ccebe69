//! Where window operators emit to: their output, and apart from it the side outputs, so that a
//! function can write to both.

use flott_network::Control;
use flott_record::{Data, Record};

use crate::OutputTag;
use crate::process::Sides;
use crate::{Collect, Collector, Output, TaskError};

/// Output and side outputs of a window operator.
pub struct Emitter<T> {
    output: Output<T>,
    sides: Sides,
}

impl<T: Data> Emitter<T> {
    pub(super) fn new(mut output: Output<T>) -> Self {
        let sides = output.take_sides();
        Self { output, sides }
    }

    /// The output with that event time, and the side outputs.
    #[inline]
    pub(super) fn split(&mut self, timestamp: i64) -> (Collector<'_, T>, &mut Sides) {
        (Collector::new(&mut self.output, timestamp), &mut self.sides)
    }

    #[inline]
    pub(super) fn collect(&mut self, row: T, timestamp: i64) {
        self.output.collect(row, timestamp);
    }

    pub(super) fn side<U: Record>(&mut self, tag: &OutputTag<U>, row: U, timestamp: i64) {
        self.sides.emit(tag, row, timestamp);
    }

    /// Whether whoever emits much should stop.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.output.is_full() || self.sides.is_full()
    }

    pub(super) fn hand_on(&mut self) -> Result<(), TaskError> {
        self.output.hand_on()?;
        self.sides.hand_on()
    }

    pub(super) fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.output.control(control)?;
        self.sides.control(control)
    }

    pub(super) fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)?;
        self.sides.time(now)
    }

    pub(super) fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()?;
        self.sides.flush()
    }

    pub(super) fn settle(&mut self) -> Result<bool, TaskError> {
        let room = self.sides.settle()?;
        Ok(self.output.settle()? && room)
    }
}
