//! Rows from routers through partitions to the head of the next task.

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
use flott_operators::{BatchSink, Collect, TaskClock, TaskError, TwoInputSink};
use proptest::prelude::*;
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
    let clock = TaskClock::manual(0);
    let mut gate = Gate::new(inputs, BufferTimeout::Never, clock, Arc::default());
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_key_is_in_one_range_of_one_consumer(
        keys in proptest::collection::vec(proptest::collection::vec(0u64..200, 0..300), 1..5),
        consumers in 1u32..5,
        many_groups: bool,
        memory_bytes in 0usize..10_000,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let groups = if many_groups { 5000 } else { 16 };
        let producers = keys.len() as u32;
        let layout = PartitionLayout::new(ShipStrategy::Hash, producers, consumers, groups);
        let edge = Edge { directory: directory.path(), edge: 0, layout, producers, memory_bytes };
        for (producer, keys) in (0..).zip(&keys) {
            edge.write(producer, KeyRouter::new(by_key(), consumers, groups), keys);
        }
        let (mut all, mut owners) = (Vec::new(), BTreeMap::new());
        for consumer in 0..consumers {
            let seen = read(&edge, consumer, 0..producers);
            let ranges = ranges(&seen);
            prop_assert_eq!(ranges.len(), edge.layout.read_by(consumer).len() + 1);
            prop_assert_eq!(ranges[ranges.len() - 1], the_end());
            for (range, seen) in ranges.into_iter().enumerate() {
                for row in rows(seen) {
                    let owner = owners.entry(row.2).or_insert((consumer, range));
                    prop_assert_eq!(*owner, (consumer, range));
                }
            }
            for (_, rows) in by_producer(rows(&seen)) {
                for key in rows.iter().map(|row| row.2).collect::<BTreeSet<_>>() {
                    let order = rows.iter().filter(|row| row.2 == key).map(|row| row.1);
                    prop_assert!(order.is_sorted());
                }
            }
            all.extend(rows(&seen));
        }
        let mut expected: Vec<Row> = Vec::new();
        for (producer, keys) in (0..).zip(&keys) {
            expected.extend((0..).zip(keys).map(|(index, key)| (producer, index, *key)));
        }
        all.sort_unstable();
        prop_assert_eq!(all, expected);
    }
}

/// Three producers of ten rows each, and what each consumer read of them.
fn shipped<R: Router<Row>>(
    ship: ShipStrategy,
    [producers, consumers]: [u32; 2],
    router: impl Fn(u32) -> R,
    connected: impl Fn(u32) -> std::ops::Range<u32>,
) -> Vec<Vec<Row>> {
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge {
        directory: directory.path(),
        edge: 3,
        layout: PartitionLayout::new(ship, producers, consumers, 128),
        producers,
        memory_bytes: 0,
    };
    let keys: Vec<u64> = (0..10).collect();
    for producer in 0..producers {
        edge.write(producer, router(producer), &keys);
    }
    (0..consumers)
        .map(|consumer| {
            let seen = read(&edge, consumer, connected(consumer));
            assert_eq!(seen[seen.len() - 2..], the_end());
            assert_eq!(ranges(&seen).len(), 1, "there are no keys that could end");
            let mut rows = rows(&seen);
            rows.sort_unstable();
            rows
        })
        .collect()
}

fn sent_by(producers: impl IntoIterator<Item = u32>) -> Vec<Row> {
    let each = |producer| (0..10).map(move |index| (producer, index, u64::from(index)));
    producers.into_iter().flat_map(each).collect()
}

#[test]
fn broadcast_is_written_once_and_read_by_all() {
    let read = shipped(
        ShipStrategy::Broadcast,
        [3, 4],
        |_| BroadcastRouter,
        |_| 0..3,
    );
    assert_eq!(read, vec![sent_by(0..3); 4]);
}

