//! One target of an exchange: an open batch on its way to a local ring, an open frame of encoded
//! rows on its way to another process, or a part of a partition on disk.

mod overtake;

use flott_model::CheckpointId;
use flott_network::{
    Batch, Control, DataFrame, LocalSender, Message, NO_TIMESTAMP, QueueGauge, RemoteSender,
    batch_rows,
};
use flott_operators::checkpoint::ChannelEnd;
use flott_operators::keyed::KeySelector;
use flott_operators::{Checkpoints, TaskError};
use flott_record::hash::stable_hash;
use flott_record::{Record, codec};

use super::scatter::{Owners, Stage};
use super::{OutputHalf, PartitionOutput, unbox};

/// Bytes of a full frame.
const FRAME_BYTES: usize = 32 * 1024;
/// Memory of all open and queued batches of one exchange inside a process.
const EXCHANGE_BYTES: usize = 64 << 20;

/// To look at every row for every port is quick for so many ports.
const FEW_PORTS: usize = 8;

/// One target of an exchange.
pub enum OutputPort<T> {
    /// A task of this process.
    Local {
        /// The ring.
        sender: LocalSender<T>,
        /// Whose channel it is.
        end: ChannelEnd,
    },
    /// A task of another process.
    Remote {
        /// The channel.
        sender: RemoteSender,
        /// Whose channel it is.
        end: ChannelEnd,
        /// Rows not sent yet, encoded.
        open: Vec<u8>,
        /// How many.
        rows: u32,
        /// Whether each is preceded by its event time.
        timed: bool,
    },
    /// Part of the partition.
    Partition {
        /// The first of its sub-partitions.
        sub_partition: u32,
    },
}

/// All targets of an exchange, as one subtask of the source sees them.
pub struct Ports<T> {
    ports: Vec<OutputPort<T>>,
    /// For each port, the rows for a task of this process that are not sent yet.
    open: Vec<Batch<T>>,
    /// All ports lead to tasks of this process.
    all_local: bool,
    stage: Stage<T>,
    /// What ports of a blocking edge are parts of.
    partition: Option<Box<PartitionOutput>>,
    /// Rows of a full local batch.
    capacity: usize,
    failed: Option<TaskError>,
    /// A port had no room for what it was sent.
    full: bool,
    checkpoints: Checkpoints,
    /// The newest checkpoint whose barrier was hurried here.
    hurried: CheckpointId,
    records_out: u64,
    buffers_out: u64,
}

impl<T: Record> Ports<T> {
    /// The ports for these halves.
    pub fn new(halves: Vec<OutputHalf>) -> Self {
        let capacity = batch_capacity::<T>(halves.len());
        let mut ports = Vec::with_capacity(halves.len());
        let mut open_batches = Vec::with_capacity(halves.len());
        let mut partition = None;
        for half in halves {
            match half {
                OutputHalf::Local(boxed, end) => {
                    let mut sender: LocalSender<T> = unbox(boxed);
                    open_batches.push(sender.buffer(capacity));
                    ports.push(OutputPort::Local { sender, end });
                }
                OutputHalf::Remote(mut sender, end) => {
                    let open = sender.buffer();
                    open_batches.push(Batch::default());
                    ports.push(OutputPort::Remote {
                        sender,
                        end,
                        open,
                        rows: 0,
                        timed: false,
                    });
                }
                OutputHalf::Partition(output) => {
                    let parts = output.ports().iter();
                    ports.extend(parts.map(|part| OutputPort::Partition {
                        sub_partition: *part,
                    }));
                    partition = Some(output);
                }
            }
        }
        let is_local = |port: &OutputPort<T>| matches!(port, OutputPort::Local { .. });
        Self {
            all_local: ports.iter().all(is_local),
            ports,
            open: open_batches,
            stage: Stage::default(),
            partition,
            capacity,
            failed: None,
            full: false,
            checkpoints: Checkpoints::default(),
            hurried: CheckpointId(0),
            records_out: 0,
            buffers_out: 0,
        }
    }

