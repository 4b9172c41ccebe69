//! Where an operator emits to: buffered rows for what follows it, its side outputs, and what came
//! although there was no room.

use std::collections::VecDeque;
use std::sync::Arc;

use flott_network::{Batch, Control, Message, NO_TIMESTAMP, batch_rows};
use flott_record::{Data, Record};

use crate::flow::Flow;
use crate::process::Sides;
use crate::side::{AnySide, OutputTag};
use crate::{BatchSink, Collect, TaskError};

/// The output of one operator of one subtask.
pub struct Output<T> {
    buffer: Batch<T>,
    next: Box<dyn BatchSink<T>>,
    /// What was emitted while there was no room, in order.
    overdraft: VecDeque<Message<T>>,
    full: bool,
    failed: Option<TaskError>,
    sides: Vec<Box<dyn AnySide>>,
    emitted: u64,
    flow: Option<Arc<Flow>>,
}

impl<T: Data> Output<T> {
    /// Emits to what follows, and to nothing else.
    pub fn to(next: Box<dyn BatchSink<T>>) -> Self {
        Self::with_sides(next, Vec::new())
    }

    /// Emits to what follows and to side outputs.
    pub fn with_sides(next: Box<dyn BatchSink<T>>, sides: Vec<Box<dyn AnySide>>) -> Self {
        Self {
            buffer: Batch::with_capacity(batch_rows::<T>()),
            next,
            overdraft: VecDeque::new(),
            full: false,
            failed: None,
            sides,
            emitted: 0,
            flow: None,
        }
    }

    /// Tells a flow what passes.
    pub fn count(&mut self, flow: Arc<Flow>) {
        self.flow = Some(flow);
    }

    /// Emits a row to a side output; drops it if nobody reads that.
    pub fn side<U: Record>(&mut self, tag: &OutputTag<U>, row: U, timestamp: i64) {
        let Some(side) = self.sides.iter_mut().find(|side| side.tag() == tag.id()) else {
            return;
        };
        match side.as_any().downcast_mut::<Output<U>>() {
            Some(output) => output.collect(row, timestamp),
            None => self.fail(crate::process::other_type(tag.id())),
        }
    }

    /// Takes the side outputs out: whoever takes them passes everything on to them from then on.
    pub fn take_sides(&mut self) -> Sides {
        Sides::new(std::mem::take(&mut self.sides))
    }

    /// Rows emitted so far to what follows.
    pub fn emitted(&self) -> u64 {
        self.emitted + self.buffer.len() as u64
    }

    /// Passes the buffered rows on: at the end of each batch.
    pub fn hand_on(&mut self) -> Result<(), TaskError> {
        self.pass_on();
        for side in &mut self.sides {
            side.hand_on()?;
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    #[inline(never)]
    fn pass_on(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        self.emitted += self.buffer.len() as u64;
        if let Some(flow) = &self.flow {
            flow.passed(self.emitted);
        }
        if self.failed.is_some() {
            self.buffer.clear();
        } else if self.full {
            let rows = std::mem::take(&mut self.buffer);
            self.overdraft.push_back(Message::Rows(rows));
        } else if let Err(error) = self.pass_and_look() {
            self.fail(error);
        }
    }

    fn pass_and_look(&mut self) -> Result<(), TaskError> {
        let result = self.next.batch(&mut self.buffer);
        self.buffer.clear();
        result?;
        self.full = !self.next.settle()?;
        Ok(())
    }

    /// Passes a control element on, behind all rows.
    pub fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.hand_on()?;
        for side in &mut self.sides {
            side.control(control)?;
        }
        if self.full {
            self.overdraft.push_back(Message::Control(control));
            return Ok(());
        }
        self.pass_control(control)?;
        self.full = !self.next.settle()?;
        Ok(())
    }

    fn pass_control(&mut self, control: Control) -> Result<(), TaskError> {
        if let Some(flow) = &self.flow {
            flow.control(control);
        }
        self.next.control(control)
    }

    /// Passes the processing time on.
    pub fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.hand_on()?;
        for side in &mut self.sides {
            side.time(now)?;
        }
        self.next.time(now)
    }

    /// Sends everything on its way.
    pub fn flush(&mut self) -> Result<(), TaskError> {
        self.hand_on()?;
        for side in &mut self.sides {
            side.flush()?;
        }
        self.next.flush()
    }

    /// Goes on with what found no room. Whether there is room now.
    pub fn settle(&mut self) -> Result<bool, TaskError> {
        let mut room = true;
        for side in &mut self.sides {
            room &= side.settle()?;
        }
        loop {
            if !self.next.settle()? {
                self.full = true;
                return Ok(false);
            }
            match self.overdraft.pop_front() {
                None => break,
                Some(Message::Rows(mut rows)) => self.next.batch(&mut rows)?,
                Some(Message::Control(control)) => self.pass_control(control)?,
            }
        }
        self.full = false;
        Ok(room)
    }
}