#[test]
fn forward_and_global_have_one_target() {
    let read = shipped(
        ShipStrategy::Forward,
        [3, 3],
        |_| FirstRouter,
        |own| own..own + 1,
    );
    let expected: Vec<_> = (0..3).map(|own| sent_by([own])).collect();
    assert_eq!(read, expected);
    let read = shipped(ShipStrategy::Global, [3, 2], |_| FirstRouter, |_| 0..3);
    assert_eq!(read, [sent_by(0..3), vec![]]);
}

#[test]
fn rebalance_spreads_over_all() {
    let router = |producer| RoundRobinRouter::starting_at(producer as usize);
    let read = shipped(ShipStrategy::Rebalance, [3, 5], router, |_| 0..3);
    assert!(read.iter().all(|rows| rows.len() == 6));
    let mut all = read.concat();
    all.sort_unstable();
    assert_eq!(all, sent_by(0..3));
}

#[test]
fn rescale_keeps_to_its_block() {
    let router = |producer| RoundRobinRouter::starting_at(producer as usize);
    let read = shipped(ShipStrategy::Rescale, [2, 4], router, |own| {
        own / 2..own / 2 + 1
    });
    for (consumer, rows) in (0..).zip(&read) {
        assert_eq!(rows.len(), 5);
        assert!(rows.iter().all(|row| row.0 == consumer / 2));
    }
    let router = |producer| RoundRobinRouter::starting_at(producer as usize);
    let read = shipped(ShipStrategy::Rescale, [4, 2], router, |own| {
        2 * own..2 * own + 2
    });
    assert_eq!(read, [sent_by(0..2), sent_by(2..4)]);
}

#[test]
fn custom_goes_where_the_program_says() {
    let choose = |row: &Row, ports: u32| row.1 % ports;
    let router = |_| CustomRouter::new(Arc::new(choose));
    let read = shipped(ShipStrategy::Custom, [2, 3], router, |_| 0..2);
    for (consumer, rows) in (0..).zip(&read) {
        assert!(rows.iter().all(|row| row.1 % 3 == consumer));
    }
    assert_eq!(read.concat().len(), 20);
}

/// Reads two edges into one task.
fn read_two(first: &Edge<'_>, second: &Edge<'_>, consumer: u32) -> Vec<Seen> {
    let (sleeper, waker) = Sleeper::bound();
    let head = Head::default();
    let channel = |edge: &Edge<'_>| {
        let missing = MissingPartitions::default();
        vec![InputChannel::new(edge.input(
            consumer,
            0..edge.producers,
            &waker,
            &missing,
        ))]
    };
    let inputs = TwoInputs::<Row, Row>::new(
        channel(first),
        channel(second),
        Box::new(head.clone()),
        Arc::default(),
    );
    run(inputs, &sleeper).unwrap();
    head.take()
}

#[test]
fn two_keyed_inputs_are_read_in_lockstep() {
    const CONSUMERS: u32 = 2;
    let directory = tempfile::tempdir().unwrap();
    let edges = [0, 1].map(|edge| Edge {
        directory: directory.path(),
        edge,
        layout: PartitionLayout::new(ShipStrategy::Hash, edge + 1, CONSUMERS, 16),
        producers: edge + 1,
        memory_bytes: 0,
    });
    let keys: Vec<u64> = (0..1000).map(|row| row * 7 % 60).collect();
    for edge in &edges {
        for producer in 0..edge.producers {
            edge.write(producer, KeyRouter::new(by_key(), CONSUMERS, 16), &keys);
        }
    }
    let mut count = 0;
    for consumer in 0..CONSUMERS {
        let seen = read_two(&edges[0], &edges[1], consumer);
        let mut owners = BTreeMap::new();
        for (range, seen) in ranges(&seen).into_iter().enumerate() {
            for seen in seen {
                let (Seen::Row(row, _) | Seen::Second(row)) = seen else {
                    continue;
                };
                assert_eq!(*owners.entry(row.2).or_insert(range), range);
                count += 1;
            }
        }
        assert_eq!(ranges(&seen).len(), 16 / CONSUMERS as usize + 1);
        assert_eq!(seen[seen.len() - 1], Seen::Control(Control::End));
        assert!(seen.contains(&Seen::Ended(1)) && seen.contains(&Seen::Ended(2)));
    }
    assert_eq!(count, 3 * keys.len());
}