    /// What barriers overtake goes into these checkpoints of the task.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Gives a row to a port.
    #[inline(always)]
    pub fn push(&mut self, port: usize, row: T, timestamp: i64) {
        self.put(port, row, timestamp, None);
    }

    /// Gives a row to a port, with the hash of its key for a local reader.
    #[inline(always)]
    pub fn push_hashed(&mut self, port: usize, row: T, timestamp: i64, hash: u64) {
        self.put(port, row, timestamp, Some(hash));
    }

    #[inline(always)]
    fn put(&mut self, port: usize, row: T, timestamp: i64, hash: Option<u64>) {
        if self.all_local {
            return self.put_local(port, row, timestamp, hash);
        }
        match &mut self.ports[port] {
            OutputPort::Local { .. } => self.put_local(port, row, timestamp, hash),
            OutputPort::Remote { .. } => self.encode(port, row, timestamp),
            OutputPort::Partition { sub_partition } => {
                let sub_partition = *sub_partition;
                self.store(sub_partition, &row, timestamp, hash);
            }
        }
    }

    #[inline(always)]
    fn put_local(&mut self, port: usize, row: T, timestamp: i64, hash: Option<u64>) {
        let open = &mut self.open[port];
        open.push(row, timestamp);
        if let Some(hash) = hash {
            open.hashes.push(hash);
        }
        if open.len() >= self.capacity {
            self.ship(port);
        }
    }

    /// Gives rows to one port, as long as none fails. `timestamps` is empty, or has one for each.
    #[inline(always)]
    pub fn push_all(
        &mut self,
        port: usize,
        rows: &mut impl ExactSizeIterator<Item = T>,
        timestamps: &[i64],
    ) {
        if !matches!(self.ports[port], OutputPort::Local { .. }) {
            let mut times = timestamps.iter();
            for row in rows.by_ref() {
                self.push(port, row, next_time(&mut times));
                if self.has_failed() {
                    return;
                }
            }
            return;
        }
        let mut later = timestamps;
        while rows.len() > 0 {
            let open = &mut self.open[port];
            let room = self.capacity.saturating_sub(open.len()).max(1);
            let now;
            (now, later) = later.split_at(room.min(later.len()));
            open.extend(room.min(rows.len()), rows, now);
            if open.len() >= self.capacity {
                self.ship(port);
            }
        }
    }

    /// Gives rows to the owners of their keys, as long as none fails. `timestamps` is empty, or has one
    /// for each.
    ///
    /// In two loops: the first makes rows and hashes, with nothing in the way of what the processor
    /// can do at the same time; the second has only rows to move.
    #[inline(always)]
    pub(super) fn scatter<S: KeySelector<T>>(
        &mut self,
        rows: &mut impl ExactSizeIterator<Item = T>,
        timestamps: &[i64],
        selector: &S,
        owners: &Owners,
    ) {
        if !self.all_local {
            let mut times = timestamps.iter();
            for row in rows.by_ref() {
                let hash = selector.with(&row, stable_hash);
                self.push_hashed(owners.port_of(hash), row, next_time(&mut times), hash);
                if self.has_failed() {
                    return;
                }
            }
            return;
        }
        let mut later = timestamps;
        let mut stage = std::mem::take(&mut self.stage);
        while rows.len() > 0 {
            stage.fill(rows, selector);
            let now;
            (now, later) = later.split_at(stage.rows.len().min(later.len()));
            self.distribute(&mut stage, now, owners);
        }
        self.stage = stage;
    }

    #[inline(never)]
    fn distribute(&mut self, stage: &mut Stage<T>, timestamps: &[i64], owners: &Owners) {
        if Stage::<T>::IS_PLAIN && self.ports.len() <= FEW_PORTS {
            return self.distribute_plain(stage, timestamps, owners);
        }
        let hashed = stage.rows.drain(..).zip(&stage.hashes);
        if timestamps.is_empty() {
            for (row, hash) in hashed {
                self.put_local(owners.port_of(*hash), row, NO_TIMESTAMP, Some(*hash));
            }
        } else {
            for ((row, hash), time) in hashed.zip(timestamps) {
                self.put_local(owners.port_of(*hash), row, *time, Some(*hash));
            }
        }
    }

