//! Joins and co-groups equal nested loops.

use std::collections::BTreeMap;

use flott_network::{Batch, Control};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::{Narrow, Row, by_key, ms, output};
use crate::window::*;
use crate::{Collector, SubtaskContext, TwoInputSink};

type Union = TaggedUnion<Row, Row>;
/// The values of both sides, in order.
type Groups = Vec<(Vec<i64>, Vec<i64>)>;

fn drive<F>(
    left: &[Row],
    right: &[Row],
    assigner: impl WindowAssigner<Union, Window = TimeWindow, DefaultTrigger = EventTimeTrigger>,
    function: F,
) -> Vec<F::Out>
where
    F: WindowFunction<Union, u8, TimeWindow, Listed>,
    F::Out: Ord,
{
    let context = SubtaskContext::for_tests("Join");
    let narrow = Narrow::with_room(1_000_000);
    let mut operator: Box<dyn TwoInputSink<Row, Row>> = CoWindowOperator::boxed(
        &context,
        (by_key(), by_key()),
        WindowSpec::new(assigner),
        EventTimeTrigger,
        Listed::untimed(),
        function,
        output(&narrow),
    )
    .unwrap();
    let (mut left, mut right) = (left.chunks(7), right.chunks(5));
    loop {
        let (mut ones, mut twos) = (Batch::default(), Batch::default());
        let (one, two) = (left.next(), right.next());
        one.into_iter()
            .flatten()
            .for_each(|row| ones.push(*row, row.1));
        two.into_iter()
            .flatten()
            .for_each(|row| twos.push(*row, row.1));
        operator.batch1(&mut ones).unwrap();
        operator.batch2(&mut twos).unwrap();
        if one.is_none() && two.is_none() {
            break;
        }
    }
    operator.control(Control::Watermark(i64::MAX)).unwrap();
    operator.control(Control::End).unwrap();
    assert!(operator.settle().unwrap());
    let mut rows: Vec<F::Out> = narrow.take_rows().into_iter().map(|(row, _)| row).collect();
    rows.sort();
    rows
}

fn values(rows: &[&Row]) -> Vec<i64> {
    let mut values: Vec<i64> = rows.iter().map(|row| row.2).collect();
    values.sort_unstable();
    values
}

fn group() -> CoGroup<
    impl FnMut(&[&Row], &[&Row], &mut Collector<'_, (Vec<i64>, Vec<i64>)>) + Clone,
    (Vec<i64>, Vec<i64>),
> {
    CoGroup::new(|ones: &[&Row], twos: &[&Row], out: &mut Collector<'_, _>| {
        out.collect((values(ones), values(twos)));
    })
}

/// By window start: what a record belongs to is computed one by one.
fn grouped(left: &[Row], right: &[Row], size: i64, slide: i64) -> Groups {
    let mut groups: BTreeMap<(u8, i64), (Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for (row, is_left) in left
        .iter()
        .map(|row| (row, true))
        .chain(right.iter().map(|row| (row, false)))
    {
        for start in (-100..200).filter(|start| start % slide == 0) {
            if start <= row.1 && row.1 < start + size {
                let group = groups.entry((row.0, start)).or_default();
                let side = if is_left { &mut group.0 } else { &mut group.1 };
                side.push(row.2);
            }
        }
    }
    let mut groups: Groups = groups
        .into_values()
        .map(|(mut ones, mut twos)| {
            ones.sort_unstable();
            twos.sort_unstable();
            (ones, twos)
        })
        .collect();
    groups.sort();
    groups
}

#[test]
fn joins_and_co_groups_equal_nested_loops() {
    let rows = || proptest::collection::vec((0..3_u8, 0..60_i64, -9..9_i64), 0..40);
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(200)
    };
    let input = (rows(), rows(), 1..20_i64, 1..20_i64);
    TestRunner::new(config)
        .run(&input, |(left, right, size, slide)| {
            let [size_ms, slide_ms] = [size, slide].map(|time| ms(time.unsigned_abs()));
            let windows = || SlidingEventTimeWindows::of(size_ms, slide_ms);
            let expected = grouped(&left, &right, size, slide);
            let groups = drive(&left, &right, windows(), group());
            prop_assert_eq!(&groups, &expected);
            let join = Join::new(|one: &Row, two: &Row, out: &mut Collector<'_, _>| {
                out.collect((one.2, two.2));
            });
            let pairs = drive(&left, &right, windows(), join);
            let mut all: Vec<(i64, i64)> = expected
                .iter()
                .flat_map(|(ones, twos)| {
                    ones.iter()
                        .flat_map(move |one| twos.iter().map(move |two| (*one, *two)))
                })
                .collect();
            all.sort_unstable();
            prop_assert_eq!(pairs, all);
            Ok(())
        })
        .unwrap();
}

#[test]
fn sessions_join_over_both_streams() {
    let left = [(1, 0, 1), (1, 30, 2)];
    let right = [(1, 8, 3), (2, 8, 4), (1, 16, 5)];
    let windows = EventTimeSessionWindows::with_gap(ms(10));
    let groups = drive(&left, &right, windows, group());
    let expected = [(vec![], vec![4]), (vec![1], vec![3, 5]), (vec![2], vec![])];
    assert_eq!(groups, expected);
}
