//! What comes out of `assign_timestamps_and_watermarks`, on a clock that the test sets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flott_network::NO_TIMESTAMP;
use proptest::prelude::*;

use super::*;
use crate::time::{WatermarkGenerator, WatermarkOutput};

/// What came, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Row(i64, i64),
    Control(Control),
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Seen>>>);

impl BatchSink<i64> for Log {
    fn batch(&mut self, batch: &mut Batch<i64>) -> Result<(), TaskError> {
        let rows = batch
            .drain()
            .map(|(row, timestamp)| Seen::Row(row, timestamp));
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }
    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.0.lock().unwrap().push(Seen::Control(control));
        Ok(())
    }
    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }
}

struct Test {
    operator: AssignTimestamps<i64>,
    log: Log,
    context: SubtaskContext,
    now: i64,
}

impl Test {
    fn of(strategy: WatermarkStrategy<i64>, change: impl FnOnce(&mut SubtaskContext)) -> Self {
        let mut context = SubtaskContext::for_tests("Timestamps");
        change(&mut context);
        let log = Log::default();
        let output = Output::to(Box::new(log.clone()));
        Self {
            operator: AssignTimestamps::new(strategy, 200, output, &context),
            log,
            context,
            now: 0,
        }
    }

    fn new(strategy: WatermarkStrategy<i64>) -> Self {
        Self::of(strategy, |_| ())
    }

    fn rows(&mut self, rows: &[i64]) {
        let mut batch = Batch::default();
        rows.iter().for_each(|row| batch.push(*row, NO_TIMESTAMP));
        self.operator.batch(&mut batch).unwrap();
    }

    /// Time passes as it does in a task that has nothing else to do.
    fn pass(&mut self, millis: i64) {
        let until = self.now + millis;
        while let Some(wake) = self.context.clock.next_wake().filter(|wake| *wake <= until) {
            self.now = wake;
            self.context.clock.set(wake);
            self.context.clock.take_due(wake);
            self.operator.time(wake).unwrap();
        }
        self.now = until;
        self.context.clock.set(until);
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.0.lock().unwrap())
    }

    fn controls(&self) -> Vec<Control> {
        let seen = self.seen().into_iter().filter_map(|seen| match seen {
            Seen::Control(control) => Some(control),
            Seen::Row(..) => None,
        });
        seen.collect()
    }
}

fn own_time() -> WatermarkStrategy<i64> {
    WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(10))
        .with_timestamp_assigner(|row: &i64, _| *row)
}

#[test]
fn rows_get_times_and_the_watermark_follows_every_interval() {
    let mut test = Test::new(own_time());
    test.rows(&[100, 90]);
    assert_eq!(test.seen(), [Seen::Row(100, 100), Seen::Row(90, 90)]);
    test.pass(199);
    assert_eq!(test.seen(), []);
    test.pass(1);
    assert_eq!(test.controls(), [Control::Watermark(89)]);
    test.rows(&[95]);
    test.pass(1_000);
    assert_eq!(test.controls(), [], "watermarks never go back");
    assert_eq!(
        test.context.clock.next_wake(),
        None,
        "nothing left to wait for"
    );
    test.rows(&[200]);
    test.operator.control(Control::Watermark(7)).unwrap();
    test.operator.control(Control::Idle).unwrap();
    test.operator.control(Control::Watermark(i64::MAX)).unwrap();
    test.operator.control(Control::End).unwrap();
    let end = [Control::Watermark(i64::MAX), Control::End];
    assert_eq!(test.controls(), end);
}

#[test]
fn an_assigner_sees_the_time_a_row_has() {
    let strategy = WatermarkStrategy::no_watermarks()
        .with_timestamp_assigner(|row: &i64, previous| previous.unwrap_or(-1) + *row);
    let mut test = Test::new(strategy);
    let mut batch = Batch::default();
    batch.push(1, NO_TIMESTAMP);
    batch.push(2, 40);
    test.operator.batch(&mut batch).unwrap();
    assert_eq!(test.seen(), [Seen::Row(1, 0), Seen::Row(2, 42)]);
    test.pass(10_000);
    assert_eq!(test.seen(), []);
}

