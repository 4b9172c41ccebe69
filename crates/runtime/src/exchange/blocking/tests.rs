//! Rows from routers through partitions to the head of the next task.

mod faults;
mod keys;
mod ships;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use flott_model::{EdgeId, Epoch, ExecutionAttemptId, FailureClass, JobId, ShipStrategy, VertexId};
use flott_network::partition::{
    Compression, PartitionDirectory, PartitionId, PartitionLocation, PartitionPlace,
    PartitionReader, PartitionReaderSettings, PartitionWriter, PartitionWriterSettings,
};
use flott_network::{Batch, Control, NO_TIMESTAMP, Wake, Waker};
use flott_operators::keyed::ByValue;
use flott_operators::pipe::Writer;
use flott_operators::{BatchSink, Collect, SubtaskContext, TaskError, TwoInputSink};
use tokio::runtime::{Handle, Runtime};

use super::*;
use crate::exchange::{
    BroadcastRouter, CustomRouter, ExchangeWriter, FirstRouter, Gate, InputChannel, InputHalf,
    InputSet, KeyRouter, OneInput, OutputHalf, Ports, RoundRobinRouter, Router, TwoInputs,
};
use crate::pacer::BufferTimeout;
use crate::scheduler::{Poll, Tasklet};

const PATIENCE: Duration = Duration::from_secs(60);
const JOB: JobId = JobId(5);

fn io() -> Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let start = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    RUNTIME.get_or_init(start).handle().clone()
}

fn attempt(vertex: u32, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(vertex),
        subtask,
        attempt: 0,
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
}

/// An edge between two vertices, by way of a directory.
#[derive(Clone, Copy)]
struct Edge<'a> {
    directory: &'a Path,
    edge: u32,
    layout: PartitionLayout,
    producers: u32,
    memory_bytes: usize,
}

/// A row: who sent it, the how-maniest it is there, and its key.
type Row = (u32, u32, u64);

fn by_key() -> ByValue<fn(&Row) -> u64, u64> {
    ByValue::new(|row| row.2)
}

impl Edge<'_> {
    fn output(&self, producer: u32, waker: Waker) -> OutputHalf {
        let id = PartitionId {
            job: JOB,
            edge: EdgeId(self.edge),
            producer: attempt(0, producer),
        };
        let settings = PartitionWriterSettings {
            sub_partitions: self.layout.sub_partitions(),
            memory_bytes: self.memory_bytes,
            compression: Compression::Lz4,
            max_record_bytes: 1 << 20,
        };
        let writer = PartitionWriter::new(self.directory, id, settings, io(), waker);
        OutputHalf::Partition(Box::new(PartitionOutput::new(
            writer,
            &self.layout,
            producer,
        )))
    }

    /// Writes a partition as the end of a task does.
    fn write<R: Router<Row>>(&self, producer: u32, router: R, keys: &[u64]) {
        let (sleeper, waker) = Sleeper::bound();
        let ports = Ports::new(vec![self.output(producer, waker)]);
        let mut writer = ExchangeWriter::new(ports, router, Arc::default());
        for (index, key) in (0..).zip(keys) {
            while !writer.settle().unwrap() {
                sleeper.sleep();
            }
            writer.collect((producer, index, *key), i64::from(index));
            writer.check().unwrap();
        }
        // The first two are not stored.
        for control in [Control::Watermark(3), Control::KeysEnd, Control::End] {
            writer.control(control).unwrap();
            while !writer.settle().unwrap() {
                sleeper.sleep();
            }
        }
        let file = format!("e{}-v0-s{producer}-a0-ep1.index", self.edge);
        let index = self.directory.join(JOB.to_string()).join(file);
        assert!(index.exists(), "{index:?} must be there when it is settled");
    }

    /// What a consumer reads; of all producers, or of those.
    fn input(
        &self,
        consumer: u32,
        producers: impl IntoIterator<Item = u32>,
        waker: &Waker,
        missing: &MissingPartitions,
    ) -> InputHalf {
        let settings = PartitionReaderSettings {
            job: JOB,
            edge: EdgeId(self.edge),
            sub_partitions: self.layout.sub_partitions(),
            wanted: self.layout.read_by(consumer),
            ..PartitionReaderSettings::default()
        };
        let locations = producers.into_iter().map(|producer| PartitionLocation {
            producer: attempt(0, producer),
            place: PartitionPlace::Here,
        });
        let directory = PartitionDirectory::new(self.directory);
        let reader = PartitionReader::open(settings, &directory, locations.collect(), &io(), waker);
        InputHalf::Partition(Box::new(PartitionInput::new(
            reader,
            self.layout.is_keyed(),
            attempt(1, consumer),
            missing.clone(),
        )))
    }
}