#[test]
fn a_broadcast_is_read_whole_before_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let keys: Vec<u64> = (0..3000).collect();
    for broadcast_is_first in [true, false] {
        let edge = |edge, ship| Edge {
            directory: directory.path(),
            edge,
            layout: PartitionLayout::new(ship, 1, 1, 8),
            producers: 1,
            memory_bytes: 0,
        };
        let (keyed, broadcast) = (
            edge(0, ShipStrategy::Hash),
            edge(1, ShipStrategy::Broadcast),
        );
        keyed.write(0, KeyRouter::new(by_key(), 1, 8), &keys);
        broadcast.write(0, BroadcastRouter, &keys);
        let seen = if broadcast_is_first {
            read_two(&broadcast, &keyed, 0)
        } else {
            read_two(&keyed, &broadcast, 0)
        };
        let first = |seen: &Seen| matches!(seen, Seen::Row(..)) == broadcast_is_first;
        assert!(seen[..keys.len()].iter().all(first));
        assert_eq!(rows(&seen).len(), 2 * keys.len());
        assert_eq!(ranges(&seen).len(), 9);
        let ended = if broadcast_is_first { 1 } else { 2 };
        assert_eq!(seen[keys.len()], Seen::Ended(ended));
    }
}

#[test]
fn what_is_missing_is_told_by_consumer() {
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge {
        directory: directory.path(),
        edge: 0,
        layout: PartitionLayout::new(ShipStrategy::Hash, 4, 1, 8),
        producers: 4,
        memory_bytes: 0,
    };
    for producer in [0, 2] {
        edge.write(producer, KeyRouter::new(by_key(), 1, 8), &[1, 2, 3]);
    }
    let (sleeper, waker) = Sleeper::bound();
    let missing = MissingPartitions::default();
    let channels = vec![InputChannel::new(edge.input(0, 0..4, &waker, &missing))];
    let head = Box::new(Head::default());
    let inputs = OneInput::<Row>::new(channels, head, Arc::default());
    let error = run(inputs, &sleeper).unwrap_err();
    assert_eq!(error.class, FailureClass::Transient);
    assert!(error.message.contains("e1_v0_1_0, e1_v0_3_0"), "{error}");
    assert_eq!(missing.take(attempt(1, 7)), BTreeSet::new());
    let expected = BTreeSet::from([attempt(0, 1), attempt(0, 3)]);
    assert_eq!(missing.take(attempt(1, 0)), expected);
    assert_eq!(missing.take(attempt(1, 0)), BTreeSet::new());
}

#[test]
fn a_partition_that_cannot_be_written_fails_the_task() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let edge = Edge {
        directory: &file,
        edge: 0,
        layout: PartitionLayout::new(ShipStrategy::Global, 1, 1, 8),
        producers: 1,
        memory_bytes: 0,
    };
    let (sleeper, waker) = Sleeper::bound();
    let ports = Ports::<Row>::new(vec![edge.output(0, waker)]);
    let mut writer = ExchangeWriter::new(ports, FirstRouter, Arc::default());
    writer.collect((0, 0, 0), NO_TIMESTAMP);
    writer.control(Control::End).unwrap();
    let error = loop {
        match writer.settle() {
            Ok(true) => panic!("it was written"),
            Ok(false) => sleeper.sleep(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.class, FailureClass::Transient);
    let message = error.message;
    assert!(
        message.contains("cannot create") && message.contains("ile"),
        "{message}"
    );
}
