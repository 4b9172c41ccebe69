//! Running and final folds against naive counts, with and without room downstream.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flott_network::{NO_TIMESTAMP, batch_rows};
use flott_state::AggregateFunction;

use super::*;
use crate::blame::take_place;
use crate::chain::testing::{Keep, Narrow};
use crate::keyed::{Aggregate, ByRef, ByValue, Reduce};

type Word = (String, u64);

fn context(batch_mode: bool) -> SubtaskContext {
    SubtaskContext {
        batch_mode,
        ..SubtaskContext::for_tests("Keyed Sum")
    }
}

fn sum(context: &SubtaskContext, next: impl BatchSink<Word> + 'static) -> Box<dyn BatchSink<Word>> {
    keyed_fold(
        context,
        ByRef::new(|row: &Word| &row.0),
        Reduce(|sum: &mut Word, row: Word| sum.1 += row.1),
        Output::to(Box::new(next)),
    )
    .unwrap()
}

#[test]
fn what_left_memory_is_added_to() {
    let keep = Keep::<Word>::default();
    let context = context(false).with_cold_state_for_tests();
    let mut operator = sum(&context, keep.clone());
    feed(&mut *operator, 0..2_000);
    operator.flush().unwrap();
    let mut sums = BTreeMap::<String, u64>::new();
    let shown = keep.rows();
    assert_eq!(shown.len(), 2_000);
    for ((key, sum), ((word, n), _)) in shown.into_iter().zip(words(0..2_000)) {
        let expected = sums.entry(word).or_default();
        *expected += n;
        assert_eq!(sum, *expected, "{key}");
    }
    let cold = flott_state::cold::evicted_in_this_process();
    assert!(cold > 500, "rows stayed in memory: {cold}");
}

/// Words of 97 keys with event times that go up and down.
fn words(range: std::ops::Range<u64>) -> impl Iterator<Item = (Word, i64)> {
    range.map(|at| {
        let time = (at * 31 % 1_000).cast_signed();
        ((format!("k{}", at * at % 97), at), time)
    })
}

fn feed(operator: &mut dyn BatchSink<Word>, range: std::ops::Range<u64>) {
    let mut batch = Batch::default();
    for (word, time) in words(range) {
        batch.push(word, time);
        if batch.len() == 100 {
            operator.batch(&mut batch).unwrap();
            assert!(batch.is_empty() && batch.hashes.is_empty());
        }
    }
    operator.batch(&mut batch).unwrap();
}

/// Sum and latest event time per key.
fn totals(range: std::ops::Range<u64>) -> BTreeMap<String, (u64, i64)> {
    let mut totals = BTreeMap::new();
    for ((key, n), time) in words(range) {
        let total = totals.entry(key).or_insert((0, i64::MIN));
        *total = (total.0 + n, total.1.max(time));
    }
    totals
}

fn as_totals(rows: &[(Word, i64)]) -> BTreeMap<String, (u64, i64)> {
    let totals: BTreeMap<_, _> = rows
        .iter()
        .map(|((key, n), time)| (key.clone(), (*n, *time)))
        .collect();
    assert_eq!(totals.len(), rows.len(), "each key comes once");
    totals
}

#[test]
fn streaming_emits_every_update_with_the_time_of_its_row() {
    let keep = Keep::default();
    let mut operator = sum(&context(false), keep.clone());
    feed(&mut *operator, 0..5_000);
    operator.control(Control::Watermark(7)).unwrap();
    operator.control(Control::End).unwrap();

    let mut oracle: BTreeMap<String, u64> = BTreeMap::new();
    let expected: Vec<_> = words(0..5_000)
        .map(|((key, n), time)| {
            let total = oracle.entry(key.clone()).or_default();
            *total += n;
            ((key, *total), time)
        })
        .collect();
    assert_eq!(*keep.0.lock().unwrap(), expected);
    let controls = keep.1.lock().unwrap().clone();
    assert_eq!(controls, [Control::Watermark(7), Control::End]);
}

#[test]
fn batch_emits_each_key_once_where_its_rows_end() {
    let keep = Keep::default();
    let mut operator = sum(&context(true), keep.clone());
    feed(&mut *operator, 0..3_000);
    operator.control(Control::Watermark(9)).unwrap();
    assert_eq!(keep.rows(), []);
    operator.control(Control::KeysEnd).unwrap();
    let first = std::mem::take(&mut *keep.0.lock().unwrap());
    assert_eq!(as_totals(&first), totals(0..3_000));

    // The state of those keys is gone: what comes now are other keys, here of the same names.
    feed(&mut *operator, 3_000..4_000);
    operator.control(Control::Watermark(5)).unwrap();
    operator.control(Control::End).unwrap();
    let second = keep.0.lock().unwrap().clone();
    assert_eq!(as_totals(&second), totals(3_000..4_000));
    let controls = keep.1.lock().unwrap().clone();
    assert_eq!(controls, [Control::Watermark(9), Control::End]);
}

