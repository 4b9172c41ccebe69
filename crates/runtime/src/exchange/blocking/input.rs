//! The receiving end of a blocking exchange: what one subtask reads of an edge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use flott_model::ExecutionAttemptId;
use flott_network::partition::{PartitionMessage, PartitionReader};
use flott_network::{Control, DataFrame};
use flott_operators::TaskError;

use super::output::task_error;

/// By consumer, the producers whose partitions it could not get. Clones share them: the task finds
/// out, the worker reports.
#[derive(Debug, Clone, Default)]
pub struct MissingPartitions(
    // A std mutex: locked when a task fails or ends, never across an await.
    Arc<Mutex<BTreeMap<ExecutionAttemptId, BTreeSet<ExecutionAttemptId>>>>,
);

impl MissingPartitions {
    fn add(&self, consumer: ExecutionAttemptId, producers: BTreeSet<ExecutionAttemptId>) {
        let mut missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        missing.entry(consumer).or_default().extend(producers);
    }

    /// Takes those of a consumer.
    pub fn take(&self, consumer: ExecutionAttemptId) -> BTreeSet<ExecutionAttemptId> {
        let mut missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        missing.remove(&consumer).unwrap_or_default()
    }
}

/// The partitions of one edge, as one subtask reads them.
pub struct PartitionInput {
    reader: PartitionReader,
    keyed: bool,
    consumer: ExecutionAttemptId,
    missing: MissingPartitions,
}

/// What a look at the partitions found.
pub(in super::super) enum PartitionEvent {
    Rows(DataFrame),
    Control(Control),
}

impl PartitionInput {
    /// Reads what that reader gives. `keyed`: a sub-partition has all rows of its keys.
    pub fn new(
        reader: PartitionReader,
        keyed: bool,
        consumer: ExecutionAttemptId,
        missing: MissingPartitions,
    ) -> Self {
        Self {
            reader,
            keyed,
            consumer,
            missing,
        }
    }

    pub(in super::super) fn is_keyed(&self) -> bool {
        self.keyed
    }

    /// What is there: rows, the end of a range of keys, the end of all.
    pub(in super::super) fn receive(&mut self) -> Result<Option<PartitionEvent>, TaskError> {
        loop {
            let message = match self.reader.receive() {
                Ok(message) => message,
                Err(error) => {
                    let producers = self.reader.missing(&error);
                    self.missing.add(self.consumer, producers);
                    return Err(task_error(&error));
                }
            };
            return Ok(match message {
                None => None,
                Some(PartitionMessage::Rows(frame)) => Some(PartitionEvent::Rows(frame)),
                Some(PartitionMessage::EndOfSubPartition(_)) if self.keyed => {
                    Some(PartitionEvent::Control(Control::KeysEnd))
                }
                // Of interest to nobody: no key ends with it.
                Some(PartitionMessage::EndOfSubPartition(_)) => continue,
                Some(PartitionMessage::End) => Some(PartitionEvent::Control(Control::End)),
            });
        }
    }
}
