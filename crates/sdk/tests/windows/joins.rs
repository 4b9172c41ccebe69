//! Window joins and co-groups equal nested loops.

use std::collections::BTreeMap;
use std::time::Duration;

use flott::window::SlidingEventTimeWindows;

use crate::child;
use crate::definitions::periodic;
use crate::stream::{Row, rows, timed};
use crate::support::{Collected, environment};

/// Key, values of the first stream, of the second.
type Pair = (u8, Vec<i64>, Vec<i64>);

fn check(lefts: &[Row], rights: &[Row], size: i64, slide: i64, parallelism: u32) {
    let env = environment(parallelism);
    let [long, step] = [size, slide].map(|time| Duration::from_millis(time.unsigned_abs()));
    let (left, right) = (timed(&env, lefts, true), timed(&env, rights, false));
    let grouped = left
        .clone()
        .co_group(right.clone())
        .where_(|row| row.0)
        .equal_to(|row| row.0)
        .window(SlidingEventTimeWindows::of(long, step))
        .apply(|lefts, rights, out| {
            let key = lefts.first().or(rights.first()).map_or(0, |row| row.0);
            let values = |rows: &[&Row]| {
                let mut values: Vec<i64> = rows.iter().map(|row| row.2).collect();
                values.sort_unstable();
                values
            };
            out.collect((key, values(lefts), values(rights)));
        });
    let joined = left
        .join(right)
        .where_(|row| row.0)
        .equal_to(|row| row.0)
        .window(SlidingEventTimeWindows::of(long, step))
        .apply(|left, right| (left.0, left.2, right.2));
    let (grouped, joined) = (Collected::from(grouped), Collected::from(joined));
    env.execute("joins").unwrap();
    let mut groups: BTreeMap<(u8, i64), (Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for (key, start, _, values) in periodic(lefts, size, slide, 0) {
        groups.entry((key, start)).or_default().0 = values;
    }
    for (key, start, _, values) in periodic(rights, size, slide, 0) {
        groups.entry((key, start)).or_default().1 = values;
    }
    let groups = groups.into_iter();
    let mut groups: Vec<Pair> = groups.map(|((key, _), (a, b))| (key, a, b)).collect();
    groups.sort();
    assert_eq!(grouped.sorted(), groups);
    let mut pairs = Vec::new();
    for (key, lefts, rights) in groups {
        for left in lefts {
            pairs.extend(rights.iter().map(|right| (key, left, *right)));
        }
    }
    pairs.sort_unstable();
    assert_eq!(joined.sorted(), pairs);
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let cases = (rows(700), rows(700), 1..40_i64, 5..40_i64, 1..=8_u32);
    child::runner()
        .run(&cases, |(lefts, rights, size, slide, parallelism)| {
            check(&lefts, &rights, size, slide, parallelism);
            Ok(())
        })
        .unwrap();
}

#[test]
fn joins_equal_nested_loops_at_any_parallelism() {
    child::run_everywhere("joins");
}
