//! Jobs over sources of all kinds: formats, files that come later, generators, sources of the user
//! that fail, sources that wait for each other.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flott::TaskError;
use flott::prelude::*;
use flott::source::{
    Assignment, Batch, Boundedness, DataGeneratorSource, EnumeratorContext, FileSource,
    NO_TIMESTAMP, ReaderContext, ReaderProgress, SequenceSource, SocketTextSource, Source,
    SourceReader, SourceSplit, SplitEnumerator,
};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::support::{Collected, environment, failure, run, text};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    article: String,
    cents: u64,
}

fn no_watermarks<T: 'static>() -> WatermarkStrategy<T> {
    WatermarkStrategy::no_watermarks()
}

#[test]
fn csv_and_json_lines_are_read_by_many_subtasks() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut expected = Vec::new();
    for file in 0..5 {
        let (mut csv, mut json) = ("cents,article\n".to_owned(), String::new());
        for n in 0..200 {
            let sale = Sale {
                article: format!("{file}, \"{n}\""),
                cents: n,
            };
            csv.push_str(&format!("{n},\"{file}, \"\"{n}\"\"\"\n"));
            json.push_str(&serde_json::to_string(&sale).unwrap());
            json.push('\n');
            expected.push(sale);
        }
        std::fs::write(root.join(format!("{file}.csv")), csv).unwrap();
        std::fs::write(root.join(format!("{file}.json")), json).unwrap();
    }
    expected.sort();
    let env = environment(3);
    let csv = FileSource::csv::<Sale>(&format!("{}/*.csv", text(root)));
    let csv = Collected::from(env.from_source(csv, no_watermarks(), "csv"));
    let json = FileSource::json_lines::<Sale>(&format!("{}/*.json", text(root)));
    let json = Collected::from(env.from_source(json, no_watermarks(), "json"));
    env.execute("formats").unwrap();
    assert_eq!(csv.sorted(), expected);
    assert_eq!(json.sorted(), expected);
}

#[test]
fn a_bad_record_fails_the_job_by_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sales.csv");
    std::fs::write(&path, "article,cents\na,1\nb,?\n").unwrap();
    let env = environment(1);
    let sales = FileSource::csv::<Sale>(text(&path));
    env.from_source(sales, no_watermarks(), "sales").discard();
    let failure = failure(env.execute("bad record"));
    let expected = format!("input 'file://{}', line 3: field 2 ('cents')", text(&path));
    assert!(failure.message.contains(&expected), "{failure:?}");
}