#[test]
fn batch_stops_where_there_is_no_room_and_goes_on() {
    let narrow = Narrow::<(u64, u64)>::default();
    let mut operator = keyed_fold(
        &context(true),
        ByValue::new(|row: &(u64, u64)| row.0),
        Reduce(|sum: &mut (u64, u64), row: (u64, u64)| sum.1 += row.1),
        Output::to(Box::new(narrow.clone())),
    )
    .unwrap();
    let keys = batch_rows::<(u64, u64)>() as u64 * 20;
    let mut batch = Batch::default();
    for at in 0..2 * keys {
        batch.push((at % keys, at), NO_TIMESTAMP);
    }
    operator.batch(&mut batch).unwrap();
    for control in [Control::KeysEnd, Control::Watermark(3), Control::End] {
        operator.control(control).unwrap();
    }
    assert!(narrow.rows().len() as u64 <= keys / 10, "it has parked");
    while !operator.settle().unwrap() {
        narrow.make_room();
    }
    let mut rows = narrow.rows();
    rows.sort_unstable();
    let expected: Vec<_> = (0..keys).map(|key| (key, 2 * key + keys)).collect();
    assert_eq!(rows, expected);
    assert_eq!(narrow.rows_before_control(), [keys, keys]);
    assert!(narrow.most() <= 2, "nothing piles up: {}", narrow.most());
}

#[derive(Clone)]
struct Mean;

impl AggregateFunction<Word> for Mean {
    type Accumulator = (u64, u64);
    type Output = u64;

    fn create_accumulator(&self) -> (u64, u64) {
        (0, 0)
    }
    fn add(&self, accumulator: &mut (u64, u64), row: Word) {
        accumulator.0 += 1;
        accumulator.1 += row.1;
    }
    fn get_result(&self, accumulator: &(u64, u64)) -> u64 {
        accumulator.1 / accumulator.0
    }
    fn merge(&self, accumulator: &mut (u64, u64), other: (u64, u64)) {
        accumulator.0 += other.0;
        accumulator.1 += other.1;
    }
}

#[test]
fn aggregates_have_a_type_of_their_own() {
    for (batch_mode, expected) in [(false, vec![10, 15, 7, 20]), (true, vec![7, 20])] {
        let keep = Keep::default();
        let mut operator = keyed_fold(
            &context(batch_mode),
            ByRef::new(|row: &Word| &row.0),
            Aggregate(Mean),
            Output::to(Box::new(keep.clone())),
        )
        .unwrap();
        let mut batch = Batch::default();
        for (key, n) in [("a", 10), ("a", 20), ("b", 7), ("a", 30)] {
            batch.push((key.to_owned(), n), NO_TIMESTAMP);
        }
        operator.batch(&mut batch).unwrap();
        operator.control(Control::End).unwrap();
        let mut rows = keep.rows();
        if batch_mode {
            rows.sort_unstable();
        }
        assert_eq!(rows, expected);
    }
}

#[test]
fn hashes_of_the_writer_are_used_and_collisions_are_told_apart() {
    let keep = Keep::default();
    let mut operator = RunningFold::new(
        &context(false),
        ByValue::new(|row: &(u32, u32)| row.0),
        Reduce(|sum: &mut (u32, u32), row: (u32, u32)| sum.1 += row.1),
        Output::to(Box::new(keep.clone())),
    )
    .unwrap();
    let mut batch = Batch::default();
    for key in [1, 2, 1] {
        batch.push((key, 1), 0);
        batch.hashes.push(42);
    }
    operator.batch(&mut batch).unwrap();
    assert_eq!(keep.rows(), [(1, 1), (2, 1), (1, 2)]);
    assert!(operator.table.iter().all(|(hash, _, _)| hash == 42));
}

#[test]
fn a_panic_names_operator_and_record() {
    for batch_mode in [false, true] {
        let mut operator = keyed_fold(
            &context(batch_mode),
            ByRef::new(|row: &Word| &row.0),
            Reduce(|_: &mut Word, _| panic!("boom")),
            Output::to(Box::new(Keep::default())),
        )
        .unwrap();
        let mut batch = Batch::default();
        for key in ["a", "b", "a"] {
            batch.push((key.to_owned(), 1), NO_TIMESTAMP);
        }
        let caught = catch_unwind(AssertUnwindSafe(|| operator.batch(&mut batch)));
        assert!(caught.is_err());
        let place = take_place();
        assert_eq!(place.as_deref(), Some("operator 'Keyed Sum', record 3"));
    }
}
