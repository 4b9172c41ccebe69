//! Jobs that end in sinks in two phases.

use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use flott::TaskError;
use flott::prelude::*;
use flott::sink::{
    Batch, CommitContext, DateTimeBuckets, FileSink, RollingPolicy, Sink, SocketSink, Writer,
    WriterContext,
};
use flott::source::FileSource;
use serde::{Deserialize, Serialize};

use crate::child;
use crate::support::{Collected, environment, failure, lines, names, text};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    article: String,
    cents: i64,
}

fn sale(n: i64) -> Sale {
    Sale { article: format!("{}, \"{n}\"\n", n % 7), cents: n }
}

#[test]
fn what_a_sink_writes_a_source_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (csv, json) = (directory.path().join("csv"), directory.path().join("json"));
    let small = RollingPolicy::default().max_part_size(4_000);
    let env = environment(3);
    let sales = env.from_sequence(1, 2_000).map(sale).seal();
    sales.clone().sink_to(FileSink::csv(text(&csv)).rolling(small), "csv");
    sales.sink_to(FileSink::json_lines(text(&json)).rolling(small), "json");
    env.execute("write").unwrap();
    assert!(names(&csv).len() > 9, "files roll: {:?}", names(&csv));
    let no_watermarks = WatermarkStrategy::no_watermarks();
    let read = FileSource::csv::<Sale>(text(&csv));
    let csv = Collected::from(env.from_source(read, no_watermarks, "csv"));
    let no_watermarks = WatermarkStrategy::no_watermarks();
    let read = FileSource::json_lines::<Sale>(text(&json));
    let json = Collected::from(env.from_source(read, no_watermarks, "json"));
    env.execute("read").unwrap();
    let mut expected: Vec<Sale> = (1..=2_000).map(sale).collect();
    expected.sort();
    assert_eq!(csv.sorted(), expected);
    assert_eq!(json.sorted(), expected);
}

#[test]
fn event_time_decides_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let env = environment(2);
    let hours = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|hour: &i64, _| hour * 3_600_000);
    let sink = FileSink::text(text(&out), |n: &i64, line: &mut String| {
        line.push_str(&n.to_string());
    });
    env.from_sequence(0, 71)
        .assign_timestamps_and_watermarks(hours)
        .sink_to(sink.bucket_by_event_time(DateTimeBuckets::Daily), "days");
    env.execute("days").unwrap();
    let days = ["1970-01-01", "1970-01-02", "1970-01-03"];
    assert_eq!(names(&out), days);
    for (day, name) in days.iter().enumerate() {
        let mut hours: Vec<usize> =
            lines(&out.join(name)).iter().map(|line| line.parse().unwrap()).collect();
        hours.sort_unstable();
        assert_eq!(hours, (day * 24..day * 24 + 24).collect::<Vec<_>>());
    }
}

fn numbers(env: &StreamExecutionEnvironment, out: &Path, fails: fn(i64)) {
    let sink = FileSink::text(text(out), |n: &i64, line: &mut String| {
        line.push_str(&n.to_string());
    });
    env.from_sequence(1, 30_000)
        .map(move |n| {
            fails(n);
            n
        })
        .sink_to(
            sink.bucket_by(|n, _| format!("b{}", n % 3))
                .rolling(RollingPolicy::default().max_part_size(5_000)),
            "numbers",
        );
}

#[test]
fn a_job_that_fails_leaves_nothing_and_an_occupied_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let env = environment(2);
    numbers(&env, &out, |n| assert!(n != 29_000, "no"));
    failure(env.execute("fails"));
    assert!(!out.exists());
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("theirs"), "").unwrap();
    numbers(&env, &out, |_| ());
    let message = env.execute("occupied").unwrap_err().to_string();
    assert!(message.contains("exists and is not empty"), "{message}");
}

/// In a child with restarts: the sink's subtasks fail in the middle.
pub(crate) fn sinks_survive() {
    static FAILED: AtomicU32 = AtomicU32::new(0);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let env = environment(3);
    numbers(&env, &out, |n| {
        let fails = n % 14_000 == 0 && FAILED.fetch_add(1, Ordering::SeqCst) < 2;
        assert!(!fails, "not yet");
    });
    env.execute("survives").unwrap();
    assert_eq!(names(&out), ["b0", "b1", "b2"]);
    let mut all: Vec<i64> = Vec::new();
    for bucket in ["b0", "b1", "b2"] {
        let bucket = out.join(bucket);
        assert!(names(&bucket).iter().all(|name| name.starts_with("part-")));
        all.extend(lines(&bucket).iter().map(|line| line.parse::<i64>().unwrap()));
    }
    all.sort_unstable();
    assert_eq!(all, (1..=30_000).collect::<Vec<_>>());
}

#[test]
fn only_what_the_last_attempt_wrote_is_committed() {
    for slots in ["1", "3"] {
        child::run(
            "sinks-survive",
            &[
                ("restart-strategy.type", "fixed-delay"),
                ("restart-strategy.fixed-delay.attempts", "5"),
                ("restart-strategy.fixed-delay.delay", "1 ms"),
                ("taskmanager.numberOfTaskSlots", slots),
            ],
        );
    }
}

#[test]
fn a_socket_gets_every_record() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let mut all = String::new();
        let (mut client, _) = server.accept().unwrap();
        client.read_to_string(&mut all).unwrap();
        all
    });
    let line = |n: &i64, text: &mut String| text.push_str(&format!("{n}\n"));
    let env = environment(1);
    env.from_sequence(1, 20_000).sink_to(SocketSink::new("127.0.0.1", port, line), "socket");
    env.execute("socket").unwrap();
    let expected: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert!(served.join().unwrap() == expected);
    env.from_sequence(1, 20_000).sink_to(SocketSink::new("127.0.0.1", port, line), "socket");
    let failure = failure(env.execute("nobody listens"));
    assert!(failure.message.contains("cannot write to the socket"), "{failure:?}");
}

static COMMITTED: Mutex<Vec<i64>> = Mutex::new(Vec::new());

/// Commits one sum for each subtask; the first try fails.
struct Sums(AtomicU32);

struct SumWriter(i64);

impl Sink<i64> for Sums {
    type Writer = SumWriter;

    fn create_writer(&self, _: &WriterContext) -> Result<SumWriter, TaskError> {
        Ok(SumWriter(0))
    }
    fn commit(&self, _: &CommitContext, sums: Vec<i64>) -> Result<(), TaskError> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(TaskError::transient("the catalog is busy"));
        }
        COMMITTED.lock().unwrap().extend(sums);
        Ok(())
    }
}

impl Writer<i64> for SumWriter {
    type Committable = i64;

    fn write(&mut self, batch: &mut Batch<i64>) -> Result<(), TaskError> {
        self.0 += batch.rows.drain(..).sum::<i64>();
        Ok(())
    }
    fn prepare_commit(&mut self) -> Result<Poll<Vec<i64>>, TaskError> {
        Ok(Poll::Ready(vec![self.0]))
    }
}

#[test]
fn a_commit_that_fails_for_the_moment_is_tried_again() {
    let env = environment(4);
    env.from_sequence(1, 1_000).sink_to(Sums(AtomicU32::new(0)), "sums");
    env.execute("sums").unwrap();
    let committed = COMMITTED.lock().unwrap();
    assert_eq!(committed.len(), 4);
    assert_eq!(committed.iter().sum::<i64>(), 500_500);
}