#[test]
fn a_monitored_directory_is_read_as_it_grows() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    std::fs::write(root.join("0"), "0\n").unwrap();
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let (writer_seen, writer_root) = (Arc::clone(&seen), root.clone());
    let writer = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        for file in 1..=5 {
            // Only when what was there before has been read.
            while writer_seen.lock().unwrap().len() < file {
                assert!(Instant::now() < deadline, "file {file} is not read");
                std::thread::yield_now();
            }
            let hidden = writer_root.join(format!(".{file}"));
            std::fs::write(&hidden, format!("{file}\n")).unwrap();
            std::fs::rename(&hidden, writer_root.join(file.to_string())).unwrap();
        }
    });
    let env = environment(2);
    let source = FileSource::text(text(&root)).monitor_continuously(Duration::from_millis(2));
    let kept = Arc::clone(&seen);
    env.from_source(source, no_watermarks(), "growing")
        .map(move |line| {
            kept.lock().unwrap().push(line.clone());
            // A job without end is ended by a failure.
            assert!(line != "5", "the last file was read");
            line
        })
        .discard();
    let failure = failure(env.execute("growing"));
    writer.join().unwrap();
    assert!(
        failure.message.contains("the last file was read"),
        "{failure:?}"
    );
    assert_eq!(*seen.lock().unwrap(), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn generated_records_come_once_each() {
    let env = environment(4);
    let source = DataGeneratorSource::new(|index| index * 2, 30_001);
    let numbers = Collected::from(env.from_source(source, no_watermarks(), "generator"));
    let expected: Vec<u64> = (0..30_001).map(|index| index * 2).collect();
    assert_eq!(run(&env, &numbers), expected);
}

#[test]
fn a_rate_holds_for_the_whole_job() {
    let env = environment(3);
    let source = DataGeneratorSource::new(|index| index, 200).rate_per_second(1_000.0);
    let numbers = Collected::from(env.from_source(source, no_watermarks(), "generator"));
    let begin = Instant::now();
    assert_eq!(run(&env, &numbers).len(), 200);
    assert!(
        begin.elapsed() >= Duration::from_millis(190),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn lines_come_from_a_socket() {
    use std::io::Write;
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        for n in 0..1_000 {
            writeln!(client, "line {n}").unwrap();
        }
    });
    let env = environment(2);
    let lines = Collected::from(env.socket_text_stream("127.0.0.1", port));
    env.execute("socket").unwrap();
    served.join().unwrap();
    let expected: Vec<String> = (0..1_000).map(|n| format!("line {n}")).collect();
    assert_eq!(lines.take(), expected);
    let gone = SocketTextSource::new("127.0.0.1", port).max_retries(1);
    env.from_source(gone, no_watermarks(), "gone")
        .set_parallelism(1)
        .discard();
    let failure = failure(env.execute("gone"));
    assert!(
        failure.message.contains("cannot read from the socket"),
        "{failure:?}"
    );
}

/// Numbers by tens, whose enumerator behaves as it is told.
struct Tens {
    tens: u64,
    before: fn(u64) -> Result<(), TaskError>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ten(u64);

impl SourceSplit for Ten {
    fn split_id(&self) -> String {
        self.0.to_string()
    }
}

struct TensEnumerator {
    left: Vec<Ten>,
    before: fn(u64) -> Result<(), TaskError>,
}

struct TenReader(Option<Ten>);

impl Source for Tens {
    type Out = u64;
    type Split = Ten;
    type Enumerator = TensEnumerator;
    type Reader = TenReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }
    fn create_enumerator(&self, _: &EnumeratorContext) -> Result<TensEnumerator, TaskError> {
        Ok(TensEnumerator {
            left: (0..self.tens).rev().map(Ten).collect(),
            before: self.before,
        })
    }
    fn restore_enumerator(
        &self,
        _: &EnumeratorContext,
        left: Vec<Ten>,
    ) -> Result<TensEnumerator, TaskError> {
        let before = self.before;
        Ok(TensEnumerator { left, before })
    }
    fn create_reader(&self, _: &ReaderContext) -> Result<TenReader, TaskError> {
        Ok(TenReader(None))
    }
}

impl SplitEnumerator for TensEnumerator {
    type Split = Ten;
    type Checkpoint = Vec<Ten>;

    fn next_split(&mut self, _: u32, _: &str) -> Result<Assignment<Ten>, TaskError> {
        let Some(ten) = self.left.pop() else {
            return Ok(Assignment::End);
        };
        (self.before)(ten.0)?;
        Ok(Assignment::Split(ten))
    }
    fn add_splits_back(&mut self, splits: Vec<Ten>, _: u32) {
        self.left.extend(splits);
    }
    fn snapshot(&mut self) -> Result<Vec<Ten>, TaskError> {
        Ok(self.left.clone())
    }
}

impl SourceReader for TenReader {
    type Out = u64;
    type Split = Ten;

    fn add_split(&mut self, split: Ten) -> Result<(), TaskError> {
        self.0 = Some(split);
        Ok(())
    }
    fn fill(&mut self, batch: &mut Batch<u64>) -> Result<ReaderProgress, TaskError> {
        let Some(Ten(ten)) = self.0.take() else {
            return Ok(ReaderProgress::Pending);
        };
        (ten * 10..ten * 10 + 10).for_each(|n| batch.push(n, NO_TIMESTAMP));
        Ok(ReaderProgress::SplitFinished)
    }
    fn snapshot(&self) -> Vec<Ten> {
        self.0.clone().into_iter().collect()
    }
}

fn tens(env: &StreamExecutionEnvironment, source: Tens) -> DataStream<u64> {
    env.from_source(source, no_watermarks(), "tens")
}

#[test]
fn an_enumerator_that_fails_or_panics_fails_the_job_with_its_words() {
    let returns = |ten| match ten {
        7 => Err(TaskError::user("the catalog is gone")),
        _ => Ok(()),
    };
    let panics = |ten| {
        assert!(ten != 7, "ten seven");
        Ok(())
    };
    let cases: [(fn(u64) -> Result<(), TaskError>, &str); 2] = [
        (returns, "the catalog is gone"),
        (
            panics,
            "the source's enumerator: user code panicked: ten seven",
        ),
    ];
    for (before, expected) in cases {
        let env = environment(3);
        tens(&env, Tens { tens: 20, before }).discard();
        let failure = failure(env.execute("tens"));
        assert!(failure.message.contains(expected), "{failure:?}");
        assert!(failure.task.starts_with("Source: tens"), "{failure:?}");
    }
}

/// In a child with several workers and restarts: task and enumerator fail in turn.
pub(crate) fn sources_survive() {
    static LISTED: AtomicU32 = AtomicU32::new(0);
    static MAPPED: AtomicU32 = AtomicU32::new(0);
    let before = |ten| match ten {
        500 if LISTED.fetch_add(1, Ordering::SeqCst) < 2 => {
            Err(TaskError::transient("the catalog is busy"))
        }
        _ => Ok(()),
    };
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let env = environment(4);
    tens(
        &env,
        Tens {
            tens: 1_000,
            before,
        },
    )
    .map(|n| {
        let fails = n == 7_777 && MAPPED.fetch_add(1, Ordering::SeqCst) < 2;
        assert!(!fails, "not yet");
        n
    })
    .write_text(text(&out), |n, line| line.push_str(&n.to_string()));
    env.execute("survives").unwrap();
    let lines = crate::support::lines(&out);
    let mut numbers: Vec<u64> = lines.iter().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10_000).collect::<Vec<_>>(), "every row once");
    assert_eq!(MAPPED.load(Ordering::SeqCst), 3);
}

