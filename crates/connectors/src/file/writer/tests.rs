//! A writer as its task drives it, on a clock that the test sets; the whole sink under the suite.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_network::{Batch, Control, NO_TIMESTAMP};
use flott_operators::sink::api::Sink;
use flott_operators::sink::{CommitterContext, Driven, SinkOperator, conformance};
use flott_operators::{BatchSink, SubtaskContext};
use proptest::prelude::*;

use super::*;
use crate::file::{DateTimeBucketAssigner, DefaultRollingPolicy, FileSink};

struct Test<S: Sink<u64, Writer = W>, W: SinkWriter<u64>> {
    sink: S,
    writer: SinkOperator<u64, Driven<W>>,
    context: SubtaskContext,
    root: tempfile::TempDir,
}

fn uri(root: &Path) -> String {
    format!("file://{}", root.display())
}

fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer in time");
        std::thread::yield_now();
    }
}

impl<S: Sink<u64, Writer = W>, W: SinkWriter<u64, Committable = PartFile>> Test<S, W> {
    fn new(make: impl FnOnce(&str) -> S) -> Self {
        Self::at(tempfile::tempdir().unwrap(), make)
    }

    fn at(root: tempfile::TempDir, make: impl FnOnce(&str) -> S) -> Self {
        let sink = make(&uri(root.path()));
        let context = SubtaskContext::for_tests("Sink: files");
        let directory = uri(root.path()).into_bytes();
        let writer = sink
            .create_writer(&SinkContext::new(&context, directory))
            .unwrap();
        Self {
            writer: SinkOperator::new(Driven(writer), &context),
            sink,
            context,
            root,
        }
    }

    fn write_one(&mut self, row: u64, timestamp: i64) -> Result<(), TaskError> {
        let mut batch = Batch::default();
        batch.push(row, timestamp);
        self.writer.batch(&mut batch)
    }

    fn settle(&mut self) {
        until(|| self.writer.settle().unwrap().then_some(()));
    }

    /// Each has its number as its hour.
    fn write(&mut self, rows: impl IntoIterator<Item = u64>) {
        for row in rows {
            self.write_one(row, row as i64 * 3_600_000).unwrap();
            self.settle();
        }
    }

    /// Time passes; whether the writer asked to be told.
    fn pass(&mut self, now: i64) -> bool {
        self.context.clock.set(now);
        let asked = self.context.clock.take_due(now);
        if asked {
            self.writer.time(now).unwrap();
        }
        asked
    }

    fn finish(&mut self) -> Vec<PartFile> {
        self.writer.control(Control::End).unwrap();
        self.settle();
        let committables = self.context.checkpoint.take_committables().into_iter();
        committables
            .map(|(_, bytes)| flott_record::codec::decode(&mut bytes.as_slice()).unwrap())
            .collect()
    }

    fn commit_context(&self) -> CommitterContext {
        let files = Arc::clone(&self.context.files);
        let prepared = uri(self.root.path()).into_bytes();
        CommitterContext::new(files, self.context.io.clone(), 0, prepared)
    }

    fn commit(&self, files: Vec<PartFile>) {
        let committer = self.sink.create_committer(&self.commit_context()).unwrap();
        committer.unwrap().commit(files).unwrap();
    }

    fn files(&self) -> Vec<(String, String)> {
        files(self.root.path())
    }
}