/// What the head of a task saw, in order.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Row(Row, i64),
    /// By the second input.
    Second(Row),
    Control(Control),
    Ended(u8),
}

#[derive(Clone, Default)]
struct Head(Arc<Mutex<Vec<Seen>>>);

impl Head {
    fn see(&self, seen: Seen) {
        self.0.lock().unwrap().push(seen);
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl BatchSink<Row> for Head {
    fn batch(&mut self, batch: &mut Batch<Row>) -> Result<(), TaskError> {
        for (row, timestamp) in batch.drain() {
            self.see(Seen::Row(row, timestamp));
        }
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.see(Seen::Control(control));
        Ok(())
    }

    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }
}

impl TwoInputSink<Row, Row> for Head {
    fn batch1(&mut self, batch: &mut Batch<Row>) -> Result<(), TaskError> {
        self.batch(batch)
    }

    fn batch2(&mut self, batch: &mut Batch<Row>) -> Result<(), TaskError> {
        for (row, _) in batch.drain() {
            self.see(Seen::Second(row));
        }
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        BatchSink::control(self, control)
    }

    fn end1(&mut self) -> Result<(), TaskError> {
        self.see(Seen::Ended(1));
        Ok(())
    }

    fn end2(&mut self) -> Result<(), TaskError> {
        self.see(Seen::Ended(2));
        Ok(())
    }

    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }
}

/// Runs a task to its end, asleep while it has nothing to do.
fn run<S: InputSet>(inputs: S, sleeper: &Sleeper) -> Result<(), TaskError> {
    let context = SubtaskContext::for_tests("Map");
    let mut gate = Gate::new(inputs, BufferTimeout::Never, &context);
    loop {
        match gate.poll()? {
            Poll::Done => return Ok(()),
            Poll::Ready => {}
            Poll::Pending | Poll::PendingUntil(_) => sleeper.sleep(),
        }
    }
}

/// Reads everything of one edge.
fn read(edge: &Edge<'_>, consumer: u32, producers: std::ops::Range<u32>) -> Vec<Seen> {
    let (sleeper, waker) = Sleeper::bound();
    let half = edge.input(consumer, producers, &waker, &MissingPartitions::default());
    let head = Head::default();
    let channels = vec![InputChannel::new(half)];
    let inputs = OneInput::<Row>::new(channels, Box::new(head.clone()), Arc::default());
    run(inputs, &sleeper).unwrap();
    head.take()
}

fn rows(seen: &[Seen]) -> Vec<Row> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Row(row, timestamp) => {
                assert_eq!(*timestamp, i64::from(row.1));
                Some(*row)
            }
            Seen::Second(row) => Some(*row),
            Seen::Control(_) | Seen::Ended(_) => None,
        })
        .collect()
}

/// The rows between two ends of ranges.
fn ranges(seen: &[Seen]) -> Vec<&[Seen]> {
    seen.split(|seen| *seen == Seen::Control(Control::KeysEnd))
        .collect()
}

/// Each producer's rows, in the order they came.
fn by_producer(rows: Vec<Row>) -> BTreeMap<u32, Vec<Row>> {
    let mut producers: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for row in rows {
        producers.entry(row.0).or_default().push(row);
    }
    producers
}

fn the_end() -> [Seen; 2] {
    [Control::Watermark(i64::MAX), Control::End].map(Seen::Control)
}