    /// Port by port: to append to one buffer after the other, row by row, is to wait each time for the
    /// length that was just written.
    fn distribute_plain(&mut self, stage: &mut Stage<T>, timestamps: &[i64], owners: &Owners) {
        for port in 0..self.ports.len() {
            let count = stage.select(owners.hashes_of(port));
            let mut from = 0;
            while from < count {
                let open = &mut self.open[port];
                let room = self.capacity.saturating_sub(open.len()).max(1);
                let now = from..count.min(from + room);
                from = now.end;
                stage.copy(now, timestamps, open);
                if open.len() >= self.capacity {
                    self.ship(port);
                }
            }
        }
        stage.rows.clear();
    }

    #[inline]
    fn store(&mut self, sub_partition: u32, row: &T, timestamp: i64, hash: Option<u64>) {
        let Some(partition) = &mut self.partition else {
            return;
        };
        match partition.put(sub_partition, row, timestamp, hash) {
            Ok(()) => {
                self.records_out += 1;
                self.full |= partition.is_full();
            }
            Err(error) => self.fail(&error),
        }
    }

    #[inline]
    fn encode(&mut self, port: usize, row: T, timestamp: i64) {
        if timestamp != NO_TIMESTAMP {
            self.begin_timed(port);
        }
        let OutputPort::Remote {
            open, rows, timed, ..
        } = &mut self.ports[port]
        else {
            return;
        };
        if *timed {
            open.extend_from_slice(&timestamp.to_le_bytes());
        }
        if let Err(error) = codec::encode(&row, open) {
            self.fail(&error);
            return;
        }
        *rows += 1;
        if open.len() >= FRAME_BYTES {
            self.ship(port);
        }
    }

    /// The rows of a frame have event times all or none.
    #[inline]
    fn begin_timed(&mut self, port: usize) {
        if let OutputPort::Remote {
            rows, timed: false, ..
        } = &self.ports[port]
        {
            if *rows > 0 {
                self.ship(port);
            }
            if let OutputPort::Remote { timed, .. } = &mut self.ports[port] {
                *timed = true;
            }
        }
    }

    #[cold]
    fn fail(&mut self, error: &codec::CodecError) {
        self.fail_with(TaskError::user(format!(
            "a record cannot be serialized: {error}"
        )));
    }

    #[inline(never)]
    fn ship(&mut self, port: usize) {
        match &mut self.ports[port] {
            OutputPort::Local { sender, .. } => {
                let open = &mut self.open[port];
                if open.is_empty() {
                    return;
                }
                self.records_out += open.len() as u64;
                self.buffers_out += 1;
                let mut empty = sender.buffer(self.capacity);
                if !open.hashes.is_empty() {
                    // Growing step by step would end at up to twice as much.
                    empty.hashes.reserve_exact(self.capacity);
                }
                sender.send(Message::Rows(std::mem::replace(open, empty)));
                if !sender.settle() {
                    self.full |= sender.overdraft() > self.checkpoints.allowed_overdraft();
                }
            }
            OutputPort::Remote {
                sender,
                open,
                rows,
                timed,
                ..
            } => {
                if *rows == 0 {
                    return;
                }
                self.records_out += u64::from(*rows);
                self.buffers_out += 1;
                let payload = std::mem::replace(open, sender.buffer());
                sender.send(DataFrame {
                    payload,
                    rows: *rows,
                    has_timestamps: *timed,
                });
                *rows = 0;
                *timed = false;
                // A broken connection is told by the next `settle` of the task.
                if !sender.settle().unwrap_or(true) {
                    self.full |= sender.waiting() > self.checkpoints.allowed_overdraft();
                }
            }
            // Goes to disk when its memory is full, and at the end.
            OutputPort::Partition { .. } => (),
        }
    }

