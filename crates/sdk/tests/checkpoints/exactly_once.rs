//! What a sink shows is what it would have shown without the failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use flott::prelude::*;
use flott::source::DataGeneratorSource;

use crate::support::{environment, lines, text};

/// Numbers of a slow source: checkpoints fall between them.
fn numbers(env: &StreamExecutionEnvironment, count: u64, rate: f64) -> DataStream<u64> {
    let source = DataGeneratorSource::new(|index| index, count).rate_per_second(rate);
    env.from_source(source, WatermarkStrategy::no_watermarks(), "numbers")
}

/// Panics `times` times, each time after another `after` calls.
#[derive(Clone)]
pub(crate) struct Failing {
    calls: std::sync::Arc<AtomicU64>,
    failures: std::sync::Arc<AtomicU32>,
    after: u64,
    times: u32,
}

impl Failing {
    pub(crate) fn new(after: u64, times: u32) -> Self {
        Self {
            calls: Default::default(),
            failures: Default::default(),
            after,
            times,
        }
    }

    pub(crate) fn call(&self) {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 >= self.after
            && self.failures.load(Ordering::SeqCst) < self.times
        {
            self.calls.store(0, Ordering::SeqCst);
            self.failures.fetch_add(1, Ordering::SeqCst);
            panic!("injected");
        }
    }

    pub(crate) fn happened(&self) -> u32 {
        self.failures.load(Ordering::SeqCst)
    }
}

pub(crate) fn with_checkpoints(env: &StreamExecutionEnvironment, directory: &Path) {
    env.configure("execution.checkpointing.dir", text(directory))
        .unwrap();
    env.configure("restart-strategy.type", "fixed-delay")
        .unwrap();
    env.configure("restart-strategy.fixed-delay.attempts", "100")
        .unwrap();
    env.configure("restart-strategy.fixed-delay.delay", "10 ms")
        .unwrap();
    env.enable_checkpointing(Duration::from_millis(50)).unwrap();
}

/// The running sums of each of seven keys.
fn sums(count: u64) -> Vec<String> {
    let mut sums = BTreeMap::<u64, u64>::new();
    let mut lines: Vec<String> = (0..count)
        .map(|n| {
            let sum = sums.entry(n % 7).or_default();
            *sum += n;
            format!("{} {sum}", n % 7)
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_keyed_sum_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (output, checkpoints) = (directory.path().join("out"), directory.path().join("chk"));
    let env = environment(2);
    with_checkpoints(&env, &checkpoints);
    let failing = Failing::new(700, 3);
    let counted = failing.clone();
    numbers(&env, 3_000, 2_000.0)
        .map(|n| (n % 7, n))
        .key_by(|row| row.0)
        .sum(|row| &mut row.1)
        .map(move |row| {
            counted.call();
            row
        })
        .write_text(text(&output), |(key, sum), line| {
            line.push_str(&format!("{key} {sum}"));
        });
    env.execute("sums").unwrap();
    assert_eq!(failing.happened(), 3);
    // With one source subtask per key order is that of the source; sums are of what came before.
    let shown = lines(&output);
    assert_eq!(shown.len(), 3_000, "each record is shown once");
    let last = |lines: &[String]| {
        let mut last = BTreeMap::<u64, u64>::new();
        for line in lines {
            let (key, sum) = line.split_once(' ').unwrap();
            let sum: u64 = sum.parse().unwrap();
            let known = last.entry(key.parse().unwrap()).or_default();
            *known = (*known).max(sum);
        }
        last
    };
    assert_eq!(last(&shown), last(&sums(3_000)));
    // A FINISHED job keeps no checkpoints.
    let left = std::fs::read_dir(&checkpoints).unwrap().count();
    assert_eq!(left, 0, "checkpoints are left behind");
}