/// Directory and content of visible files, sorted.
fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.starts_with('.') {
                let below = directory.strip_prefix(root).unwrap();
                let below = below.to_str().unwrap().to_owned();
                found.push((below, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn lines(n: &u64, line: &mut String) {
    line.push_str(&format!("{n:>9}"));
}

fn text(rows: impl IntoIterator<Item = u64>) -> String {
    rows.into_iter().map(|n| format!("{n:>9}\n")).collect()
}

#[test]
fn a_file_rolls_when_it_is_large() {
    let policy = DefaultRollingPolicy::by_size(100);
    let mut test = Test::new(|directory| {
        FileSink::text(directory, lines)
            .with_rolling_policy(policy)
            .with_part_prefix("numbers")
            .with_part_suffix(".txt")
    });
    test.write(0..25);
    let files = test.finish();
    assert_eq!(files.len(), 3);
    for file in &files {
        assert!(file.name.starts_with("numbers-0-0-"), "{file:?}");
        assert!(file.name.ends_with(".txt"), "{file:?}");
    }
    test.commit(files);
    let expected: Vec<_> = [text(0..10), text(10..20), text(20..25)]
        .map(|text| (String::new(), text))
        .into();
    assert_eq!(test.files(), expected);
}

#[test]
fn a_file_rolls_when_it_is_old_and_when_nothing_comes() {
    let policy = DefaultRollingPolicy {
        rollover_interval: Some(Duration::from_secs(10)),
        inactivity_interval: Some(Duration::from_secs(3)),
        max_part_size: None,
    };
    let mut test =
        Test::new(|directory| FileSink::text(directory, lines).with_rolling_policy(policy));
    for second in 0..10 {
        test.write([second]);
        test.pass(second as i64 * 1_000 + 999);
    }
    assert!(test.pass(10_000), "it is ten seconds old");
    test.write([10]);
    test.pass(12_999);
    test.write([11]);
    test.pass(15_998);
    assert!(test.pass(15_999), "nothing came for three seconds");
    assert_eq!(test.context.clock.next_wake(), None);
    let files = test.finish();
    assert_eq!(files.len(), 2);
}

/// A new file at each multiple of a hundred.
#[derive(Clone)]
struct Hundreds;

impl RollingPolicy<u64> for Hundreds {
    fn should_roll_on_event(&self, part: &PartInfo, record: &u64) -> bool {
        assert!(part.records > 0 && part.size == part.records * 10);
        record.is_multiple_of(100)
    }
}

#[test]
fn a_policy_of_ones_own_sees_records() {
    let mut test =
        Test::new(|directory| FileSink::text(directory, lines).with_rolling_policy(Hundreds));
    test.write(90..310);
    let files = test.finish();
    test.commit(files);
    let expected: Vec<_> = [
        text(90..100),
        text(100..200),
        text(200..300),
        text(300..310),
    ]
    .map(|text| (String::new(), text))
    .into();
    let mut found = test.files();
    found.sort_by(|a, b| {
        a.1.trim_start()
            .len()
            .cmp(&b.1.trim_start().len())
            .then(a.cmp(b))
    });
    assert_eq!(found.len(), expected.len());
    assert!(expected.iter().all(|file| found.contains(file)));
}

#[test]
fn buckets_are_directories() {
    let mut test = Test::new(|directory| {
        FileSink::text(directory, lines)
            .with_bucket_assigner(DateTimeBucketAssigner::by_event_time("yyyy/MM-dd"))
    });
    // A record for each hour of two days.
    test.write(0..48);
    let files = test.finish();
    test.commit(files.clone());
    // Again, as after an answer that was lost.
    test.commit(files);
    let expected = [
        ("1970/01-01".to_owned(), text(0..24)),
        ("1970/01-02".to_owned(), text(24..48)),
    ];
    assert_eq!(test.files(), expected);
}

#[test]
fn many_buckets_do_not_hold_a_block_each() {
    let mut test = Test::new(|directory| {
        FileSink::text(directory, |n: &u64, line: &mut String| {
            line.push_str(&format!("{n:>65535}"));
        })
        .with_buckets(|n, _| format!("{}", n % 100))
    });
    let row = |n: u64| format!("{n:>65535}\n");
    // 33 MB; a hundred buckets with a block each could hold most of it.
    test.write(0..500);
    let written = |path: &Path| {
        let mut bytes = 0;
        for bucket in std::fs::read_dir(path).unwrap() {
            for file in std::fs::read_dir(bucket.unwrap().path()).unwrap() {
                bytes += file.unwrap().metadata().unwrap().len();
            }
        }
        bytes
    };
    until(|| (written(test.root.path()) >= 20_000_000).then_some(()));
    let files = test.finish();
    test.commit(files);
    let found = test.files();
    assert_eq!(found.len(), 100);
    for (bucket, content) in found {
        let bucket: u64 = bucket.parse().unwrap();
        let expected = [0, 100, 200, 300, 400]
            .map(|base| row(base + bucket))
            .concat();
        assert!(content == expected, "{bucket}");
    }
}

#[test]
fn what_did_not_finish_leaves_nothing() {
    let mut test = Test::new(|directory| {
        FileSink::text(directory, lines).with_buckets(|n, _| format!("by/{}", n % 3))
    });
    test.write(0..9);
    assert_eq!(test.finish().len(), 3);
    assert!(test.root.path().join("by/2").is_dir());
    for _ in 0..2 {
        test.sink.abandon(&test.commit_context()).unwrap();
        assert!(!test.root.path().exists());
    }
}

#[test]
fn a_writer_that_is_dropped_removes_its_files() {
    let policy = DefaultRollingPolicy::by_size(20);
    let mut test =
        Test::new(|directory| FileSink::text(directory, lines).with_rolling_policy(policy));
    test.write(0..9);
    let (root, _keep) = (test.root.path().to_owned(), test.root);
    let names = || std::fs::read_dir(&root).unwrap().count();
    until(|| (names() > 1).then_some(()));
    drop(test.writer);
    until(|| (names() == 0).then_some(()));
}

#[test]
fn a_writer_without_rows_makes_no_file() {
    let mut test = Test::new(|directory| FileSink::text(directory, lines));
    assert_eq!(test.finish(), []);
    assert_eq!(std::fs::read_dir(test.root.path()).unwrap().count(), 0);
}

#[test]
fn errors_name_path_operator_and_record() {
    let mut test = Test::new(|directory| {
        FileSink::text(directory, lines)
            .with_buckets(|n, _| if *n == 3 { "../x" } else { "a" }.to_owned())
    });
    test.write([1, 2]);
    let error = test.write_one(3, NO_TIMESTAMP).unwrap_err();
    let place = "operator 'Sink: files', record 3: output 'file://";
    assert!(error.message.starts_with(place), "{error}");
    assert!(
        error.message.contains("'../x' cannot be a bucket"),
        "{error}"
    );

    let mut test = Test::new(|directory| {
        FileSink::text(directory, lines)
            .with_bucket_assigner(DateTimeBucketAssigner::by_event_time("HH"))
    });
    let error = test.write_one(1, NO_TIMESTAMP).unwrap_err();
    let place = "operator 'Sink: files', record 1: output 'file://";
    assert!(error.message.starts_with(place), "{error}");
    assert!(error.message.contains("without event time"), "{error}");
}

#[test]
fn a_file_that_cannot_be_created_is_an_error_by_name() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let target = uri(&file);
    let sink = FileSink::text(&target, |n: &u64, line: &mut String| lines(n, line));
    for _ in 0..100 {
        let context = SubtaskContext::for_tests("Sink: files");
        let place = SinkContext::new(&context, target.clone().into_bytes());
        let mut writer = SinkOperator::new(Driven(sink.create_writer(&place).unwrap()), &context);
        let mut batch = Batch::default();
        batch.push(1, NO_TIMESTAMP);
        writer.batch(&mut batch).unwrap();
        writer.control(Control::End).unwrap();
        let error = until(|| writer.settle().err());
        assert!(error.message.contains("cannot be written"), "{error}");
        assert!(error.message.contains(file.to_str().unwrap()), "{error}");
    }
}

#[test]
fn more_than_fits_under_way_is_written_whole() {
    let mut test = Test::new(FileSink::json_lines::<u64>);
    for chunk in 0..200 {
        let mut batch = Batch::default();
        for n in chunk * 2_000..(chunk + 1) * 2_000 {
            batch.push(n, NO_TIMESTAMP);
        }
        test.writer.batch(&mut batch).unwrap();
        test.settle();
    }
    let files = test.finish();
    test.commit(files);
    let expected: String = (0..400_000).map(|n| format!("{n}\n")).collect();
    assert!(test.files() == [(String::new(), expected)]);
}

#[test]
fn settings_that_cannot_work_are_refused_at_submission() {
    let root = tempfile::tempdir().unwrap();
    let files = Arc::new(FileSystems::local());
    let io = SubtaskContext::for_tests("test").io;
    let at = flott_operators::source::SubmissionContext::new(files, io, 1);
    let new = || FileSink::text(root.path().to_str().unwrap(), lines);
    new().prepare(&at).unwrap();
    let error = new().with_part_prefix("part-7").prepare(&at).unwrap_err();
    assert!(
        error.message.contains("must not end with a number"),
        "{error}"
    );
    let weeks = DateTimeBucketAssigner::by_processing_time("YYYY-ww");
    let error = new().with_bucket_assigner(weeks).prepare(&at).unwrap_err();
    assert!(error.message.contains("'YYYY' is unknown"), "{error}");
}

/// All lines of visible files, as numbers.
fn numbers(root: &Path) -> Vec<u64> {
    let lines = |(_, text): (String, String)| {
        let numbers = text.lines().map(|line| line.trim().parse().unwrap());
        numbers.collect::<Vec<u64>>()
    };
    files(root).into_iter().flat_map(lines).collect()
}

/// Keeps the directories of a suite's sinks.
#[derive(Default)]
struct Directories(Mutex<Vec<tempfile::TempDir>>);

impl Directories {
    fn next(&self) -> std::path::PathBuf {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        self.0.lock().unwrap().push(directory);
        path
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes of files and the number of buckets: the files hold the input, once.
    #[test]
    fn the_union_of_the_files_is_the_input(
        records in prop::collection::vec(0_u64..100_000, 0..400),
        size in prop_oneof![Just(None), (1_u64..3_000).prop_map(Some)],
        buckets in 1_u64..60,
        by_time in any::<bool>(),
    ) {
        let directories = Directories::default();
        let policy = DefaultRollingPolicy { max_part_size: size, ..DefaultRollingPolicy::never() };
        let local = Arc::new(FileSystems::local());
        if by_time {
            conformance::check(&local, &records, || {
                let out = directories.next();
                let sink = FileSink::json_lines::<u64>(out.to_str().unwrap())
                    .with_rolling_policy(policy)
                    .with_bucket_assigner(DateTimeBucketAssigner::by_event_time("HH-mm-ss"));
                (sink, move || numbers(&out))
            });
        } else {
            conformance::check(&local, &records, || {
                let out = directories.next();
                let sink = FileSink::text(out.to_str().unwrap(), lines)
                    .with_rolling_policy(policy)
                    .with_buckets(move |n, _| format!("{}/{}", n % 2, n % buckets));
                (sink, move || numbers(&out))
            });
        }
    }
}
