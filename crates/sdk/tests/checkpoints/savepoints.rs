//! Jobs that stop with a savepoint and go on from it: at another parallelism, with other operators, or not at all.

use std::path::Path;
use std::time::{Duration, Instant};

use flott::prelude::*;
use flott::source::DataGeneratorSource;
use flott::window::TumblingEventTimeWindows;
use flott::{Error, JobStatus};

use crate::backends::Backend;
use crate::support::{environment, lines, text};

const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: u64 = 3_000;
/// Records per second of jobs that are stopped in the middle: half a minute's worth of them.
const SLOW: f64 = 100.0;
/// Of jobs that run to their end.
const FAST: f64 = 10_000.0;

/// Counts of eleven keys in windows of 100 ms, from a source of that rate.
fn build(env: &StreamExecutionEnvironment, output: &Path, rate: f64) {
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|n: &u64, _| n.cast_signed());
    let numbers = DataGeneratorSource::new(|index| index, RECORDS).rate_per_second(rate);
    env.from_source(numbers, times, "numbers")
        .uid("numbers")
        .map(|n| (n % 11, n))
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(100)))
        .reduce(|sum, row| sum.1 += row.1)
        .uid("sums")
        .write_text(text(output), |(key, sum), line| {
            line.push_str(&format!("{key} {sum}"));
        })
        .uid("files");
}

fn expected() -> Vec<String> {
    let mut sums = std::collections::BTreeMap::<(u64, u64), u64>::new();
    for n in 0..RECORDS {
        *sums.entry((n / 100, n % 11)).or_default() += n;
    }
    let mut lines: Vec<String> = sums
        .into_iter()
        .map(|((_, key), sum)| format!("{key} {sum}"))
        .collect();
    lines.sort();
    lines
}

/// Waits until something is so.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time");
        std::thread::yield_now();
    }
}

/// Runs the job until some of it is visible, then stops it with a savepoint.
fn stopped(parallelism: u32, directory: &Path, drain: bool) -> String {
    stopped_with(Backend::HashMap, parallelism, directory, drain)
}

fn stopped_with(backend: Backend, parallelism: u32, directory: &Path, drain: bool) -> String {
    let env = environment(parallelism);
    backend.choose(&env, directory);
    env.configure("execution.checkpointing.interval", "50 ms")
        .unwrap();
    env.configure("execution.checkpointing.dir", text(&directory.join("chk")))
        .unwrap();
    let output = directory.join("out");
    build(&env, &output, SLOW);
    let job = env.execute_async("first").unwrap();
    until(|| (output.exists() && !lines(&output).is_empty()).then_some(()));
    let savepoints = directory.join("savepoints");
    let path = job
        .stop_with_savepoint(drain, Some(text(&savepoints)))
        .unwrap();
    let result = job.result();
    assert_eq!(job.status().unwrap(), JobStatus::Finished, "{result:?}");
    path
}

fn goes_on(from: u32, to: u32) {
    goes_on_with((Backend::HashMap, from), (Backend::HashMap, to));
}

fn goes_on_with((old, from): (Backend, u32), (new, to): (Backend, u32)) {
    let directory = tempfile::tempdir().unwrap();
    let path = stopped_with(old, from, directory.path(), false);
    let output = directory.path().join("out");
    let before = lines(&output).len();
    assert!(
        before < expected().len(),
        "it ran to its end before it was stopped"
    );
    let env = environment(to);
    new.choose(&env, directory.path());
    env.configure("execution.state-recovery.path", &path)
        .unwrap();
    build(&env, &output, FAST);
    env.execute("second").unwrap();
    assert_eq!(lines(&output), expected());
}

#[test]
fn a_stopped_job_goes_on_with_as_many_subtasks() {
    goes_on(2, 2);
}

#[test]
fn a_stopped_job_goes_on_with_more_subtasks() {
    goes_on(2, 4);
}

#[test]
fn a_stopped_job_goes_on_with_fewer_subtasks() {
    goes_on(4, 1);
}

#[test]
fn a_job_goes_on_with_another_state_backend() {
    goes_on_with((Backend::HashMap, 2), (Backend::RocksDb, 3));
    goes_on_with((Backend::RocksDb, 2), (Backend::HashMap, 1));
    goes_on_with((Backend::RocksDb, 2), (Backend::RocksDb, 2));
}

#[test]
fn a_drained_job_has_fired_all_its_windows() {
    let directory = tempfile::tempdir().unwrap();
    let path = stopped(2, directory.path(), true);
    let shown = lines(&directory.path().join("out"));
    // Every number that was read is in a window that was shown: sums of a prefix of each source subtask.
    assert!(!shown.is_empty() && shown.len() < expected().len());
    assert!(
        Path::new(path.trim_start_matches("file://"))
            .join("_metadata")
            .exists()
    );
}

#[test]
fn state_that_nobody_wants_is_refused_unless_that_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let path = stopped(2, directory.path(), false);
    let other = |allowed: bool| {
        let env = environment(2);
        env.configure("execution.state-recovery.path", &path)
            .unwrap();
        let allowed = if allowed { "true" } else { "false" };
        env.configure("execution.state-recovery.ignore-unclaimed-state", allowed)
            .unwrap();
        env.from_sequence(1, 10).uid("another source").discard();
        env.execute("other")
    };
    let error = other(false).unwrap_err().to_string();
    assert!(
        error.contains("sums") || error.contains("Window"),
        "{error}"
    );
    other(true).unwrap();
}

#[test]
fn what_is_no_savepoint_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = stopped(1, directory.path(), false);
    let metadata = Path::new(path.trim_start_matches("file://")).join("_metadata");
    let whole = std::fs::read(&metadata).unwrap();
    let damages: [(&str, Box<dyn Fn(&mut Vec<u8>)>); 3] = [
        ("cut off", Box::new(|bytes| bytes.truncate(bytes.len() / 2))),
        ("checksum", Box::new(|bytes| bytes[40] ^= 1)),
        ("FLTM", Box::new(|bytes| bytes[0] = b'J')),
    ];
    for (word, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&metadata, bytes).unwrap();
        let env = environment(1);
        env.configure("execution.state-recovery.path", &path)
            .unwrap();
        build(&env, &directory.path().join("out"), FAST);
        let error = env.execute("damaged").unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(word) && error.contains("_metadata"),
            "{error}"
        );
    }
}
