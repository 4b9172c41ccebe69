//! The side outputs of an operator apart from its main output, so that a function's context can emit
//! to them while its collector borrows the output.

use flott_network::Control;
use flott_record::Record;

use crate::side::{AnySide, OutputTag};
use crate::{Collect, Output, TaskError};

/// The side outputs that were taken out of an [`Output`]. The operator passes on to them what it
/// passes on to the output.
pub struct Sides {
    sides: Vec<Box<dyn AnySide>>,
    full: bool,
    failed: Option<TaskError>,
}

impl Sides {
    pub(crate) fn new(sides: Vec<Box<dyn AnySide>>) -> Self {
        Self {
            sides,
            full: false,
            failed: None,
        }
    }

    /// Emits a row; drops it if nobody reads that side output.
    pub fn emit<U: Record>(&mut self, tag: &OutputTag<U>, row: U, timestamp: i64) {
        let Some(side) = self.sides.iter_mut().find(|side| side.tag() == tag.id()) else {
            return;
        };
        if let Some(output) = side.as_any().downcast_mut::<Output<U>>() {
            output.collect(row, timestamp);
            self.full |= output.is_full();
        } else {
            self.full = true;
            self.failed.get_or_insert_with(|| other_type(tag.id()));
        }
    }

    /// Whether one of them has no room, or failed.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// See [`Output::hand_on`].
    pub fn hand_on(&mut self) -> Result<(), TaskError> {
        self.sides.iter_mut().try_for_each(|side| side.hand_on())?;
        self.failed.take().map_or(Ok(()), Err)
    }

    /// See [`Output::control`].
    pub fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.sides
            .iter_mut()
            .try_for_each(|side| side.control(control))
    }

    /// See [`Output::time`].
    pub fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.sides.iter_mut().try_for_each(|side| side.time(now))
    }

    /// See [`Output::flush`].
    pub fn flush(&mut self) -> Result<(), TaskError> {
        self.sides.iter_mut().try_for_each(|side| side.flush())
    }

    /// See [`Output::settle`].
    pub fn settle(&mut self) -> Result<bool, TaskError> {
        let mut room = true;
        for side in &mut self.sides {
            room &= side.settle()?;
        }
        self.full = !room;
        Ok(room)
    }
}

/// A side output is read as another type than it is written with.
pub(crate) fn other_type(tag: &str) -> TaskError {
    TaskError::fatal(format!(
        "side output '{tag}' is read as another type than it is written with: use one OutputTag \
         for both"
    ))
}
