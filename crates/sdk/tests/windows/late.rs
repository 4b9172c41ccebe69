//! With watermarks that run ahead, no record is lost and none counts twice: it is in its window or
//! in the side output for late records.

use std::collections::BTreeMap;
use std::time::Duration;

use flott::prelude::*;
use flott::window::{EventTimeTrigger, TumblingEventTimeWindows};
use proptest::prelude::*;

use crate::child;
use crate::stream::{Row, behind, rows};
use crate::support::{Collected, environment};

const SIZE: i64 = 10;

/// The last firing of each window, and the late records.
fn check(rows: &[Row], lateness: u64, by_panes: bool, parallelism: u32) {
    let env = environment(parallelism);
    let (records, late) = (rows.to_vec(), OutputTag::<Row>::new("late"));
    // A quarter of the disorder is expected.
    let strategy = behind(10, |row: &Row| row.1);
    let windows = env
        .from_sequence(0, rows.len() as i64 - 1)
        .map(move |index| records[index as usize])
        .assign_timestamps_and_watermarks(strategy)
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(
            SIZE as u64,
        )))
        .allowed_lateness(Duration::from_millis(lateness))
        .side_output_late_data(&late);
    let rows_of = |key: &u8,
                   window: &flott::window::TimeWindow,
                   rows: &[Row],
                   out: &mut Collector<'_, (u8, i64, Vec<Row>)>| {
        out.collect((*key, window.start(), rows.to_vec()));
    };
    let fired = if by_panes {
        windows.apply(rows_of)
    } else {
        windows.trigger(EventTimeTrigger).apply(rows_of)
    };
    let late = Collected::from(fired.get_side_output(&late));
    let fired = Collected::from(fired);
    env.execute("late").unwrap();
    let mut last: BTreeMap<(u8, i64), Vec<Row>> = BTreeMap::new();
    for (key, start, rows) in fired.take() {
        if let Some(before) = last.insert((key, start), rows) {
            let now = &last[&(key, start)];
            assert_eq!(
                now[..before.len()],
                before,
                "a window that fires again has more"
            );
            assert!(lateness > 0 && now.len() > before.len());
        }
    }
    let mut found = late.take();
    for ((key, start), rows) in last {
        for row in rows {
            assert!(row.0 == key && start <= row.1 && row.1 < start + SIZE);
            found.push(row);
        }
    }
    found.sort_unstable();
    let mut expected = rows.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let lateness = prop_oneof![Just(0), 0..50_u64];
    let cases = (rows(1_500), lateness, any::<bool>(), 1..=8_u32);
    child::runner()
        .run(&cases, |(rows, lateness, by_panes, parallelism)| {
            check(&rows, lateness, by_panes, parallelism);
            Ok(())
        })
        .unwrap();
}

#[test]
fn late_records_are_neither_lost_nor_counted_twice() {
    child::run_everywhere("late");
}
