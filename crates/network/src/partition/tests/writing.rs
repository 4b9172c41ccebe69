//! What a writer holds, what it leaves behind, and what it refuses.

use std::sync::mpsc;

use super::*;

fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(job_path(directory, JOB)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A runtime whose only blocking thread is busy until told otherwise: a disk that hangs.
fn slow_disk() -> (Runtime, mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (go, gone) = mpsc::channel::<()>();
    // Ends as soon as the sender says something or is dropped.
    runtime.spawn_blocking(move || gone.recv());
    (runtime, go)
}

#[test]
fn a_slow_disk_holds_the_task_back() {
    let directory = tempfile::tempdir().unwrap();
    let (runtime, go) = slow_disk();
    let (sleeper, waker) = Sleeper::bound();
    let settings = writer_settings(4);
    let io = runtime.handle().clone();
    let mut writer = PartitionWriter::new(directory.path(), partition(0), settings, io, waker);
    let row = row(&[7; 1000]);
    let mut rows = 0;
    while writer.settle().unwrap() {
        put(&mut writer, rows % 4, &row);
        rows += 1;
        assert!(rows < 10_000, "nothing holds the task back");
    }
    let bytes = rows as usize * 1000;
    assert!(
        bytes > settings.memory_bytes / 2,
        "{bytes} bytes are too few"
    );
    assert!(bytes <= settings.memory_bytes, "{bytes} bytes are too many");
    assert_eq!(writer.bytes_written(), 0);
    assert!(!writer.finish().unwrap());
    go.send(()).unwrap();
    sleeper.until(|| writer.settle().unwrap().then_some(()));
    assert!(writer.bytes_written() > 0);
    sleeper.until(|| writer.finish().unwrap().then_some(()));
    let locations = vec![at(0, PartitionPlace::Here)];
    let found = read(reader_settings(4), directory.path(), locations).unwrap();
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), rows as usize);
}

#[test]
fn a_partition_is_there_when_it_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let (sleeper, waker) = Sleeper::bound();
    let settings = PartitionWriterSettings {
        memory_bytes: 0,
        ..writer_settings(1)
    };
    let mut writer = PartitionWriter::new(directory.path(), partition(0), settings, io(), waker);
    assert_eq!(files(directory.path()), [""; 0]);
    while writer.bytes_written() == 0 {
        sleeper.until(|| writer.settle().unwrap().then_some(()));
        put(&mut writer, 0, &row(&[1; 10_000]));
    }
    let name = "e3-v2-s0-a0-ep1";
    let names = |suffix: &str| {
        [
            format!("{name}.data{suffix}"),
            format!("{name}.index{suffix}"),
        ]
    };
    assert_eq!(files(directory.path()), names(".inprogress"));
    let locations = vec![at(0, PartitionPlace::Here)];
    let (error, missing) = read(reader_settings(1), directory.path(), locations).unwrap_err();
    assert!(matches!(error, PartitionError::NotFound { .. }), "{error}");
    assert_eq!(missing, [producer(0)]);
    sleeper.until(|| writer.finish().unwrap().then_some(()));
    assert_eq!(files(directory.path()), names(""));
    assert!(writer.finish().unwrap());
    drop(writer);
    assert_eq!(files(directory.path()), names(""));
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = PartitionWriterSettings {
        memory_bytes: 0,
        ..writer_settings(1)
    };
    for at_once in [true, false] {
        let (sleeper, waker) = Sleeper::bound();
        let mut writer =
            PartitionWriter::new(directory.path(), partition(0), settings, io(), waker);
        while writer.settle().unwrap() && writer.bytes_written() == 0 {
            put(&mut writer, 0, &row(&[1; 10_000]));
        }
        if !at_once {
            sleeper.until(|| (writer.bytes_written() > 0).then_some(()));
        }
        drop(writer);
        eventually(|| files(directory.path()).is_empty());
    }
}

#[test]
fn a_row_that_is_too_large_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let settings = PartitionWriterSettings {
        max_record_bytes: 1000,
        ..writer_settings(1)
    };
    let waker = Waker::default();
    let mut writer = PartitionWriter::new(directory.path(), partition(0), settings, io(), waker);
    put(&mut writer, 0, &row(&[0; 996]));
    assert!(writer.settle().unwrap());
    put(&mut writer, 0, &row(&[0; 997]));
    let error = writer.settle().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a record of 1001 bytes is above the limit of 1000"
    );
    assert_eq!(error.class(), flott_model::FailureClass::Fatal);
    writer.finish().unwrap_err();
}

#[test]
fn a_row_that_cannot_be_encoded_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let (sleeper, waker) = Sleeper::bound();
    let settings = writer_settings(2);
    let mut writer = PartitionWriter::new(directory.path(), partition(0), settings, io(), waker);
    for sub_partition in 0..2 {
        let failed = writer.row(sub_partition, 5, |out| {
            out.push(1);
            Err("no")
        });
        assert_eq!(failed, Err("no"));
    }
    put(&mut writer, 1, &row(b"a"));
    sleeper.until(|| writer.finish().unwrap().then_some(()));
    let locations = vec![at(0, PartitionPlace::Here)];
    let found = read(reader_settings(2), directory.path(), locations).unwrap();
    assert_eq!(found, Read::from([(1, vec![row(b"a")])]));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let (sleeper, waker) = Sleeper::bound();
    let mut writer = PartitionWriter::new(&file, partition(0), writer_settings(1), io(), waker);
    put(&mut writer, 0, &row(b"a"));
    let error = sleeper.until(|| writer.finish().err());
    assert!(matches!(error, PartitionError::File { .. }), "{error}");
    assert!(error.to_string().contains("/file/"), "{error}");
    assert_eq!(error.class(), flott_model::FailureClass::Transient);
}

#[test]
fn a_runtime_that_ends_is_no_hang() {
    let directory = tempfile::tempdir().unwrap();
    let (runtime, go) = slow_disk();
    let (sleeper, waker) = Sleeper::bound();
    let io = runtime.handle().clone();
    let mut writer = PartitionWriter::new(
        directory.path(),
        partition(0),
        writer_settings(1),
        io,
        waker,
    );
    put(&mut writer, 0, &row(b"a"));
    assert!(!writer.finish().unwrap());
    runtime.shutdown_background();
    drop(go);
    let ended = sleeper.until(|| match writer.finish() {
        Ok(false) => None,
        ended => Some(ended),
    });
    // It depends on who is faster; both are an end.
    if let Err(error) = ended {
        assert!(matches!(error, PartitionError::ShutDown { .. }), "{error}");
    }
}
