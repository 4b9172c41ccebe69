//! Jobs that end in sinks in two phases.

use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use flott::TaskError;
use flott::prelude::*;
use flott::sink::{
    Committer, CommitterContext, DateTimeBucketAssigner, DefaultRollingPolicy, FileSink, PrintSink,
    Sink, SinkContext, SinkRecordContext, SinkWriter, SocketSink,
};
use flott::source::FileSource;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::support::{Collected, environment, failure, lines, names, text};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    article: String,
    cents: i64,
}

fn sale(n: i64) -> Sale {
    Sale {
        article: format!("{}, \"{n}\"\n", n % 7),
        cents: n,
    }
}

#[test]
fn what_a_sink_writes_a_source_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (csv, json) = (directory.path().join("csv"), directory.path().join("json"));
    let small = DefaultRollingPolicy::by_size(4_000);
    let env = environment(3);
    let sales = env.from_sequence(1, 2_000).map(sale).seal();
    sales
        .clone()
        .sink_to(FileSink::csv(text(&csv)).with_rolling_policy(small))
        .name("csv");
    sales.sink_to(FileSink::json_lines(text(&json)).with_rolling_policy(small));
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
        .sink_to(sink.with_bucket_assigner(DateTimeBucketAssigner::by_event_time("yyyy-MM-dd")));
    env.execute("days").unwrap();
    let days = ["1970-01-01", "1970-01-02", "1970-01-03"];
    assert_eq!(names(&out), days);
    for (day, name) in days.iter().enumerate() {
        let mut hours: Vec<usize> = lines(&out.join(name))
            .iter()
            .map(|line| line.parse().unwrap())
            .collect();
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
            sink.with_buckets(|n, _| format!("b{}", n % 3))
                .with_rolling_policy(DefaultRollingPolicy::by_size(5_000)),
        )
        .name("numbers");
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
        all.extend(
            lines(&bucket)
                .iter()
                .map(|line| line.parse::<i64>().unwrap()),
        );
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

/// Takes so many connections, and reads each to its end.
fn serve(connections: usize) -> (u16, std::thread::JoinHandle<String>) {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let mut all = String::new();
        for _ in 0..connections {
            let (mut client, _) = server.accept().unwrap();
            client.read_to_string(&mut all).unwrap();
        }
        all
    });
    (port, served)
}

#[test]
fn a_socket_gets_every_record() {
    let (port, served) = serve(1);
    let line = |n: &i64, bytes: &mut Vec<u8>| bytes.extend(format!("{n}\n").bytes());
    let env = environment(1);
    env.from_sequence(1, 20_000)
        .write_to_socket("127.0.0.1", port, line);
    env.execute("socket").unwrap();
    let expected: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert!(served.join().unwrap() == expected);
    env.from_sequence(1, 20_000)
        .sink_to(SocketSink::new("127.0.0.1", port, line).max_retries(1));
    let failure = failure(env.execute("nobody listens"));
    let message = failure.to_string();
    let expected = format!("cannot write to the socket at 127.0.0.1:{port}");
    assert!(message.contains(&expected), "{failure:?}");
}

#[test]
fn each_subtask_has_a_socket_of_its_own() {
    let (port, served) = serve(3);
    let env = environment(3);
    env.from_sequence(1, 300)
        .write_to_socket("127.0.0.1", port, |n, bytes| {
            bytes.extend(format!("{n}\n").bytes());
        });
    env.execute("sockets").unwrap();
    let served = served.join().unwrap();
    let mut numbers: Vec<i64> = served.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
}

#[test]
fn records_are_written_as_csv_and_json() {
    let directory = tempfile::tempdir().unwrap();
    let (csv, json) = (directory.path().join("csv"), directory.path().join("json"));
    let env = environment(1);
    let sales = env.from_sequence(1, 3).map(|cents| Sale {
        article: format!("a{cents}"),
        cents,
    });
    let sales = sales.seal();
    sales.clone().write_csv(text(&csv));
    sales.write_json(text(&json));
    env.execute("write").unwrap();
    assert_eq!(lines(&csv), ["a1,1", "a2,2", "a3,3", "article,cents"]);
    assert_eq!(lines(&json)[0], r#"{"article":"a1","cents":1}"#);
    assert_eq!((lines(&json).len(), names(&json).len()), (3, 1));
}

#[test]
fn a_record_that_cannot_be_encoded_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let env = environment(1);
    env.from_sequence(1, 10)
        .map(|n| (n, vec![(n, n); (n == 7) as usize]))
        .rebalance()
        .map(|(n, pairs)| if n == 7 { (n, Some(pairs)) } else { (n, None) })
        .write_csv(text(&out));
    let failure = failure(env.execute("csv"));
    let message = &failure.message;
    assert!(
        message.starts_with("operator 'Sink: CSV Files', record 7: output '"),
        "{message}"
    );
    assert!(message.contains(text(&out)), "{message}");
}

