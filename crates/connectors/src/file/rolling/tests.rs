//! A writer as its task drives it, on a clock that the test sets.

use std::path::Path;
use std::time::Instant;

use flott_operators::SubtaskContext;
use flott_operators::sink::api::{CommitContext, Sink};

use super::*;
use crate::file::{DateTimeBuckets, FileSink};

struct Test<W> {
    writer: W,
    context: SubtaskContext,
    root: tempfile::TempDir,
}

fn uri(root: &Path) -> String {
    format!("file://{}", root.display())
}

impl<W: Writer<u64, Committable = FinishedFile>> Test<W> {
    fn new<S: Sink<u64, Writer = W>>(make: impl FnOnce(&str) -> S) -> (Self, S) {
        let root = tempfile::tempdir().unwrap();
        let sink = make(&uri(root.path()));
        let context = SubtaskContext::for_tests("files");
        let directory = uri(root.path()).into_bytes();
        let writer = sink
            .create_writer(&WriterContext::new(&context, directory))
            .unwrap();
        let test = Self {
            writer,
            context,
            root,
        };
        (test, sink)
    }

    fn until<T>(&mut self, mut ask: impl FnMut(&mut W) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(answer) = ask(&mut self.writer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "no answer in time");
            std::thread::yield_now();
        }
    }

    fn write(&mut self, rows: impl IntoIterator<Item = u64>) {
        for row in rows {
            let mut batch = Batch::default();
            batch.push(row, row as i64 * 3_600_000);
            self.writer.write(&mut batch).unwrap();
            self.until(|writer| writer.settle().unwrap().then_some(()));
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

    fn finish(&mut self) -> Vec<FinishedFile> {
        self.until(|writer| match writer.prepare_commit().unwrap() {
            Poll::Ready(files) => Some(files),
            Poll::Pending => None,
        })
    }

    fn commit_context(&self) -> CommitContext {
        let files = Arc::clone(&self.context.files);
        CommitContext::new(
            files,
            self.context.io.clone(),
            0,
            uri(self.root.path()).into_bytes(),
        )
    }

    /// Visible files by directory: their content, sorted.
    fn files(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut open = vec![self.root.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(name.starts_with("part-0-0-"), "{name}");
                let below = directory.strip_prefix(self.root.path()).unwrap();
                let below = below.to_str().unwrap().to_owned();
                found.push((below, std::fs::read_to_string(&path).unwrap()));
            }
        }
        found.sort();
        found
    }
}

fn lines(n: &u64, line: &mut String) {
    line.push_str(&format!("{n:>9}"));
}

fn text(rows: impl IntoIterator<Item = u64>) -> String {
    rows.into_iter().map(|n| format!("{n:>9}\n")).collect()
}

#[test]
fn a_file_rolls_when_it_is_large() {
    let policy = RollingPolicy::never().max_part_size(100);
    let (mut test, sink) = Test::new(|directory| FileSink::text(directory, lines).rolling(policy));
    test.write(0..25);
    let files = test.finish();
    assert_eq!(files.len(), 3);
    sink.commit(&test.commit_context(), files).unwrap();
    let expected: Vec<_> = [text(0..10), text(10..20), text(20..25)]
        .map(|text| (String::new(), text))
        .into();
    assert_eq!(test.files(), expected);
}

#[test]
fn a_file_rolls_when_it_is_old_and_when_nothing_comes() {
    let policy = RollingPolicy::never()
        .rollover_interval(Duration::from_secs(10))
        .inactivity_interval(Duration::from_secs(3));
    let (mut test, _) = Test::new(|directory| FileSink::text(directory, lines).rolling(policy));
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
    let files = test.finish();
    assert_eq!(files.len(), 2);
}

#[test]
fn buckets_are_directories() {
    let (mut test, sink) = Test::new(|directory| {
        FileSink::text(directory, lines)
            .bucket_by_event_time(DateTimeBuckets::Daily)
            .rolling(RollingPolicy::never())
    });
    // A record for each hour of two days.
    test.write(0..48);
    let files = test.finish();
    sink.commit(&test.commit_context(), files.clone()).unwrap();
    // Again, as after an answer that was lost.
    sink.commit(&test.commit_context(), files).unwrap();
    let expected = [
        ("1970-01-01".to_owned(), text(0..24)),
        ("1970-01-02".to_owned(), text(24..48)),
    ];
    assert_eq!(test.files(), expected);
}

#[test]
fn what_did_not_finish_leaves_nothing() {
    let (mut test, sink) = Test::new(|directory| {
        FileSink::text(directory, lines).bucket_by(|n, _| format!("by/{}", n % 3))
    });
    test.write(0..9);
    assert_eq!(test.finish().len(), 3);
    assert!(test.root.path().join("by/2").is_dir());
    sink.abandon(&test.commit_context()).unwrap();
    assert!(!test.root.path().exists());
    sink.abandon(&test.commit_context()).unwrap();
}

#[test]
fn a_commit_removes_what_earlier_attempts_left() {
    let (mut test, sink) =
        Test::new(|directory| FileSink::text(directory, lines).bucket_by(|n, _| format!("b{n}")));
    let stale = test.root.path().join("old");
    std::fs::create_dir(&stale).unwrap();
    std::fs::write(stale.join("part-0-1-of-an-earlier-attempt"), "x").unwrap();
    std::fs::write(stale.join(".part-0-1-x.inprogress"), "x").unwrap();
    test.write([7]);
    let files = test.finish();
    sink.commit(&test.commit_context(), files).unwrap();
    assert_eq!(test.files(), [("b7".to_owned(), text([7]))]);
    assert!(!stale.exists());
}

#[test]
fn a_bucket_outside_is_refused_and_so_is_a_row_without_time() {
    let (mut test, _) =
        Test::new(|directory| FileSink::text(directory, lines).bucket_by(|_, _| "../x".to_owned()));
    let mut batch = Batch::default();
    batch.push(1, NO_TIMESTAMP);
    let error = test.writer.write(&mut batch).unwrap_err();
    assert!(
        error.message.contains("'../x' cannot be a bucket"),
        "{error}"
    );
    let (mut test, _) = Test::new(|directory| {
        FileSink::text(directory, lines).bucket_by_event_time(DateTimeBuckets::Hourly)
    });
    let mut batch = Batch::default();
    batch.push(1, NO_TIMESTAMP);
    let error = test.writer.write(&mut batch).unwrap_err();
    assert!(error.message.contains("without event time"), "{error}");
}

#[test]
fn more_than_fits_under_way_is_written_whole() {
    let (mut test, sink) = Test::new(FileSink::json_lines::<u64>);
    test.write(0..400_000);
    let files = test.finish();
    sink.commit(&test.commit_context(), files).unwrap();
    let expected: String = (0..400_000).map(|n| format!("{n}\n")).collect();
    assert!(test.files() == [(String::new(), expected)]);
}
