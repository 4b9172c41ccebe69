//! Drives a window operator step by step into an end with little room.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flott_network::{Batch, Control};
use flott_record::Record;
use flott_state::AggregateFunction;

use crate::keyed::ByRef;
use crate::window::{TimeWindow, Window};
use crate::{BatchSink, Output, SubtaskContext, TaskError};

/// Key, event time, value.
pub(super) type Row = (u8, i64, i64);
/// Key, window start, window end, values in order.
pub(super) type Fired = (u8, i64, i64, Vec<i64>);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a subtask is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Rows(Vec<Row>),
    Watermark(i64),
    /// The clock is set and the operators are told.
    Time(i64),
    KeysEnd,
    End,
}

/// A chain end that has room for so many elements at a time.
pub(super) struct Narrow<T> {
    log: Arc<Mutex<Log<T>>>,
}

pub(super) struct Log<T> {
    pub(super) rows: Vec<(T, i64)>,
    pub(super) controls: Vec<Control>,
    room: usize,
    taken: usize,
}

impl<T> Clone for Narrow<T> {
    fn clone(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
        }
    }
}

impl<T> Narrow<T> {
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            log: Arc::new(Mutex::new(Log {
                rows: Vec::new(),
                controls: Vec::new(),
                room,
                taken: 0,
            })),
        }
    }

    pub(super) fn take_rows(&self) -> Vec<(T, i64)> {
        std::mem::take(&mut self.log.lock().unwrap().rows)
    }

    pub(super) fn take_controls(&self) -> Vec<Control> {
        std::mem::take(&mut self.log.lock().unwrap().controls)
    }

    fn make_room(&self) {
        self.log.lock().unwrap().taken = 0;
    }
}

impl<T: Record> BatchSink<T> for Narrow<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        let mut log = self.log.lock().unwrap();
        log.taken += 1;
        log.rows.extend(batch.drain());
        Ok(())
    }
    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        let mut log = self.log.lock().unwrap();
        log.taken += 1;
        log.controls.push(control);
        Ok(())
    }
    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    fn settle(&mut self) -> Result<bool, TaskError> {
        let log = self.log.lock().unwrap();
        Ok(log.taken < log.room)
    }
}

pub(super) type Selector = ByRef<fn(&Row) -> &u8, u8>;

pub(super) fn by_key() -> Selector {
    ByRef::new((|row: &Row| &row.0) as fn(&Row) -> &u8)
}

pub(super) fn settle(operator: &mut dyn BatchSink<Row>, narrow: &[&dyn Fn()]) {
    let mut rounds = 0;
    while !operator.settle().unwrap() {
        narrow.iter().for_each(|make_room| make_room());
        rounds += 1;
        assert!(rounds < 1_000_000, "it never comes to rest");
    }
}

/// Gives the steps to an operator; what was emitted in each of them, in order of the rows.
pub(super) fn drive<U: Record + Ord>(
    context: &SubtaskContext,
    mut operator: Box<dyn BatchSink<Row>>,
    end: &Narrow<U>,
    steps: &[Step],
) -> Vec<Vec<(U, i64)>> {
    let make_room = || end.make_room();
    let mut watermark = i64::MIN;
    let mut emitted = Vec::new();
    for step in steps {
        give(context, operator.as_mut(), step);
        settle(operator.as_mut(), &[&make_room]);
        let mut rows = end.take_rows();
        rows.sort();
        emitted.push(rows);
        for control in end.take_controls() {
            if let Control::Watermark(next) = control {
                assert!(next > watermark, "watermarks never go back");
                watermark = next;
            }
        }
    }
    emitted
}

fn give(context: &SubtaskContext, operator: &mut dyn BatchSink<Row>, step: &Step) {
    match step {
        Step::Rows(rows) => {
            let mut batch = Batch::default();
            rows.iter().for_each(|row| batch.push(*row, row.1));
            operator.batch(&mut batch).unwrap();
            assert!(batch.is_empty());
        }
        Step::Watermark(watermark) => operator.control(Control::Watermark(*watermark)).unwrap(),
        Step::Time(now) => {
            context.clock.set(*now);
            if context.clock.take_due(*now) {
                operator.time(*now).unwrap();
            }
        }
        Step::KeysEnd => operator.control(Control::KeysEnd).unwrap(),
        Step::End => operator.control(Control::End).unwrap(),
    }
}

pub(super) fn output<U: Record>(end: &Narrow<U>) -> Output<U> {
    Output::to(Box::new(end.clone()))
}

/// All values, in order.
#[derive(Clone)]
pub(super) struct Values;

impl AggregateFunction<Row> for Values {
    type Accumulator = Vec<i64>;
    type Output = Vec<i64>;

    fn create_accumulator(&self) -> Vec<i64> {
        Vec::new()
    }
    fn add(&self, values: &mut Vec<i64>, row: Row) {
        values.push(row.2);
    }
    fn get_result(&self, values: &Vec<i64>) -> Vec<i64> {
        let mut values = values.clone();
        values.sort_unstable();
        values
    }
    fn merge(&self, values: &mut Vec<i64>, mut other: Vec<i64>) {
        values.append(&mut other);
    }
}

/// A window as start and end.
pub(super) trait Bounds: Window {
    fn bounds(&self) -> (i64, i64);
}

impl Bounds for TimeWindow {
    fn bounds(&self) -> (i64, i64) {
        (self.start(), self.end())
    }
}

impl Bounds for crate::window::GlobalWindow {
    fn bounds(&self) -> (i64, i64) {
        (0, 0)
    }
}
