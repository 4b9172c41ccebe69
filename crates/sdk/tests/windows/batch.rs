//! BATCH gives what STREAMING gives.

use std::time::Duration;

use flott::window::{EventTimeSessionWindows, SlidingEventTimeWindows};

use crate::child;
use crate::definitions::{periodic, sessions};
use crate::random::Values;
use crate::stream::{Row, behind, rows};
use crate::support::{Collected, environment};

/// Watermarks run far ahead of the records: in BATCH nothing is late all the same.
fn check(rows: &[Row], size: i64, slide: i64, parallelism: u32) {
    let env = environment(parallelism);
    let [long, step] = [size, slide].map(|time| Duration::from_millis(time.unsigned_abs()));
    let records = rows.to_vec();
    let stream = env
        .from_sequence(0, rows.len() as i64 - 1)
        .map(move |index| records[index as usize])
        .assign_timestamps_and_watermarks(behind(-1_000, |row: &Row| row.1));
    let sliding = stream
        .clone()
        .key_by(|row| row.0)
        .window(SlidingEventTimeWindows::of(long, step))
        .aggregate_with_fn(Values, |key, cx, values, out| {
            let window = cx.window();
            out.collect((*key, window.start(), window.end(), values[0].clone()));
            Ok(())
        });
    let gaps = stream
        .key_by(|row| row.0)
        .window(EventTimeSessionWindows::with_gap(long))
        .aggregate_with_fn(Values, |key, cx, values, out| {
            let window = cx.window();
            out.collect((*key, window.start(), window.end(), values[0].clone()));
            Ok(())
        });
    let (sliding, gaps) = (Collected::from(sliding), Collected::from(gaps));
    env.execute("batch").unwrap();
    assert_eq!(sliding.sorted(), periodic(rows, size, slide, 0));
    assert_eq!(gaps.sorted(), sessions(rows, size));
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let cases = (rows(700), 1..40_i64, 1..40_i64, 1..=4_u32);
    child::runner()
        .run(&cases, |(rows, size, slide, parallelism)| {
            check(&rows, size, slide, parallelism);
            Ok(())
        })
        .unwrap();
}

#[test]
fn windows_in_batch_equal_their_definitions() {
    child::run("batch", &[("execution.runtime-mode", "BATCH")]);
}
