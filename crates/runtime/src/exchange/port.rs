//! One target of an exchange: an open batch on its way to a local ring, an open frame of encoded
//! rows on its way to another process, or a part of a partition on disk.

use flott_network::{
    Batch, Control, DataFrame, LocalSender, Message, NO_TIMESTAMP, QueueGauge, RemoteSender,
    batch_rows,
};
use flott_operators::TaskError;
use flott_record::{Record, codec};

use super::{OutputHalf, PartitionOutput, unbox};

/// Bytes of a full frame.
const FRAME_BYTES: usize = 32 * 1024;
/// Memory of all open and queued batches of one exchange inside a process.
const EXCHANGE_BYTES: usize = 64 << 20;

/// One target of an exchange.
pub enum OutputPort<T> {
    /// A task of this process.
    Local {
        /// The ring.
        sender: LocalSender<T>,
        /// Rows not sent yet.
        open: Batch<T>,
    },
    /// A task of another process.
    Remote {
        /// The channel.
        sender: RemoteSender,
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
    /// What ports of a blocking edge are parts of.
    partition: Option<Box<PartitionOutput>>,
    /// Rows of a full local batch.
    capacity: usize,
    failed: Option<TaskError>,
    /// A port had no room for what it was sent.
    full: bool,
    records_out: u64,
    buffers_out: u64,
}

impl<T: Record> Ports<T> {
    /// The ports for these halves.
    pub fn new(halves: Vec<OutputHalf>) -> Self {
        let capacity = batch_capacity::<T>(halves.len());
        let mut ports = Vec::with_capacity(halves.len());
        let mut partition = None;
        for half in halves {
            match half {
                OutputHalf::Local(boxed) => {
                    let mut sender: LocalSender<T> = unbox(boxed);
                    let open = sender.buffer(capacity);
                    ports.push(OutputPort::Local { sender, open });
                }
                OutputHalf::Remote(mut sender) => {
                    let open = sender.buffer();
                    ports.push(OutputPort::Remote {
                        sender,
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
        Self {
            ports,
            partition,
            capacity,
            failed: None,
            full: false,
            records_out: 0,
            buffers_out: 0,
        }
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
        match &mut self.ports[port] {
            OutputPort::Local { open, .. } => {
                open.push(row, timestamp);
                if let Some(hash) = hash {
                    open.hashes.push(hash);
                }
                if open.len() >= self.capacity {
                    self.ship(port);
                }
            }
            OutputPort::Remote { .. } => self.encode(port, row, timestamp),
            OutputPort::Partition { sub_partition } => {
                let sub_partition = *sub_partition;
                self.store(sub_partition, &row, timestamp, hash);
            }
        }
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
            OutputPort::Local { sender, open } => {
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
                self.full |= !sender.settle();
            }
            OutputPort::Remote {
                sender,
                open,
                rows,
                timed,
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
                self.full |= !sender.settle().unwrap_or(true);
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

/// Rows of a full batch: smaller when there are many channels, so that memory stays bounded
/// (about `channels²` of them in an all-to-all exchange, four batches each).
fn batch_capacity<T>(channels: usize) -> usize {
    // A row and the hash of its key.
    let size = size_of::<T>() + size_of::<u64>();
    let bytes = (EXCHANGE_BYTES / (4 * channels.max(1) * channels.max(1))).clamp(512, 16 * 1024);
    (bytes / size).clamp(8, batch_rows::<T>())
}
