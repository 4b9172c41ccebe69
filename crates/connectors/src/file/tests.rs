//! A writer as its task drives it, without a cluster; [`reading`]: the same for the source.

mod reading;

use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

use flott_network::{Batch, NO_TIMESTAMP};
use flott_operators::sink::SinkWriter;
use flott_operators::{SubtaskContext, TaskError};
use prost::Message;

use super::commit::PendingFile;
use super::{TextWriter, committer};

fn context() -> SubtaskContext {
    SubtaskContext::for_tests("test")
}

/// Asks until there is an answer; the I/O runs beside it.
async fn until<T>(mut ask: impl FnMut() -> Result<Option<T>, TaskError>) -> Result<T, TaskError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        assert!(Instant::now() < deadline, "no answer in time");
        tokio::task::yield_now().await;
    }
}

type Format = fn(&u64, &mut String);

fn writer(directory: &Path) -> TextWriter<Format> {
    let format: Format = |n, line| line.push_str(&format!("{n:>99}"));
    let directory = format!("file://{}", directory.display());
    TextWriter::new(directory, 5, format, &context())
}

async fn write(writer: &mut TextWriter<Format>, rows: std::ops::Range<u64>) {
    for row in rows {
        let mut batch = Batch::default();
        batch.push(row, NO_TIMESTAMP);
        writer.write(&mut batch).unwrap();
        let settle = || SinkWriter::<u64>::settle(writer).map(|room| room.then_some(()));
        until(settle).await.unwrap();
    }
}

async fn finish(writer: &mut TextWriter<Format>) -> Result<Vec<Vec<u8>>, TaskError> {
    until(|| {
        Ok(match SinkWriter::<u64>::finish(writer)? {
            Poll::Ready(committables) => Some(committables),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_file_is_hidden_until_it_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    // Several blocks of 256 KiB.
    write(&mut writer, 0..20_000).await;
    let committables = finish(&mut writer).await.unwrap();
    assert_eq!(committables.len(), 1);
    let file = PendingFile::decode(committables[0].as_slice()).unwrap();
    assert!(file.pending.starts_with(".part-5-0-"), "{file:?}");
    assert!(!directory.path().join(&file.committed).exists());
    committer(5)(context().files, committables).await.unwrap();
    let text = std::fs::read_to_string(directory.path().join(&file.committed)).unwrap();
    let expected: String = (0..20_000).map(|n| format!("{n:>99}\n")).collect();
    assert!(
        text == expected,
        "{} bytes of {}",
        text.len(),
        expected.len()
    );
}

#[tokio::test]
async fn a_writer_without_rows_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    assert_eq!(finish(&mut writer).await.unwrap(), [[0_u8; 0]; 0]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_created_is_an_error_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut writer = writer(&file);
    write(&mut writer, 0..1).await;
    let error = finish(&mut writer).await.unwrap_err();
    assert!(error.message.contains("cannot be written"), "{error}");
    assert!(error.message.contains(file.to_str().unwrap()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_meets_the_failed_file_first_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let url = format!("file://{}", file.display());
    // A block in each row, and no pause: the writer looks while the file is just failing.
    let format: Format = |_, line| line.push_str(&" ".repeat(256 << 10));
    for _ in 0..300 {
        let mut writer = TextWriter::new(url.clone(), 5, format, &context());
        let mut write = || {
            let mut batch = Batch::default();
            batch.push(0, NO_TIMESTAMP);
            writer.write(&mut batch)?;
            while !SinkWriter::<u64>::settle(&mut writer)? {}
            Ok(())
        };
        let error: TaskError = loop {
            if let Err(error) = write() {
                break error;
            }
        };
        assert!(error.message.contains("cannot be written"), "{error}");
    }
}
