//! Partitions in temporary directories, servers on loopback.

mod faults;
mod rows;
mod servers;
mod writing;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use flott_model::{EdgeId, Epoch, ExecutionAttemptId, JobId, VertexId};
use tokio::runtime::{Handle, Runtime};

use super::*;
use crate::{DataFrame, NO_TIMESTAMP, Wake, Waker};

const PATIENCE: Duration = Duration::from_secs(60);
const JOB: JobId = JobId(0xabc);
const EDGE: EdgeId = EdgeId(3);
const TOKEN: &[u8] = b"token of the job";

fn io() -> Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let start = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    RUNTIME.get_or_init(start).handle().clone()
}

fn producer(subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(2),
        subtask,
        attempt: 0,
    }
}

fn partition(subtask: u32) -> PartitionId {
    PartitionId {
        job: JOB,
        edge: EDGE,
        producer: producer(subtask),
    }
}

/// A task that sleeps until it is woken.
#[derive(Default)]
struct Sleeper {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Sleeper {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Sleeper {
    fn bound() -> (Arc<Self>, Waker) {
        let (sleeper, waker) = (Arc::new(Self::default()), Waker::default());
        waker.bind(Arc::clone(&sleeper) as Arc<dyn Wake>);
        (sleeper, waker)
    }

    #[track_caller]
    fn sleep(&self) {
        let woken = self.woken.lock().unwrap();
        let (mut woken, result) = self
            .changed
            .wait_timeout_while(woken, PATIENCE, |woken| !*woken)
            .unwrap();
        assert!(!result.timed_out(), "slept in vain");
        *woken = false;
    }

    /// Polls now and after each wake-up, until there is a result.
    #[track_caller]
    fn until<T>(&self, mut poll: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(value) = poll() {
                return value;
            }
            self.sleep();
        }
    }
}

/// Polls without being woken: for what no task waits for.
#[track_caller]
fn eventually(mut poll: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !poll() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}

/// A row of a test: its time, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    timestamp: i64,
    bytes: Vec<u8>,
}

fn row(bytes: &[u8]) -> Row {
    Row {
        timestamp: NO_TIMESTAMP,
        bytes: bytes.to_vec(),
    }
}

fn encode(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(&(row.bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(&row.bytes);
}

fn decode(frame: &DataFrame) -> Vec<Row> {
    let mut input = frame.payload.as_slice();
    let mut rows = Vec::new();
    for _ in 0..frame.rows {
        let timestamp = if frame.has_timestamps {
            let (time, rest) = input.split_first_chunk().unwrap();
            input = rest;
            i64::from_le_bytes(*time)
        } else {
            NO_TIMESTAMP
        };
        let (length, rest) = input.split_first_chunk().unwrap();
        let (bytes, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        input = rest;
        rows.push(Row {
            timestamp,
            bytes: bytes.to_vec(),
        });
    }
    assert!(input.is_empty());
    rows
}

fn writer_settings(sub_partitions: u32) -> PartitionWriterSettings {
    PartitionWriterSettings {
        sub_partitions,
        memory_bytes: 1024 * 1024,
        compression: Compression::None,
        max_record_bytes: 16 * 1024 * 1024,
    }
}

/// Writes a whole partition, as a task does.
fn write(
    directory: &Path,
    id: PartitionId,
    settings: PartitionWriterSettings,
    rows: &[(u32, Row)],
) {
    let (sleeper, waker) = Sleeper::bound();
    let mut writer = PartitionWriter::new(directory, id, settings, io(), waker);
    for (sub_partition, row) in rows {
        sleeper.until(|| writer.settle().unwrap().then_some(()));
        put(&mut writer, *sub_partition, row);
    }
    sleeper.until(|| writer.finish().unwrap().then_some(()));
}

fn put(writer: &mut PartitionWriter, sub_partition: u32, row: &Row) {
    writer
        .row(sub_partition, row.timestamp, |out| {
            encode(row, out);
            Ok::<_, ()>(())
        })
        .unwrap();
}

fn reader_settings(sub_partitions: u32) -> PartitionReaderSettings {
    PartitionReaderSettings {
        job: JOB,
        edge: EDGE,
        sub_partitions,
        wanted: 0..sub_partitions,
        token: TOKEN.to_vec(),
        max_record_bytes: 16 * 1024 * 1024,
        ..PartitionReaderSettings::default()
    }
}

fn at(subtask: u32, place: PartitionPlace) -> PartitionLocation {
    PartitionLocation {
        producer: producer(subtask),
        place,
    }
}

fn open(
    settings: PartitionReaderSettings,
    directory: &Path,
    locations: Vec<PartitionLocation>,
    waker: &Waker,
) -> PartitionReader {
    let directory = PartitionDirectory::new(directory);
    PartitionReader::open(settings, &directory, locations, &io(), waker)
}

/// The rows of each sub-partition.
type Read = BTreeMap<u32, Vec<Row>>;

/// Reads everything, as a task does; or the error and who is missing.
fn read(
    settings: PartitionReaderSettings,
    directory: &Path,
    locations: Vec<PartitionLocation>,
) -> Result<Read, (PartitionError, Vec<ExecutionAttemptId>)> {
    let (sleeper, waker) = Sleeper::bound();
    let mut next = settings.wanted.start;
    let mut reader = open(settings, directory, locations, &waker);
    let mut rows = Read::new();
    loop {
        match sleeper.until(|| reader.receive().transpose()) {
            Err(error) => {
                let missing = reader.missing(&error).into_iter().collect();
                return Err((error, missing));
            }
            Ok(PartitionMessage::Rows(frame)) => {
                rows.entry(next).or_default().extend(decode(&frame));
            }
            Ok(PartitionMessage::EndOfSubPartition(over)) => {
                assert_eq!(over, next);
                next += 1;
            }
            Ok(PartitionMessage::End) => return Ok(rows),
        }
    }
}

fn serve(directory: &Path) -> PartitionServer {
    let settings = PartitionServerSettings {
        directory: directory.to_owned(),
        host: "127.0.0.1".into(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: vec![0],
        tokens: Arc::new(|job| {
            if job == JOB {
                TOKEN.to_vec()
            } else {
                Vec::new()
            }
        }),
    };
    io().block_on(PartitionServer::start(settings)).unwrap()
}

fn served_by(server: &PartitionServer) -> PartitionPlace {
    PartitionPlace::Server(server.address().to_owned())
}
