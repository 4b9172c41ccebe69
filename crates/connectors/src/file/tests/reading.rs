//! The file source: what it reads, what it says about bad input, what it finds later.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_network::Batch;
use flott_operators::source::{
    Assignment, EnumeratorContext, ReaderContext, ReaderProgress, Source, SourceReader,
    SourceSplit, SplitEnumerator, SubmissionContext, conformance,
};
use flott_operators::{SubtaskContext, TaskError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::file::{CsvFormat, FileSource, FileSplit};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    article: String,
    cents: u64,
    note: Option<String>,
}

fn sale(article: &str, cents: u64, note: Option<&str>) -> Sale {
    Sale {
        article: article.to_owned(),
        cents,
        note: note.map(str::to_owned),
    }
}

fn files() -> Arc<FileSystems> {
    Arc::new(FileSystems::local())
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// All rows, read by one subtask.
fn read<S: Source>(source: &S, splits: Option<Vec<S::Split>>) -> Result<Vec<S::Out>, TaskError> {
    let context = SubtaskContext::for_tests("files");
    let io = context.io.clone();
    let at_submission = SubmissionContext::new(files(), io.clone(), 1);
    let prepared = match splits {
        Some(_) => Vec::new(),
        None => source.prepare(&at_submission)?,
    };
    let mut enumerator =
        source.create_enumerator(&EnumeratorContext::new(files(), io, 1, prepared))?;
    let mut given = splits.map(Vec::into_iter);
    let mut reader = source.create_reader(&ReaderContext::new(&context))?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut rows = Vec::new();
    loop {
        let next = match &mut given {
            Some(splits) => splits.next().map_or(Assignment::End, Assignment::Split),
            None => enumerator.next_split(0, "")?,
        };
        let Assignment::Split(split) = next else {
            return Ok(rows);
        };
        reader.add_split(split)?;
        loop {
            assert!(Instant::now() < deadline, "no end in time");
            let mut batch = Batch::default();
            let progress = reader.fill(&mut batch)?;
            rows.append(&mut batch.rows);
            match progress {
                ReaderProgress::SplitFinished => break,
                ReaderProgress::More => (),
                ReaderProgress::Pending => std::thread::yield_now(),
            }
        }
    }
}

fn message<S: Source>(source: &S) -> String {
    match read(source, None) {
        Ok(rows) => panic!("read {} rows", rows.len()),
        Err(error) => error.message,
    }
}

#[test]
fn text_of_files_directories_and_globs() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir(root.join("below")).unwrap();
    std::fs::write(root.join("a"), "1\n2\r\n3").unwrap();
    std::fs::write(root.join("b"), "4\n\n").unwrap();
    std::fs::write(root.join("below/c"), "5").unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    std::fs::write(root.join(".hidden"), "6").unwrap();
    let lines = |source: FileSource<_>| read(&source, None).unwrap();
    let all = ["1", "2", "3", "4", "", "5"];
    assert_eq!(lines(FileSource::text(&path(root))), all);
    assert_eq!(
        lines(FileSource::text(&path(root)).not_recursive()),
        all[..5]
    );
    assert_eq!(lines(FileSource::text(&path(&root.join("[ab]")))), all[..5]);
    assert_eq!(lines(FileSource::text(&path(&root.join("b")))), ["4", ""]);
    let split = |start, length| FileSplit {
        uri: path(&root.join("a")),
        start,
        length,
        position: start,
    };
    let pieces = vec![split(0, 3), split(3, 3)];
    assert_eq!(
        read(&FileSource::text("unused"), Some(pieces)).unwrap(),
        all[..3]
    );
    let rest = FileSplit {
        position: 2,
        ..split(0, 6)
    };
    assert_eq!(
        read(&FileSource::text("unused"), Some(vec![rest])).unwrap(),
        all[1..3]
    );
}

#[test]
fn every_format_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let sales: Vec<Sale> = (0..6_000)
        .map(|n| {
            sale(
                &format!("article {n}"),
                n,
                (n % 3 == 0).then_some("a \"b\",\nc"),
            )
        })
        .collect();
    let mut expected = Vec::new();
    for part in 0..3 {
        let text: String = (0..4_000).map(|n| format!("{part} {n}\n")).collect();
        expected.extend(text.lines().map(str::to_owned));
        std::fs::write(root.join(format!("{part}.txt")), text).unwrap();
        let sales = &sales[part * 2_000..][..2_000];
        let mut csv = csv::Writer::from_path(root.join(format!("{part}.csv"))).unwrap();
        sales.iter().for_each(|sale| csv.serialize(sale).unwrap());
        csv.flush().unwrap();
        let lines: Vec<String> = sales
            .iter()
            .map(|sale| serde_json::to_string(sale).unwrap())
            .collect();
        std::fs::write(root.join(format!("{part}.json")), lines.join("\n")).unwrap();
    }
    let glob = |end: &str| path(&root.join(format!("*.{end}")));
    conformance::check(&FileSource::text(&glob("txt")), &files(), expected);
    let csv = FileSource::csv::<Sale>(&glob("csv"));
    conformance::check(&csv, &files(), sales.clone());
    let json = FileSource::json_lines::<Sale>(&glob("json"));
    conformance::check(&json, &files(), sales);
}

#[test]
fn a_large_file_is_read_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large");
    let lines: Vec<String> = (0..300_000).map(|n| format!("{n:>12}")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let source = FileSource::text(&path(&file));
    let io = SubtaskContext::for_tests("files").io;
    let context = EnumeratorContext::new(files(), io, 3, Vec::new());
    let mut enumerator = source.create_enumerator(&context).unwrap();
    let Assignment::Split(first) = enumerator.next_split(0, "").unwrap() else {
        panic!("no split");
    };
    assert!(first.length < 2 << 20, "{first:?}");
    conformance::check(&source, &files(), lines);
}