/// In a child whose output is read: what print writes where.
pub(crate) fn prints() {
    let env = environment(1);
    let one = env.from_sequence(7, 7);
    one.clone().print();
    one.clone().print_with_identifier("some");
    one.clone().print_to_err();
    one.sink_to(PrintSink::to_err().with_identifier("bad"));
    env.set_parallelism(2);
    let two = env.from_sequence(1, 2).map(|n| n * 10).seal();
    two.clone().print();
    two.print_with_identifier("many");
    env.execute("prints").unwrap();
}

#[test]
fn prints_have_their_prefixes() {
    let output = child::command("prints").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let has = |text: &str, line: &str| text.lines().any(|one| one == line);
    for line in ["7", "some> 7", "1> 10", "2> 20", "many:1> 10", "many:2> 20"] {
        assert!(has(&out, line), "{line}: {out}");
        assert!(!has(&err, line) || line == "7", "{line}: {err}");
    }
    for line in ["7", "bad> 7"] {
        assert!(has(&err, line), "{line}: {err}");
    }
}

static COMMITTED: Mutex<Vec<i64>> = Mutex::new(Vec::new());

/// Commits one sum for each subtask; the first try fails.
struct Sums(AtomicU32);

#[derive(Default)]
struct SumWriter {
    sum: i64,
    watermark: i64,
}

impl Sink<i64> for Sums {
    type Writer = SumWriter;

    fn create_writer(&self, _: &SinkContext) -> Result<SumWriter, TaskError> {
        Ok(SumWriter::default())
    }

    fn create_committer(
        &self,
        _: &CommitterContext,
    ) -> Result<Option<Box<dyn Committer<i64>>>, TaskError> {
        let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(Some(Box::new(move |sums: Vec<i64>| {
            if first {
                return Err(TaskError::transient("the catalog is busy"));
            }
            COMMITTED.lock().unwrap().extend(sums);
            Ok(())
        })))
    }
}

impl SinkWriter<i64> for SumWriter {
    type Committable = i64;

    fn write(&mut self, record: i64, context: &SinkRecordContext) -> Result<(), TaskError> {
        assert_eq!(context.timestamp(), Some(record));
        assert!(context.current_watermark() < record, "no record is late");
        self.sum += record;
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) -> Result<(), TaskError> {
        self.watermark = watermark;
        Ok(())
    }

    fn prepare_commit(&mut self, _end_of_input: bool) -> Result<Poll<Vec<i64>>, TaskError> {
        assert_eq!(self.watermark, i64::MAX, "the end of event time was told");
        Ok(Poll::Ready(vec![self.sum]))
    }
}

#[test]
fn a_commit_that_fails_for_the_moment_is_tried_again() {
    let env = environment(4);
    let times =
        WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|n: &i64, _| *n);
    env.from_sequence(1, 1_000)
        .assign_timestamps_and_watermarks(times)
        .sink_to(Sums(AtomicU32::new(0)))
        .name("sums");
    env.execute("sums").unwrap();
    let committed = COMMITTED.lock().unwrap();
    assert_eq!(committed.len(), 4);
    assert_eq!(committed.iter().sum::<i64>(), 500_500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the parallelism, the sizes of files and the number of buckets.
    #[test]
    fn the_union_of_the_files_of_a_job_is_its_input(
        last in 0_i64..3_000,
        parallelism in 1_u32..5,
        writers in 1_u32..5,
        size in prop_oneof![Just(None), (1_u64..3_000).prop_map(Some)],
        buckets in 1_i64..20,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let policy = DefaultRollingPolicy { max_part_size: size, ..DefaultRollingPolicy::never() };
        let env = environment(parallelism);
        let sink = FileSink::json_lines::<i64>(text(&out))
            .with_rolling_policy(policy)
            .with_buckets(move |n, _| format!("{}", n % buckets));
        env.from_sequence(1, last).sink_to(sink).set_parallelism(writers);
        env.execute("union").unwrap();
        let mut found = Vec::new();
        for bucket in names(&out) {
            for line in lines(&out.join(&bucket)) {
                let number: i64 = line.parse().unwrap();
                prop_assert_eq!((number % buckets).to_string(), bucket.clone());
                found.push(number);
            }
        }
        found.sort_unstable();
        prop_assert_eq!(found, (1..=last).collect::<Vec<_>>());
    }
}
