//! Interval joins against nested loops.

use flott::prelude::*;
use proptest::prelude::*;

use crate::child;
use crate::event_time::{timed, times};
use crate::support::{Collected, environment};

/// Key, event time, number.
type Row = (u8, i64, u32);
type Pair = (u8, u32, u32, i64);

fn rows(timed: Vec<(i64, u8)>) -> Vec<Row> {
    let numbered = timed.into_iter().zip(0..);
    numbered
        .map(|((at, key), number)| (key, at, number))
        .collect()
}

fn nested_loops(lefts: &[Row], rights: &[Row], from: i64, to: i64) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for left in lefts {
        for right in rights {
            let apart = right.1 - left.1;
            if left.0 == right.0 && from <= apart && apart <= to {
                pairs.push((left.0, left.2, right.2, left.1.max(right.1)));
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

fn check(lefts: Vec<Row>, rights: Vec<Row>, (lower, upper): (i64, i64), exclusive: (bool, bool)) {
    let env = environment((lefts.len() % 8 + 1) as u32);
    let from = lower + i64::from(exclusive.0);
    let to = upper - i64::from(exclusive.1);
    let expected = nested_loops(&lefts, &rights, from, to);
    let right = timed(&env, rights, |row| row.1).key_by(|row| row.0);
    let mut joined = timed(&env, lefts, |row| row.1)
        .key_by(|row| row.0)
        .interval_join(right)
        .between(lower, upper);
    if exclusive.0 {
        joined = joined.lower_bound_exclusive();
    }
    if exclusive.1 {
        joined = joined.upper_bound_exclusive();
    }
    let (late_left, late_right) = (OutputTag::new("left"), OutputTag::new("right"));
    let pairs = joined
        .side_output_left_late_data(&late_left)
        .side_output_right_late_data(&late_right)
        .process_fn(|left, right, cx, out| {
            out.collect((left.0, left.2, right.2, cx.timestamp()));
            Ok(())
        });
    let lates = pairs.get_side_output(&late_left);
    let late = Collected::from(lates.union([pairs.get_side_output(&late_right)]));
    let pairs = Collected::from(pairs);
    env.execute("interval join").unwrap();
    assert_eq!(late.take(), []);
    assert_eq!(pairs.sorted(), expected);
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let streams = (times(0..30_u8, 2_000), times(0..30_u8, 2_000));
    let bounds = (-60..60_i64, 0..80_i64).prop_map(|(lower, width)| (lower, lower + width));
    let exclusive = (any::<bool>(), any::<bool>());
    child::runner()
        .run(
            &(streams, bounds, exclusive),
            |((lefts, rights), bounds, exclusive)| {
                check(rows(lefts), rows(rights), bounds, exclusive);
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn pairs_are_those_of_nested_loops() {
    child::run_everywhere("interval");
}

#[test]
#[should_panic(expected = "the lower bound is given first")]
fn bounds_the_wrong_way_round_are_refused() {
    let env = environment(1);
    let numbers = || env.from_collection([1_i64]).key_by(|n| *n);
    let _ = numbers().interval_join(numbers()).between(5, -5);
}