    /// The first error of encoding, if any.
    pub fn check(&mut self) -> Result<(), TaskError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Sends everything that is open.
    pub fn flush(&mut self) -> Result<(), TaskError> {
        for port in 0..self.ports.len() {
            self.ship(port);
        }
        self.check()
    }

    /// Sends a control element to every port, behind all rows. A partition has none but its end,
    /// and ranges of keys are a matter of one task.
    pub fn control(&mut self, control: Control) -> Result<(), TaskError> {
        if control == Control::KeysEnd {
            return self.check();
        }
        self.flush()?;
        if let Control::Barrier(barrier) = control
            && self.is_urgent(barrier)
        {
            self.overtake(barrier);
            return Ok(());
        }
        for port in &mut self.ports {
            match port {
                OutputPort::Local { sender, .. } => sender.send(Message::Control(control)),
                OutputPort::Remote { sender, .. } => sender.control(control),
                OutputPort::Partition { .. } => (),
            }
        }
        match &mut self.partition {
            Some(partition) if control == Control::End => partition.end(),
            _ => Ok(()),
        }
    }

    /// Whether every port has room.
    pub fn settle(&mut self) -> Result<bool, TaskError> {
        let mut room = true;
        for port in &mut self.ports {
            room &= match port {
                OutputPort::Local { sender, .. } => sender.settle(),
                OutputPort::Remote { sender, .. } => sender
                    .settle()
                    .map_err(|error| TaskError::transient(format!("sending failed: {error}")))?,
                OutputPort::Partition { .. } => true,
            };
        }
        if !room {
            room = self.settle_overdraft();
        }
        if let Some(partition) = &mut self.partition {
            room &= partition.settle()?;
        }
        self.full = !room;
        Ok(room)
    }

    /// Whether a port had no room at the last look: who can stop in the middle should.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Keeps the first error; nothing more is wanted after it.
    #[cold]
    pub fn fail_with(&mut self, error: TaskError) {
        self.failed.get_or_insert(error);
        self.full = true;
    }

    /// Whether an error waits for [`Ports::check`].
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Rows sent since the last call.
    pub fn take_records_out(&mut self) -> u64 {
        std::mem::take(&mut self.records_out)
    }

    /// Tell what waits in the channels.
    pub fn gauges(&self) -> impl Iterator<Item = QueueGauge> {
        self.ports.iter().filter_map(|port| match port {
            OutputPort::Local { sender, .. } => Some(sender.gauge()),
            OutputPort::Remote { sender, .. } => Some(sender.gauge()),
            OutputPort::Partition { .. } => None,
        })
    }

    /// Batches and frames sent since the last call.
    pub fn take_buffers_out(&mut self) -> u64 {
        std::mem::take(&mut self.buffers_out)
    }

    /// Bytes of rows sent over the network, or to disk, so far.
    pub fn bytes_out(&self) -> u64 {
        let sent: u64 = self
            .ports
            .iter()
            .map(|port| match port {
                OutputPort::Local { .. } | OutputPort::Partition { .. } => 0,
                OutputPort::Remote { sender, .. } => sender.bytes_sent(),
            })
            .sum();
        let partition = self.partition.as_ref();
        sent + partition.map_or(0, |partition| partition.bytes_out())
    }
}

fn next_time(timestamps: &mut std::slice::Iter<'_, i64>) -> i64 {
    timestamps.next().copied().unwrap_or(NO_TIMESTAMP)
}

/// Rows of a full batch: smaller when there are many channels, so that memory stays bounded
/// (about `channels²` of them in an all-to-all exchange, four batches each).
fn batch_capacity<T>(channels: usize) -> usize {
    // A row and the hash of its key.
    let size = size_of::<T>() + size_of::<u64>();
    let bytes = (EXCHANGE_BYTES / (4 * channels.max(1) * channels.max(1))).clamp(512, 16 * 1024);
    (bytes / size).clamp(8, batch_rows::<T>())
}