impl<T: Data> Collect<T> for Output<T> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        self.buffer.push(row, timestamp);
        if self.buffer.len() >= batch_rows::<T>() {
            self.pass_on();
        }
    }

    #[inline(always)]
    fn collect_if(&mut self, row: T, timestamp: i64, keep: bool) {
        if std::mem::needs_drop::<T>() {
            if keep {
                self.collect(row, timestamp);
            }
            return;
        }
        self.buffer.push(row, timestamp);
        let kept = self.buffer.len() - usize::from(!keep);
        self.buffer.truncate(kept);
        if kept >= batch_rows::<T>() {
            self.pass_on();
        }
    }

    #[inline(always)]
    fn collect_all(&mut self, rows: &mut impl ExactSizeIterator<Item = T>, timestamps: &[i64]) {
        let mut later = timestamps;
        while rows.len() > 0 && self.failed.is_none() {
            let room = batch_rows::<T>().saturating_sub(self.buffer.len()).max(1);
            let now;
            (now, later) = later.split_at(room.min(later.len()));
            self.buffer.extend(room.min(rows.len()), rows, now);
            if self.buffer.len() >= batch_rows::<T>() {
                self.pass_on();
            }
        }
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.full
    }

    /// The next call that can return an error returns it.
    #[cold]
    fn fail(&mut self, error: TaskError) {
        self.failed.get_or_insert(error);
        self.full = true;
    }

    fn has_failed(&self) -> bool {
        self.failed.is_some()
    }
}

/// What a function emits to: rows get the event time of the element being processed.
pub struct Collector<'a, T> {
    output: &'a mut Output<T>,
    timestamp: i64,
}

impl<'a, T: Data> Collector<'a, T> {
    /// Emits to `output` with that event time; `NO_TIMESTAMP`: none.
    pub fn new(output: &'a mut Output<T>, timestamp: i64) -> Self {
        Self { output, timestamp }
    }

    /// Emits a row.
    #[inline(always)]
    pub fn collect(&mut self, row: T) {
        self.output.collect(row, self.timestamp);
    }

    /// Emits a row with an event time of its own, in milliseconds since the epoch.
    #[inline(always)]
    pub fn collect_at(&mut self, row: T, timestamp: i64) {
        self.output.collect(row, timestamp);
    }

    /// The event time that rows get, if they get one.
    pub fn timestamp(&self) -> Option<i64> {
        Some(self.timestamp).filter(|timestamp| *timestamp != NO_TIMESTAMP)
    }

    /// Another element is processed.
    pub fn set_timestamp(&mut self, timestamp: i64) {
        self.timestamp = timestamp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{Keep, Narrow};

    #[test]
    fn what_finds_no_room_waits_in_order_with_its_controls() {
        let narrow = Narrow::<u64>::default();
        let mut output = Output::to(Box::new(narrow.clone()));
        let rows = batch_rows::<u64>() as u64 * 3;
        for row in 0..rows {
            output.collect(row, 1);
        }
        output.control(Control::Watermark(5)).unwrap();
        output.collect(rows, 6);
        output.hand_on().unwrap();
        assert!(output.is_full());
        while !output.settle().unwrap() {
            narrow.make_room();
        }
        assert_eq!(narrow.rows(), (0..=rows).collect::<Vec<_>>());
        assert_eq!(narrow.rows_before_control(), [rows]);
        assert_eq!(output.emitted(), rows + 1);
    }

    #[test]
    fn side_outputs_get_rows_and_controls() {
        let (main, side) = (Keep::default(), Keep::default());
        let tag = OutputTag::<String>::new("late");
        let late = crate::side::boxed(&tag, Box::new(side.clone()));
        let mut output = Output::<u64>::with_sides(Box::new(main.clone()), vec![late]);
        output.collect(1, 1);
        output.side(&tag, "two".to_owned(), 2);
        output.side(&OutputTag::<u64>::new("unread"), 3, 3);
        output.control(Control::End).unwrap();
        assert_eq!(main.rows(), [1]);
        assert_eq!(side.rows(), ["two"]);
        assert_eq!(*side.1.lock().unwrap(), [Control::End]);
    }

    #[test]
    fn a_side_output_of_another_type_is_an_error() {
        let keep = Keep::<u32>::default();
        let late = crate::side::boxed(&OutputTag::<u32>::new("late"), Box::new(keep));
        let mut output = Output::<u64>::with_sides(Box::new(Keep::default()), vec![late]);
        output.side(&OutputTag::<String>::new("late"), String::new(), 0);
        assert!(output.hand_on().unwrap_err().message.contains("late"));
    }
}
