//! The part of a snapshot in which a task does nothing else, by itself: the table of a running fold is handed over while
//! rows change, as at a barrier. Checkpoints tell it in whole milliseconds, which is too coarse. The goal is about
//! processor time; on the clock it is as long only if nobody else wants the processor.

use anyhow::Result;
use flott_record::hash::stable_hash;
use flott_state::{KeyedTable, OperatorSnapshot};

use super::{Figures, Goal, Setting, Settings, percentile};
use crate::measure::timed;

const SNAPSHOTS: u32 = 300;
/// Rows that change between two.
const CHANGES: u64 = 200_000;
/// Coprime to the numbers of keys: all of them come in turn, far apart.
const STRIDE: u64 = 7_919;

pub(super) fn measure(
    setting: &Setting,
    name: &str,
    _settings: &Settings,
    keys: u64,
) -> Result<Figures> {
    let mut table = KeyedTable::<u64, u64>::new();
    for key in 0..keys {
        table.insert_new(stable_hash(&key), key, key);
    }
    let (mut times, mut walls, mut at) = (Vec::new(), Vec::new(), 0);
    // What is kept for roll backs: rows are copied when they change.
    let mut kept = None;
    for _ in 0..SNAPSHOTS * setting.runs {
        for _ in 0..CHANGES {
            at = (at + STRIDE) % keys;
            if let Some(value) = table.get_mut(stable_hash(&at), &at) {
                *value += 1;
            }
        }
        let (snapshot, cpu, wall) = timed(|| {
            let mut snapshot = OperatorSnapshot::new(128);
            snapshot.table("sums", &mut table)?;
            Ok(snapshot)
        })?;
        times.push(cpu.as_secs_f64() * 1e3);
        walls.push(wall.as_secs_f64() * 1e3);
        kept = Some(snapshot);
    }
    drop(kept);
    let p99 = percentile(&mut times, 0.99);
    Ok(Figures {
        row: name.to_owned(),
        values: vec![
            ("p50", percentile(&mut times, 0.5), "ms"),
            ("p99", p99, "ms"),
            ("p99 on the clock", percentile(&mut walls, 0.99), "ms"),
            ("snapshots", times.len() as f64, ""),
        ],
        goals: vec![Goal {
            figure: "p99",
            value: p99,
            bound: 1.0,
            at_least: false,
        }],
    })
}