#[test]
fn silence_is_idleness_until_the_next_row() {
    let strategy = own_time().with_idleness(Duration::from_secs(1));
    let mut test = Test::new(strategy);
    test.rows(&[100]);
    test.pass(1_000);
    assert_eq!(test.controls(), [Control::Watermark(89)]);
    test.pass(400);
    assert_eq!(test.controls(), [Control::Idle]);
    test.pass(60_000);
    assert_eq!(test.seen(), []);
    test.rows(&[300]);
    let back = [Seen::Control(Control::Active), Seen::Row(300, 300)];
    assert_eq!(test.seen(), back);
    test.pass(200);
    assert_eq!(test.controls(), [Control::Watermark(289)]);
    test.pass(5_000);
    assert_eq!(test.controls(), [Control::Idle]);
    test.operator.control(Control::Watermark(i64::MAX)).unwrap();
    let end = [Control::Active, Control::Watermark(i64::MAX)];
    assert_eq!(test.controls(), end);
}

/// A watermark at every row that is a multiple of ten, and idleness at 7.
struct AtTens;

impl WatermarkGenerator<i64> for AtTens {
    fn on_event(&mut self, row: &i64, timestamp: i64, output: &mut WatermarkOutput) {
        match *row {
            7 => output.mark_idle(),
            row if row % 10 == 0 => output.emit_watermark(timestamp),
            _ => (),
        }
    }
    fn on_periodic_emit(&mut self, _: &mut WatermarkOutput) {}
}

#[test]
fn punctuated_watermarks_follow_their_batch() {
    let strategy = WatermarkStrategy::for_generator(|| AtTens)
        .with_timestamp_assigner(|row: &i64, _| row * 100);
    let mut test = Test::new(strategy);
    test.rows(&[1, 10, 11]);
    let seen = test.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[3], Seen::Control(Control::Watermark(1_000)));
    test.rows(&[12]);
    assert_eq!(test.controls(), []);
    test.rows(&[7]);
    assert_eq!(test.controls(), [Control::Idle]);
    test.rows(&[20]);
    let controls = [Control::Active, Control::Watermark(2_000)];
    assert_eq!(test.controls(), controls);
}

#[test]
fn ingestion_time_is_the_clocks_and_never_goes_back() {
    let mut test = Test::new(WatermarkStrategy::for_ingestion_time());
    test.pass(500);
    test.rows(&[1]);
    test.context.clock.set(400);
    test.rows(&[2]);
    assert_eq!(test.seen(), [Seen::Row(1, 500), Seen::Row(2, 500)]);
}

#[test]
fn in_batch_rows_get_times_and_event_time_ends_with_the_input() {
    let strategy = own_time().with_idleness(Duration::from_millis(1));
    let mut test = Test::of(strategy, |context| context.batch_mode = true);
    test.rows(&[100]);
    test.pass(10_000);
    assert_eq!(test.seen(), [Seen::Row(100, 100)]);
    test.operator.control(Control::Watermark(i64::MAX)).unwrap();
    assert_eq!(test.controls(), [Control::Watermark(i64::MAX)]);
}

proptest! {
    /// Whatever comes when: watermarks grow, and each is below the largest time by the delay.
    #[test]
    fn watermarks_grow_and_keep_their_distance(
        steps in proptest::collection::vec((0_i64..1_000, 0_i64..400), 1..60),
    ) {
        let mut test = Test::new(own_time().with_idleness(Duration::from_millis(700)));
        let (mut largest, mut last, mut idle) = (i64::MIN, i64::MIN, false);
        for (row, pause) in steps {
            test.rows(&[row]);
            test.pass(pause);
            for seen in test.seen() {
                match seen {
                    Seen::Row(row, timestamp) => {
                        prop_assert!(!idle);
                        prop_assert_eq!(row, timestamp);
                        largest = largest.max(timestamp);
                    }
                    Seen::Control(Control::Watermark(watermark)) => {
                        prop_assert!(watermark > last && !idle);
                        prop_assert_eq!(watermark, largest - 11);
                        last = watermark;
                    }
                    Seen::Control(Control::Idle) => idle = true,
                    Seen::Control(Control::Active) => {
                        prop_assert!(idle);
                        idle = false;
                    }
                    Seen::Control(other) => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
