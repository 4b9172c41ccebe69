//! Checkpoints whose barriers overtake records: they complete under back pressure, and nothing that was
//! overtaken is lost or comes twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flott::prelude::*;
use flott::source::DataGeneratorSource;

use crate::exactly_once::{Failing, with_checkpoints};
use crate::support::{environment, lines, text};

const PATIENCE: Duration = Duration::from_secs(60);
/// Records that each record of the source becomes.
const MANY: u64 = 20;

/// A sink that has no hurry until it is told: each record takes it a while.
#[derive(Clone, Default)]
struct Valve(Arc<(Mutex<bool>, Condvar, AtomicU64)>);

impl Valve {
    fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn passed(&self) -> u64 {
        self.0.2.load(Ordering::SeqCst)
    }

    /// Waits to be opened, but not for ever.
    fn pass(&self) {
        let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .1
            .wait_timeout_while(open, Duration::from_millis(10), |open| !*open);
        drop(waited);
        self.0.2.fetch_add(1, Ordering::SeqCst);
    }
}

/// Ids of the checkpoints in a directory that are complete.
fn completed(checkpoints: &Path) -> Vec<u64> {
    let jobs = std::fs::read_dir(checkpoints)
        .into_iter()
        .flatten()
        .flatten();
    let all = jobs.flat_map(|job| {
        std::fs::read_dir(job.path())
            .into_iter()
            .flatten()
            .flatten()
    });
    let complete = all.filter(|it| it.path().join("_metadata").exists());
    let ids = complete.filter_map(|it| {
        let name = it.file_name();
        name.to_str()?.strip_prefix("chk-")?.parse().ok()
    });
    ids.collect()
}

/// Each number of the source becomes many, which are summed by key, and shown with the sum.
fn build(
    env: &StreamExecutionEnvironment,
    count: u64,
    output: &Path,
    at_sink: impl Fn() + Clone + Send + Sync + 'static,
) {
    let source = DataGeneratorSource::new(|index| index, count);
    env.from_source(source, WatermarkStrategy::no_watermarks(), "numbers")
        .uid("numbers")
        .rebalance()
        .flat_map(|n| (0..MANY).map(move |k| n * MANY + k))
        .uid("many")
        .map(|n| (n % 13, n))
        .key_by(|row| row.0)
        .sum(|row| &mut row.1)
        .uid("sums")
        .rebalance()
        .map(move |row| {
            at_sink();
            row
        })
        .write_text(text(output), |(key, sum), line| {
            line.push_str(&format!("{key} {sum}"));
        });
}

/// The last sum of each key, and how many lines there are.
fn result(lines: &[String]) -> (usize, BTreeMap<u64, u64>) {
    let mut last = BTreeMap::<u64, u64>::new();
    for line in lines {
        let (key, sum) = line.split_once(' ').unwrap();
        let known = last.entry(key.parse().unwrap()).or_default();
        *known = (*known).max(sum.parse().unwrap());
    }
    (lines.len(), last)
}

fn expected(count: u64) -> (usize, BTreeMap<u64, u64>) {
    let mut sums = BTreeMap::<u64, u64>::new();
    for n in 0..count * MANY {
        *sums.entry(n % 13).or_default() += n;
    }
    ((count * MANY) as usize, sums)
}

/// Checkpoints complete while thousands of records wait in front of a slow sink.
fn completes(timeout: Duration) {
    let directory = tempfile::tempdir().unwrap();
    let (output, checkpoints) = (directory.path().join("out"), directory.path().join("chk"));
    let env = environment(2);
    with_checkpoints(&env, &checkpoints);
    env.enable_unaligned_checkpoints(true)
        .set_aligned_checkpoint_timeout(timeout);
    let valve = Valve::default();
    let sink = valve.clone();
    let count = 3_000;
    build(&env, count, &output, move || sink.pass());
    let job = env.execute_async("blocked").unwrap();
    // In front of the sink wait thousands of records, which would take it minutes.
    let deadline = Instant::now() + PATIENCE;
    while completed(&checkpoints).into_iter().max() < Some(4) {
        let seen = completed(&checkpoints);
        assert!(
            Instant::now() < deadline,
            "no checkpoint completes: {seen:?}, {} records have passed, {:?}",
            valve.passed(),
            job.status()
        );
        std::thread::yield_now();
    }
    let passed = valve.passed();
    valve.open();
    let ended = job.result();
    assert!(ended.is_ok(), "{ended:?}");
    assert!(passed < count * MANY / 2, "the sink was not slow: {passed}");
    assert_eq!(result(&lines(&output)), expected(count));
}

