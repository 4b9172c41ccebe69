//! Random streams through all kinds of windows equal the definitions, whatever the parallelism.

use std::time::Duration;

use flott::prelude::*;
use flott::window::{
    EventTimeSessionWindows, EventTimeTrigger, SlidingEventTimeWindows, TimeWindow,
    TumblingEventTimeWindows, WindowContext,
};
use proptest::prelude::*;

use crate::child;
use crate::definitions::{Group, counted, counted_sliding, periodic, sessions};
use crate::stream::{Row, rows, timed};
use crate::support::{Collected, environment};

/// All values of a window, in order.
#[derive(Clone)]
pub(crate) struct Values;

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

fn values(rows: &[Row]) -> Vec<i64> {
    let mut values: Vec<i64> = rows.iter().map(|row| row.2).collect();
    values.sort_unstable();
    values
}

fn with_window(
    key: &u8,
    cx: &mut WindowContext<'_, u8, TimeWindow>,
    values: &[Vec<i64>],
    out: &mut Collector<'_, Group>,
) -> FunctionResult {
    let window = *cx.window();
    // Nobody has told this function that more has come than has.
    if cx.current_watermark() < window.end() - 1 {
        return Err(format!("{window:?} fires before its end").into());
    }
    out.collect((*key, window.start(), window.end(), values[0].clone()));
    Ok(())
}

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Row>,
    size: i64,
    slide: i64,
    offset: i64,
    count: usize,
    parallelism: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    (
        rows(1_500),
        1..60_i64,
        1..60_i64,
        0..60_i64,
        1..6_usize,
        1..=8_u32,
    )
        .prop_map(|(rows, size, slide, offset, count, parallelism)| Case {
            rows,
            size,
            slide,
            offset,
            count,
            parallelism,
        })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn check(case: &Case) {
    let env = environment(case.parallelism);
    let Case {
        rows,
        size,
        slide,
        offset,
        count,
        ..
    } = case;
    // One job for all of them: they share its cost.
    let spread = timed(&env, rows, true);
    let ordered = timed(&env, rows, false);
    let tumbling = spread
        .clone()
        .key_by_ref(|row| &row.0)
        .window(TumblingEventTimeWindows::of(ms(*size)).with_offset(ms(*offset)))
        .aggregate_with_fn(Values, with_window);
    let sliding = || SlidingEventTimeWindows::of(ms(*size), ms(*slide)).with_offset(ms(*offset));
    let by_panes = spread
        .clone()
        .key_by(|row| row.0)
        .window(sliding())
        .aggregate_with_fn(Values, with_window);
    let by_entries = ordered
        .clone()
        .key_by(|row| row.0)
        .window(sliding())
        .trigger(EventTimeTrigger)
        .apply(|key, window, rows, out| {
            out.collect((*key, window.start(), window.end(), values(rows)));
        });
    let gaps = spread
        .clone()
        .key_by(|row| row.0)
        .window(EventTimeSessionWindows::with_gap(ms(*size)))
        .aggregate_with_fn(Values, with_window);
    let all = spread
        .window_all(EventTimeSessionWindows::with_gap(ms(*size)))
        .apply(|_, window, rows, out| {
            out.collect((0, window.start(), window.end(), values(rows)));
        });
    let counts = ordered
        .clone()
        .key_by(|row| row.0)
        .count_window(*count as u64)
        .apply(|key, _, rows, out| out.collect((*key, rows.iter().map(|row| row.2).collect())));
    let last = ordered
        .key_by(|row| row.0)
        .count_window_sliding(*count as u64, 2)
        .apply(|key, _, rows, out| out.collect((*key, rows.iter().map(|row| row.2).collect())));
    let [tumbling, by_panes, by_entries, gaps, all] =
        [tumbling, by_panes, by_entries, gaps, all].map(Collected::from);
    let [counts, last] = [counts, last].map(Collected::from);
    env.execute("windows").unwrap();
    assert_eq!(tumbling.sorted(), periodic(rows, *size, *size, *offset));
    let sliding = periodic(rows, *size, *slide, *offset);
    assert_eq!(by_panes.sorted(), sliding);
    assert_eq!(by_entries.sorted(), sliding);
    assert_eq!(gaps.sorted(), sessions(rows, *size));
    let one_key: Vec<Row> = rows.iter().map(|row| (0, row.1, row.2)).collect();
    assert_eq!(all.sorted(), sessions(&one_key, *size));
    assert_eq!(counts.sorted(), counted(rows, *count));
    assert_eq!(last.sorted(), counted_sliding(rows, *count, 2));
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    child::runner()
        .run(&cases(), |case| {
            check(&case);
            Ok(())
        })
        .unwrap();
}

#[test]
fn windows_equal_their_definitions_at_any_parallelism() {
    child::run_everywhere("random");
}
