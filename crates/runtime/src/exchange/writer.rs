//! How rows are spread over the ports of an exchange.

use std::sync::Arc;

use flott_network::{Control, NO_TIMESTAMP};
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::Writer;
use flott_operators::{Collect, TaskCounters, TaskError};
use flott_record::Record;
use flott_record::hash::stable_hash;

use super::Ports;
use super::scatter::Owners;

/// Decides where a row goes.
pub trait Router<T>: Send {
    /// Puts the row into the port (or ports) it belongs to.
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>);

    /// The same for rows one after the other, as long as none fails. `timestamps` is empty, or has one
    /// for each of them.
    #[inline(always)]
    fn route_all(
        &mut self,
        rows: &mut impl ExactSizeIterator<Item = T>,
        timestamps: &[i64],
        ports: &mut Ports<T>,
    ) where
        T: Record,
    {
        let mut timestamps = timestamps.iter();
        for row in rows.by_ref() {
            let timestamp = timestamps.next().copied().unwrap_or(NO_TIMESTAMP);
            self.route(row, timestamp, ports);
            if ports.has_failed() {
                return;
            }
        }
    }
}

/// A router and its ports: the end of a chain.
pub struct ExchangeWriter<T, R> {
    ports: Ports<T>,
    router: R,
    counters: Arc<TaskCounters>,
    bytes_out: u64,
}

impl<T: Record, R: Router<T>> ExchangeWriter<T, R> {
    /// Writes to these ports; first what was on its way in the checkpoint that the task begins from.
    pub fn new(mut ports: Ports<T>, mut router: R, counters: Arc<TaskCounters>) -> Self {
        counters.outputs.watch(ports.gauges());
        ports.recover(&mut router);
        Self {
            ports,
            router,
            counters,
            bytes_out: 0,
        }
    }

    fn publish(&mut self) {
        let records = self.ports.take_records_out();
        if records > 0 {
            TaskCounters::add(&self.counters.records_out, records);
            let buffers = self.ports.take_buffers_out();
            TaskCounters::add(&self.counters.buffers_out, buffers);
            let bytes = self.ports.bytes_out();
            TaskCounters::add(&self.counters.bytes_out, bytes - self.bytes_out);
            self.bytes_out = bytes;
        }
    }
}

impl<T: Record, R: Router<T>> Collect<T> for ExchangeWriter<T, R> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        self.router.route(row, timestamp, &mut self.ports);
    }

    #[inline(always)]
    fn collect_all(&mut self, rows: &mut impl ExactSizeIterator<Item = T>, timestamps: &[i64]) {
        self.router.route_all(rows, timestamps, &mut self.ports);
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.ports.is_full()
    }

    fn fail(&mut self, error: TaskError) {
        self.ports.fail_with(error);
    }

    fn has_failed(&self) -> bool {
        self.ports.has_failed()
    }
}

impl<T: Record, R: Router<T>> Writer<T> for ExchangeWriter<T, R> {
    fn check(&mut self) -> Result<(), TaskError> {
        self.publish();
        self.ports.check()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        let result = self.ports.control(control);
        self.publish();
        result
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let result = self.ports.flush();
        self.publish();
        result
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.ports.settle()
    }
}

/// By the key group of the row's key.
pub struct KeyRouter<S> {
    selector: S,
    owners: Owners,
}

impl<S> KeyRouter<S> {
    /// For a target with so many subtasks and key groups.
    pub fn new(selector: S, parallelism: u32, max_parallelism: u32) -> Self {
        Self {
            selector,
            owners: Owners::new(parallelism, max_parallelism),
        }
    }
}

impl<T: Record, S: KeySelector<T>> Router<T> for KeyRouter<S> {
    #[inline(always)]
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>) {
        let hash = self.selector.with(&row, stable_hash);
        ports.push_hashed(self.owners.port_of(hash), row, timestamp, hash);
    }

    #[inline(always)]
    fn route_all(
        &mut self,
        rows: &mut impl ExactSizeIterator<Item = T>,
        timestamps: &[i64],
        ports: &mut Ports<T>,
    ) {
        ports.scatter(rows, timestamps, &self.selector, &self.owners);
    }
}

/// One after the other.
#[derive(Debug, Default)]
pub struct RoundRobinRouter {
    next: usize,
}

impl RoundRobinRouter {
    /// Begins at another port in each subtask, so that few rows do not all meet at the first.
    pub fn starting_at(port: usize) -> Self {
        Self { next: port }
    }
}

impl<T: Record> Router<T> for RoundRobinRouter {
    #[inline(always)]
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>) {
        if self.next >= ports.len() {
            self.next = 0;
        }
        ports.push(self.next, row, timestamp);
        self.next += 1;
    }
}

/// To a random port, evenly. The sequence is the same in every run of a subtask.
#[derive(Debug)]
pub struct ShuffleRouter {
    state: u64,
}

impl ShuffleRouter {
    /// Another sequence for each seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number of splitmix64: even and fast, which is all that is asked here.
    #[inline(always)]
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl<T: Record> Router<T> for ShuffleRouter {
    #[inline(always)]
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>) {
        let port = ((self.draw() >> 32) * ports.len() as u64) >> 32;
        ports.push(port as usize, row, timestamp);
    }
}

/// To the port that a function of the program chooses.
pub struct CustomRouter<T> {
    choose: Arc<dyn Fn(&T, u32) -> u32 + Send + Sync>,
}

impl<T> CustomRouter<T> {
    /// `choose(row, ports)` gives the index of a port.
    pub fn new(choose: Arc<dyn Fn(&T, u32) -> u32 + Send + Sync>) -> Self {
        Self { choose }
    }
}

impl<T: Record> Router<T> for CustomRouter<T> {
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>) {
        let count = ports.len() as u32;
        let port = (self.choose)(&row, count);
        if port < count {
            ports.push(port as usize, row, timestamp);
        } else {
            ports.fail_with(TaskError::user(format!(
                "partition_custom chose partition {port}, there are {count}: 0 to {} are valid",
                count.saturating_sub(1)
            )));
        }
    }
}

/// Each row to all.
#[derive(Debug, Default)]
pub struct BroadcastRouter;

impl<T: Record> Router<T> for BroadcastRouter {
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>) {
        for port in 1..ports.len() {
            ports.push(port, row.clone(), timestamp);
        }
        ports.push(0, row, timestamp);
    }
}

/// All rows to the first (or only) port: forward and global.
#[derive(Debug, Default)]
pub struct FirstRouter;

impl<T: Record> Router<T> for FirstRouter {
    #[inline(always)]
    fn route(&mut self, row: T, timestamp: i64, ports: &mut Ports<T>) {
        ports.push(0, row, timestamp);
    }

    #[inline(always)]
    fn route_all(
        &mut self,
        rows: &mut impl ExactSizeIterator<Item = T>,
        timestamps: &[i64],
        ports: &mut Ports<T>,
    ) {
        ports.push_all(0, rows, timestamps);
    }
}

#[cfg(test)]
mod tests;
