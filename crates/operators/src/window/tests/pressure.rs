//! Firing stops while there is no room downstream, and goes on where it stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flott_network::{Barrier, Batch, Control};

use super::harness::ms;
use crate::keyed::{ByRef, Reduce};
use crate::window::*;
use crate::{BatchSink, Output, SubtaskContext, TaskError};

type Wide = (u64, i64, u64);

const KEYS: u64 = 50_000;

/// Counts what comes between two times that somebody makes room.
#[derive(Default)]
struct Log {
    rows: Vec<(Wide, i64)>,
    since_room: usize,
    most: usize,
    batches: usize,
    controls: Vec<(usize, Control)>,
}

#[derive(Clone, Default)]
struct OneBatch(Arc<Mutex<Log>>);

impl OneBatch {
    fn make_room(&self) {
        let mut log = self.0.lock().unwrap();
        (log.since_room, log.batches) = (0, 0);
    }
}

impl BatchSink<Wide> for OneBatch {
    fn batch(&mut self, batch: &mut Batch<Wide>) -> Result<(), TaskError> {
        let mut log = self.0.lock().unwrap();
        log.batches += 1;
        log.since_room += batch.len();
        log.most = log.most.max(log.since_room);
        log.rows.extend(batch.drain());
        Ok(())
    }
    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        let mut log = self.0.lock().unwrap();
        log.batches += 1;
        let rows = log.rows.len();
        log.controls.push((rows, control));
        Ok(())
    }
    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(self.0.lock().unwrap().batches == 0)
    }
}

fn rows(from: i64) -> Batch<Wide> {
    let mut batch = Batch::default();
    for key in 0..KEYS {
        let time = from + (key % 10) as i64;
        batch.push((key, time, 1), time);
    }
    batch
}

fn check<R: Trigger<Wide, TimeWindow>>(trigger: Option<R>, size: u64) {
    let context = SubtaskContext::for_tests("Window");
    let end = OneBatch::default();
    let spec = WindowSpec {
        assigner: SlidingEventTimeWindows::of(ms(size), ms(10)),
        trigger,
        late: LateData::default(),
    };
    let mut operator = keyed_windows(
        &context,
        ByRef::new(|row: &Wide| &row.0),
        spec,
        Folded(Reduce(|sum: &mut Wide, row: Wide| sum.2 += row.2)),
        EmitResult,
        Output::to(Box::new(end.clone())),
    )
    .unwrap();
    operator.batch(&mut rows(0)).unwrap();
    operator.batch(&mut rows(0)).unwrap();
    operator.control(Control::Watermark(9)).unwrap();
    // Somebody who does not wait: all this must stay behind what fires.
    operator.batch(&mut rows(20)).unwrap();
    operator
        .control(Control::Barrier(Barrier::for_tests(7)))
        .unwrap();
    operator.control(Control::Watermark(i64::MAX)).unwrap();
    operator.control(Control::End).unwrap();
    assert!(!operator.settle().unwrap());
    while !operator.settle().unwrap() {
        end.make_room();
    }
    let log = end.0.lock().unwrap();
    let batch = flott_network::batch_rows::<Wide>();
    assert!(log.most <= 2 * batch, "{} rows at once", log.most);
    let before: Vec<Control> = log.controls.iter().map(|(_, control)| *control).collect();
    let expected = [
        Control::Watermark(9),
        Control::Barrier(Barrier::for_tests(7)),
        Control::Watermark(i64::MAX),
        Control::End,
    ];
    assert_eq!(before, expected);
    assert_eq!(log.controls[0].0, KEYS as usize, "the first window, whole");
    assert_eq!(log.controls[1].0, KEYS as usize);
    let mut sums: BTreeMap<(u64, i64), Vec<u64>> = BTreeMap::new();
    for ((key, _, sum), window) in &log.rows {
        sums.entry((*key, *window)).or_default().push(*sum);
    }
    // Each row is in `size / 10` windows, of which each fires once.
    let overlap = size as i64 / 10;
    let mut windows: BTreeMap<i64, u64> = BTreeMap::new();
    for step in 0..overlap {
        *windows.entry(9 + 10 * step).or_default() += 2;
        *windows.entry(29 + 10 * step).or_default() += 1;
    }
    assert_eq!(sums.len(), KEYS as usize * windows.len());
    for ((key, window), sums) in sums {
        assert_eq!(sums, [windows[&window]], "key {key} at {window}");
    }
}

#[test]
fn panes_stop_in_the_middle_of_a_window() {
    check::<EventTimeTrigger>(None, 10);
    check::<EventTimeTrigger>(None, 40);
}

#[test]
fn entries_stop_between_two_timers() {
    check(Some(EventTimeTrigger), 10);
    check(Some(EventTimeTrigger), 40);
}
