//! The sending end of a blocking exchange: rows are encoded straight into their sub-partition.

use flott_network::partition::{PartitionError, PartitionWriter};
use flott_operators::TaskError;
use flott_record::hash::key_group;
use flott_record::{Record, codec};

use super::PartitionLayout;

/// The partition that a subtask writes for one edge.
pub struct PartitionOutput {
    writer: PartitionWriter,
    /// The first sub-partition behind each port.
    ports: Vec<u32>,
    /// The sub-partition of each key group; empty if the edge is not keyed.
    by_group: Vec<u32>,
    ending: bool,
}

impl PartitionOutput {
    /// Of that producer.
    pub fn new(writer: PartitionWriter, layout: &PartitionLayout, producer: u32) -> Self {
        Self {
            writer,
            ports: layout.ports_of(producer),
            by_group: layout.by_group(),
            ending: false,
        }
    }

    pub(in super::super) fn ports(&self) -> &[u32] {
        &self.ports
    }

    /// Adds a row: by the hash of its key if that is known and matters, else as its port says.
    #[inline]
    pub(in super::super) fn put<T: Record>(
        &mut self,
        port: u32,
        row: &T,
        timestamp: i64,
        hash: Option<u64>,
    ) -> Result<(), codec::CodecError> {
        let sub_partition = match hash {
            Some(hash) if !self.by_group.is_empty() => {
                self.by_group[key_group(hash, self.by_group.len() as u32) as usize]
            }
            _ => port,
        };
        self.writer
            .row(sub_partition, timestamp, |out| codec::encode(row, out))
    }

    #[inline]
    pub(in super::super) fn is_full(&self) -> bool {
        self.writer.is_full()
    }

    /// No row follows: from now on `settle` is about the partition being finished.
    pub(in super::super) fn end(&mut self) -> Result<(), TaskError> {
        self.ending = true;
        self.settle().map(|_| ())
    }

    /// Whether there is room; at the end, whether the partition is where consumers look for it.
    pub(in super::super) fn settle(&mut self) -> Result<bool, TaskError> {
        let settled = if self.ending {
            self.writer.finish()
        } else {
            self.writer.settle()
        };
        settled.map_err(|error| task_error(&error))
    }

    pub(in super::super) fn bytes_out(&self) -> u64 {
        self.writer.bytes_taken()
    }
}

/// With its cause, which is what tells a full disk from a missing directory.
pub(super) fn task_error(error: &PartitionError) -> TaskError {
    let mut task_error = TaskError::transient(match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    });
    task_error.class = error.class();
    task_error
}