#[test]
fn they_complete_while_an_aligned_one_would_wait_for_the_sink() {
    completes(Duration::ZERO);
}

#[test]
fn aligned_ones_that_take_too_long_do_so_too() {
    completes(Duration::from_millis(30));
}

/// The job is cancelled in the middle of the records that wait for the sink, and goes on from its last
/// checkpoint with other numbers of subtasks.
fn goes_on(before: u32, after: u32) {
    let directory = tempfile::tempdir().unwrap();
    let (output, checkpoints) = (directory.path().join("out"), directory.path().join("chk"));
    let count = 3_000;
    let env = environment(before);
    with_checkpoints(&env, &checkpoints);
    env.enable_unaligned_checkpoints(true);
    env.set_max_parallelism(16);
    let retention = "execution.checkpointing.externalized-checkpoint-retention";
    env.configure(retention, "RETAIN_ON_CANCELLATION").unwrap();
    let valve = Valve::default();
    let sink = valve.clone();
    build(&env, count, &output, move || sink.pass());
    let job = env.execute_async("first").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while completed(&checkpoints).into_iter().max() < Some(3) {
        assert!(Instant::now() < deadline, "no checkpoint completes");
        std::thread::yield_now();
    }
    job.cancel().unwrap();
    let _ = job.result();
    assert!(valve.passed() < count * MANY / 2);
    let last = last(&checkpoints);
    let env = environment(after);
    env.set_max_parallelism(16);
    env.configure("execution.state-recovery.path", text(&last))
        .unwrap();
    env.enable_checkpointing(Duration::from_millis(50)).unwrap();
    build(&env, count, &output, || ());
    env.execute("second").unwrap();
    assert_eq!(
        result(&lines(&output)),
        expected(count),
        "{before} -> {after}"
    );
}

/// The newest checkpoint that is complete.
fn last(checkpoints: &Path) -> std::path::PathBuf {
    let newest = completed(checkpoints).into_iter().max().unwrap();
    let job = std::fs::read_dir(checkpoints)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    job.path().join(format!("chk-{newest}"))
}

#[test]
fn another_run_goes_on_from_one() {
    goes_on(2, 2);
}

#[test]
fn with_more_or_fewer_subtasks_records_find_their_way_anew() {
    goes_on(2, 3);
    goes_on(4, 1);
}

/// Runs under back pressure with failures.
fn fails(parallelism: u32, timeout: Duration) {
    let directory = tempfile::tempdir().unwrap();
    let (output, checkpoints) = (directory.path().join("out"), directory.path().join("chk"));
    let env = environment(parallelism);
    with_checkpoints(&env, &checkpoints);
    env.enable_unaligned_checkpoints(true)
        .set_aligned_checkpoint_timeout(timeout);
    let failing = Failing::new(6_000, 4);
    let (counted, failed) = (failing.clone(), AtomicBool::new(false));
    let failed = Arc::new(failed);
    let count = 2_000;
    build(&env, count, &output, move || {
        // About two seconds' worth of records for each of two threads.
        let until = Instant::now() + Duration::from_micros(50);
        while Instant::now() < until {}
        counted.call();
        failed.store(true, Ordering::Relaxed);
    });
    env.execute("failing").unwrap();
    assert_eq!(failing.happened(), 4);
    assert_eq!(result(&lines(&output)), expected(count));
}

#[test]
fn nothing_is_lost_or_comes_twice() {
    fails(2, Duration::ZERO);
}

#[test]
fn nor_after_a_time_of_alignment() {
    fails(2, Duration::from_millis(20));
}

#[test]
fn nor_with_more_channels() {
    fails(4, Duration::ZERO);
}

#[test]
fn what_they_exclude_is_refused() {
    for (key, value) in [
        ("execution.checkpointing.mode", "AT_LEAST_ONCE"),
        ("execution.checkpointing.max-concurrent-checkpoints", "2"),
    ] {
        let env = environment(1);
        env.enable_checkpointing(Duration::from_secs(1)).unwrap();
        env.enable_unaligned_checkpoints(true);
        env.configure(key, value).unwrap();
        env.from_sequence(1, 3).discard();
        let error = env.execute("refused").unwrap_err().to_string();
        for named in [key, value, "execution.checkpointing.unaligned.enabled"] {
            assert!(error.contains(named), "{error}");
        }
    }
}