#[test]
fn every_row_counts_once_whatever_is_restarted() {
    for slots in ["1", "2", "4"] {
        child::run(
            "sources-survive",
            &[
                ("restart-strategy.type", "fixed-delay"),
                ("restart-strategy.fixed-delay.attempts", "10"),
                ("restart-strategy.fixed-delay.delay", "1 ms"),
                ("taskmanager.numberOfTaskSlots", slots),
            ],
        );
    }
}

/// In a child with a slot in each worker: a fast source waits for a slow one.
pub(crate) fn sources_keep_together() {
    const DRIFT_MS: i64 = 100;
    static SLOW: AtomicI64 = AtomicI64::new(0);
    static AHEAD: AtomicI64 = AtomicI64::new(0);
    let aligned = || {
        WatermarkStrategy::for_monotonous_timestamps().with_watermark_alignment(
            "together",
            Duration::from_millis(DRIFT_MS as u64),
            Duration::from_millis(20),
        )
    };
    let env = environment(1);
    // An event time of 500 ms in half a second.
    let slow = DataGeneratorSource::new(|index| index as i64, 500).rate_per_second(1_000.0);
    let slow = env.from_source(
        slow,
        aligned().with_timestamp_assigner(|row: &i64, _| *row),
        "slow",
    );
    slow.map(|at| SLOW.fetch_max(at, Ordering::SeqCst))
        .discard();
    let fast = env.from_source(
        SequenceSource::new(0, 499_000),
        aligned().with_timestamp_assigner(|row: &i64, _| row / 1_000),
        "fast",
    );
    fast.map(|row| {
        let ahead = row / 1_000 - SLOW.load(Ordering::SeqCst);
        AHEAD.fetch_max(ahead, Ordering::SeqCst)
    })
    .discard();
    env.execute("aligned").unwrap();
    let ahead = AHEAD.load(Ordering::SeqCst);
    // A batch is two milliseconds of event time.
    assert!((1..=DRIFT_MS + 5).contains(&ahead), "{ahead} ms ahead");
}

#[test]
fn a_fast_source_waits_for_a_slow_one() {
    child::run(
        "sources-keep-together",
        &[("taskmanager.numberOfTaskSlots", "1")],
    );
}
