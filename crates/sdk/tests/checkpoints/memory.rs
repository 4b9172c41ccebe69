//! Tasks that are restarted where they ran go back to what they have in memory, and end up where the
//! storage would have taken them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flott::Error;
use flott::prelude::*;
use flott::source::DataGeneratorSource;
use flott::window::TumblingEventTimeWindows;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::exactly_once::{Failing, with_checkpoints};
use crate::support::{environment, failure, lines, text};

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Files with state, once a checkpoint is known to be complete: the next one has begun.
fn state_files(checkpoints: &Path) -> Vec<PathBuf> {
    let all: Vec<PathBuf> = below(checkpoints)
        .iter()
        .flat_map(|job| below(job))
        .collect();
    let complete = all.iter().any(|it| it.join("_metadata").exists());
    if !complete || all.len() < 2 {
        return Vec::new();
    }
    let files = all.iter().flat_map(|checkpoint| below(checkpoint));
    files.filter(|file| !file.ends_with("_metadata")).collect()
}

/// A job that fails once there is a complete checkpoint, when its state is gone from storage.
fn run_without_storage(from_local: &str) -> (Result<JobExecutionResult, Error>, Vec<String>, u64) {
    const RECORDS: u64 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let (output, checkpoints) = (directory.path().join("out"), directory.path().join("chk"));
    let env = environment(2);
    with_checkpoints(&env, &checkpoints);
    for (key, value) in [
        ("execution.state-recovery.from-local", from_local),
        ("execution.checkpointing.data-inline-threshold", "0"),
        ("restart-strategy.fixed-delay.attempts", "3"),
    ] {
        env.configure(key, value).unwrap();
    }
    let deleted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&deleted);
    let source = DataGeneratorSource::new(|index| index, RECORDS).rate_per_second(2_000.0);
    env.from_source(source, WatermarkStrategy::no_watermarks(), "numbers")
        .key_by(|n| n % 7)
        .sum(|n| n)
        .map(move |sum| {
            if count.load(Ordering::SeqCst) == 0 {
                let files = state_files(&checkpoints);
                if !files.is_empty() {
                    let gone = files.iter().filter(|it| std::fs::remove_file(it).is_ok());
                    count.fetch_add(gone.count() as u64, Ordering::SeqCst);
                    panic!("injected");
                }
            }
            sum
        })
        .write_text(text(&output), |sum, line| line.push_str(&sum.to_string()));
    let result = env.execute("without storage");
    let shown = if result.is_ok() {
        lines(&output)
    } else {
        Vec::new()
    };
    (result, shown, deleted.load(Ordering::SeqCst))
}

#[test]
fn who_survives_does_not_read_the_storage() {
    let (result, shown, deleted) = run_without_storage("true");
    result.unwrap();
    assert!(deleted > 0);
    assert_eq!(shown.len(), 2_000, "each record is shown once");
    let mut sums = BTreeMap::<u64, u64>::new();
    for n in 0..2_000 {
        *sums.entry(n % 7).or_default() += n;
    }
    // Sums on the way depend on the order in which two sources are read, the last ones do not.
    for sum in sums.values() {
        assert!(shown.contains(&sum.to_string()), "{sum}");
    }
}

#[test]
fn who_is_not_to_use_memory_misses_the_storage() {
    // The next checkpoint may be complete before the failure: then the job finds its state.
    let failed = (0..5).find_map(|_| {
        let (result, _, deleted) = run_without_storage("false");
        assert!(deleted > 0);
        result.is_err().then(|| failure(result))
    });
    let failure = failed.expect("one of five jobs misses its state");
    assert!(
        failure.message.contains("state cannot be read"),
        "{failure}"
    );
}

/// When and how often a job fails, and how it is divided.
#[derive(Debug, Clone)]
struct Case {
    parallelism: u32,
    calls_between_failures: u64,
    failures: u32,
    keys: u64,
    window: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    (1..=4_u32, 20..400_u64, 1..=5_u32, 1..60_u64, 20..200_u64).prop_map(
        |(parallelism, calls_between_failures, failures, keys, window)| Case {
            parallelism,
            calls_between_failures,
            failures,
            keys,
            window,
        },
    )
}

const RECORDS: u64 = 1_500;

/// Windows of sums, behind a map that fails.
fn windows(case: &Case, from_local: &str) -> (Vec<String>, u32) {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let env = environment(case.parallelism);
    with_checkpoints(&env, &directory.path().join("chk"));
    env.configure("execution.state-recovery.from-local", from_local)
        .unwrap();
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|n: &u64, _| n.cast_signed());
    let source = DataGeneratorSource::new(|index| index, RECORDS).rate_per_second(3_000.0);
    let (keys, window) = (case.keys, Duration::from_millis(case.window));
    let failing = Failing::new(case.calls_between_failures, case.failures);
    let fail = failing.clone();
    env.from_source(source, times, "numbers")
        .map(move |n| {
            fail.call();
            (n % keys, n)
        })
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(window))
        .reduce(|sum, row| sum.1 += row.1)
        .write_text(text(&output), |(key, sum), line| {
            line.push_str(&format!("{key} {sum}"));
        });
    env.execute("windows").unwrap();
    (lines(&output), failing.happened())
}

fn expected(case: &Case) -> Vec<String> {
    let mut sums = BTreeMap::<(u64, u64), u64>::new();
    for n in 0..RECORDS {
        *sums.entry((n % case.keys, n / case.window)).or_default() += n;
    }
    let mut lines: Vec<String> = sums
        .iter()
        .map(|((key, _), sum)| format!("{key} {sum}"))
        .collect();
    lines.sort();
    lines
}

#[test]
fn memory_and_storage_take_a_job_to_the_same_place() {
    let cases_wanted = std::env::var("FLOTT_TEST_CASES");
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 10,
        ..Config::with_cases(cases_wanted.map_or(6, |cases| cases.parse().unwrap()))
    };
    let failures = AtomicU64::new(0);
    TestRunner::new(config)
        .run(&cases(), |case| {
            for from_local in ["true", "false"] {
                let (shown, happened) = windows(&case, from_local);
                failures.fetch_add(u64::from(happened), Ordering::SeqCst);
                prop_assert_eq!(&shown, &expected(&case), "from local: {}", from_local);
            }
            Ok(())
        })
        .unwrap();
    assert!(failures.into_inner() > 0);
}