#[test]
fn csv_without_header_and_with_another_delimiter() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    std::fs::write(&file, "1;'a;b'\r\n2;'it''s'\n").unwrap();
    let format = CsvFormat::<(u32, String)>::new();
    let format = format.delimiter(b';').quote(b'\'').without_header();
    let rows = read(&FileSource::new(&path(&file), format), None).unwrap();
    assert_eq!(rows, [(1, "a;b".to_owned()), (2, "it's".to_owned())]);
    let bom = directory.path().join("bom");
    std::fs::write(&bom, "\u{feff}article,cents,note\nx,1,\n").unwrap();
    let rows = read(&FileSource::csv::<Sale>(&path(&bom)), None).unwrap();
    assert_eq!(rows, [sale("x", 1, None)]);
}

#[test]
fn bad_records_are_told_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad");
    let uri = path(&file);
    let csv = |text: &str| {
        std::fs::write(&file, text).unwrap();
        message(&FileSource::csv::<Sale>(&uri))
    };
    let error = csv("article,cents,note\nx,1,\n\"y\n\",2,\nz,many,\n");
    assert!(error.contains("bad', line 5: field 2 ('cents')"), "{error}");
    let error = csv("article,cents,note\nx,1\n");
    assert!(
        error.contains("line 2: 2 fields, where the header line has 3"),
        "{error}"
    );
    let error = csv("article,note\nx,1\n");
    assert!(error.contains("line 2: missing field `cents`"), "{error}");
    let json = |text: &str| {
        std::fs::write(&file, text).unwrap();
        message(&FileSource::json_lines::<Sale>(&uri))
    };
    let error = json("{\"article\":\"x\",\"cents\":1}\n\n{\"article\":\"x\",\"cents\":-1}\n");
    assert!(
        error.contains("bad', line 3: invalid value") && error.contains("column"),
        "{error}"
    );
    let error = json("{\"article\"");
    assert!(error.contains("line 1: EOF while parsing"), "{error}");
}

#[test]
fn what_cannot_be_read_is_told_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let gone = path(&directory.path().join("gone"));
    let error = message(&FileSource::text(&gone));
    assert!(error.contains("gone' cannot be read"), "{error}");
    let error = message(&FileSource::text(&format!("{gone}/*.txt")));
    assert!(error.contains("no file matches"), "{error}");
    let split = |path: &str| FileSplit {
        uri: path.to_owned(),
        start: 0,
        length: 1,
        position: 0,
    };
    let error = read(&FileSource::text("unused"), Some(vec![split(&gone)])).unwrap_err();
    assert!(error.message.contains("gone' cannot be read"), "{error}");
    let endless = directory.path().join("endless");
    // Sparse: takes no room on the disk.
    let file = std::fs::File::create(&endless).unwrap();
    file.set_len(80 << 20).unwrap();
    let error = read(
        &FileSource::text("unused"),
        Some(vec![split(&path(&endless))]),
    );
    let error = error.unwrap_err().message;
    assert!(
        error.contains("endless' has a line of more than 64 MiB"),
        "{error}"
    );
}

#[test]
fn a_monitored_directory_gives_each_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::write(root.join("first"), "1").unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    let source = FileSource::text(&path(root)).monitor_continuously(Duration::from_millis(5));
    let io = SubtaskContext::for_tests("files").io;
    let context = EnumeratorContext::new(files(), io, 2, Vec::new());
    let mut enumerator = source.create_enumerator(&context).unwrap();
    let name = |split: FileSplit| split.uri.rsplit('/').next().unwrap().to_owned();
    // Whoever asks: there is no other subtask's share.
    let next = |enumerator: &mut crate::file::FileEnumerator| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match enumerator.next_split(1, "").unwrap() {
                Assignment::Split(split) => return name(split),
                Assignment::End => panic!("a monitored directory has no end"),
                Assignment::Wait(time) => assert!(time <= Duration::from_millis(5)),
            }
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    };
    assert_eq!(next(&mut enumerator), "first");
    assert!(matches!(
        enumerator.next_split(0, "").unwrap(),
        Assignment::Wait(_)
    ));
    std::fs::write(root.join(".second"), "2").unwrap();
    std::fs::rename(root.join(".second"), root.join("second")).unwrap();
    assert_eq!(next(&mut enumerator), "second");
    // What was empty when it was found is read when it has something.
    std::fs::write(root.join("empty"), "3").unwrap();
    assert_eq!(next(&mut enumerator), "empty");
    let checkpoint = enumerator.snapshot().unwrap();
    std::fs::write(root.join("third"), "4").unwrap();
    let mut restored = source.restore_enumerator(&context, checkpoint).unwrap();
    assert_eq!(next(&mut restored), "third");
}

#[test]
fn the_id_of_a_split_does_not_change_while_it_is_read() {
    let split = FileSplit {
        uri: "f".to_owned(),
        start: 10,
        length: 20,
        position: 10,
    };
    let later = FileSplit {
        position: 15,
        ..split.clone()
    };
    assert_eq!(split.split_id(), later.split_id());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What is written as CSV is read again, whatever the text.
    #[test]
    fn csv_round_trip(
        rows in proptest::collection::vec(("[a-c\",\r\n ']{0,8}", any::<u64>()), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("table");
        let mut csv = csv::Writer::from_path(&file).unwrap();
        let sales: Vec<Sale> = rows.iter().map(|(text, n)| sale(text, *n, None)).collect();
        sales.iter().for_each(|sale| csv.serialize(sale).unwrap());
        csv.flush().unwrap();
        let read = read(&FileSource::csv::<Sale>(&path(&file)), None).unwrap();
        prop_assert_eq!(read, sales);
    }
}
