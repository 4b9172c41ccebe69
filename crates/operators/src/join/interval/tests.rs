//! The interval join against nested loops.

use flott_network::{Batch, Control, NO_TIMESTAMP};
use proptest::prelude::*;

use super::*;
use crate::chain::testing::{Keep, Narrow};
use crate::keyed::ByValue;

/// Key, and the record's number.
type Row = (u8, u32);
type Pair = (u32, u32, i64);

#[derive(Debug, Clone)]
enum Step {
    /// Records of the left or the right stream, by key and event time.
    Rows(bool, Vec<(u8, i64)>),
    Watermark(i64),
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    let rows = proptest::collection::vec((0..3_u8, 0..60_i64), 0..12);
    proptest::collection::vec(
        prop_oneof![
            4 => (any::<bool>(), rows).prop_map(|(left, rows)| Step::Rows(left, rows)),
            1 => (0..12_i64).prop_map(Step::Watermark),
        ],
        0..30,
    )
}

#[derive(Default)]
struct Oracle {
    lefts: Vec<(u8, i64, u32)>,
    rights: Vec<(u8, i64, u32)>,
    late: [Vec<u32>; 2],
}

impl Oracle {
    fn pairs(&self, lower: i64, upper: i64) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (left_key, left_at, left) in &self.lefts {
            for (right_key, right_at, right) in &self.rights {
                let apart = right_at - left_at;
                if left_key == right_key && lower <= apart && apart <= upper {
                    pairs.push((*left, *right, *left_at.max(right_at)));
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }
}

type Joined = Interval<
    Row,
    Row,
    ByValue<fn(&Row) -> u8, u8>,
    ByValue<fn(&Row) -> u8, u8>,
    ProcessJoinFn<
        fn(&Row, &Row, &mut JoinContext<'_>, &mut Collector<'_, Pair>) -> FunctionResult,
        Pair,
    >,
>;

fn pair(
    left: &Row,
    right: &Row,
    cx: &mut JoinContext<'_>,
    out: &mut Collector<'_, Pair>,
) -> FunctionResult {
    assert_eq!(left.0, right.0);
    assert_eq!(
        cx.timestamp(),
        cx.left_timestamp().max(cx.right_timestamp())
    );
    assert_eq!(out.timestamp(), Some(cx.timestamp()));
    out.collect((left.1, right.1, cx.timestamp()));
    Ok(())
}

fn joined(lower: i64, upper: i64, late: [OutputTag<Row>; 2]) -> Joined {
    let key = (|row: &Row| row.0) as fn(&Row) -> u8;
    let [late_left, late_right] = late.map(Some);
    Interval {
        join: IntervalJoin {
            lower,
            upper,
            late_left,
            late_right,
        },
        first: ByValue::new(key),
        second: ByValue::new(key),
        function: ProcessJoinFn::new(pair),
        buffers: None,
    }
}

fn run(script: Vec<Step>, lower: i64, upper: i64) {
    let narrow = Narrow::<Pair>::default();
    let late = [Keep::<Row>::default(), Keep::<Row>::default()];
    let tags = ["left", "right"].map(OutputTag::<Row>::new);
    let sides = tags.iter().zip(&late);
    let sides = sides.map(|(tag, keep)| crate::side::boxed(tag, Box::new(keep.clone())));
    let output = Output::with_sides(Box::new(narrow.clone()), sides.collect());
    let context = SubtaskContext::for_tests("Interval Join");
    let mut sink = TwoInputs::new(joined(lower, upper, tags), &context, output);
    let (mut oracle, mut watermark, mut number) = (Oracle::default(), i64::MIN, 0);
    for step in script {
        match step {
            Step::Rows(left, rows) => {
                let mut batch = Batch::default();
                for (key, at) in rows {
                    number += 1;
                    batch.push((key, number), at);
                    match (at < watermark, left) {
                        (true, _) => oracle.late[usize::from(!left)].push(number),
                        (false, true) => oracle.lefts.push((key, at, number)),
                        (false, false) => oracle.rights.push((key, at, number)),
                    }
                }
                match left {
                    true => sink.batch1(&mut batch).unwrap(),
                    false => sink.batch2(&mut batch).unwrap(),
                }
            }
            Step::Watermark(by) => {
                watermark = watermark.max(0) + by;
                sink.control(Control::Watermark(watermark)).unwrap();
            }
        }
        settle(&mut sink, &narrow);
    }
    sink.control(Control::Watermark(i64::MAX)).unwrap();
    settle(&mut sink, &narrow);
    assert_eq!(sink.rows_of_states(), 0, "all buffers are empty");
    let mut pairs = narrow.rows();
    pairs.sort_unstable();
    assert_eq!(pairs, oracle.pairs(lower, upper));
    for (kept, expected) in late.iter().zip(oracle.late) {
        let kept: Vec<u32> = kept.rows().into_iter().map(|row| row.1).collect();
        assert_eq!(kept, expected);
    }
}

fn settle(sink: &mut TwoInputs<Joined>, narrow: &Narrow<Pair>) {
    while !sink.settle().unwrap() {
        narrow.make_room();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn equals_nested_loops(script in script(), lower in -20..20_i64, width in -2..25_i64) {
        run(script, lower, lower + width);
    }
}

#[test]
fn bounds_without_end_join_everything_and_do_not_overflow() {
    let rows = |left| Step::Rows(left, vec![(1, 0), (1, 59), (2, 30)]);
    let script = vec![rows(true), rows(false), rows(true)];
    run(script.clone(), -1_000_000, 1_000_000);
    let keep = Keep::<Pair>::default();
    let tags = ["left", "right"].map(OutputTag::<Row>::new);
    let output = Output::to(Box::new(keep.clone()));
    let context = SubtaskContext::for_tests("Interval Join");
    let mut sink = TwoInputs::new(joined(i64::MIN, i64::MAX, tags), &context, output);
    let (mut left, mut right) = (Batch::default(), Batch::default());
    left.push((1, 1), i64::MAX - 1);
    right.push((1, 2), 5);
    sink.batch1(&mut left).unwrap();
    sink.control(Control::Watermark(4)).unwrap();
    sink.batch2(&mut right).unwrap();
    assert_eq!(keep.rows(), [(1, 2, i64::MAX - 1)]);
}

#[test]
fn state_goes_when_no_partner_can_come() {
    let tags = ["left", "right"].map(OutputTag::<Row>::new);
    let context = SubtaskContext::for_tests("Interval Join");
    let output = Output::to(Box::new(Keep::<Pair>::default()));
    let mut sink = TwoInputs::new(joined(-5, 10, tags), &context, output);
    let (mut left, mut right) = (Batch::default(), Batch::default());
    left.push((1, 1), 100);
    right.push((1, 2), 50);
    sink.batch1(&mut left).unwrap();
    sink.batch2(&mut right).unwrap();
    for (watermark, rows) in [(55, 2), (56, 1), (110, 1), (111, 0)] {
        sink.control(Control::Watermark(watermark)).unwrap();
        assert_eq!(sink.rows_of_states(), rows, "at {watermark}");
    }
}

#[test]
fn a_record_without_event_time_is_an_error() {
    let tags = ["left", "right"].map(OutputTag::<Row>::new);
    let context = SubtaskContext::for_tests("Interval Join");
    let output = Output::to(Box::new(Keep::<Pair>::default()));
    let mut sink = TwoInputs::new(joined(0, 1, tags), &context, output);
    let mut left = Batch::default();
    left.push((1, 1), NO_TIMESTAMP);
    let error = sink.batch1(&mut left).unwrap_err();
    let place = "operator 'Interval Join', first input, record 1";
    assert!(error.message.starts_with(place), "{}", error.message);
    assert!(error.message.contains("assign timestamps"));
}
