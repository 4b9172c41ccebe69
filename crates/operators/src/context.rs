//! What a subtask knows about itself and its surroundings.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flott_filesystem::FileSystems;
use flott_model::ExecutionAttemptId;
use flott_network::Waker;

/// Given to every factory when a subtask is built.
#[derive(Clone)]
pub struct SubtaskContext {
    /// The attempt.
    pub attempt: ExecutionAttemptId,
    /// `name (2/4)`.
    pub task_name: String,
    /// Index of the subtask, from 0.
    pub subtask: u32,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Wakes the task, e.g. from asynchronous I/O.
    pub waker: Waker,
    /// Where asynchronous I/O runs.
    pub io: tokio::runtime::Handle,
    /// File systems by URI.
    pub files: Arc<FileSystems>,
    /// What sinks want committed when the job is done.
    pub committables: Committables,
    /// Counters of the task.
    pub counters: Arc<TaskCounters>,
}

/// Collects the committables of a subtask's sinks until the task ends.
#[derive(Clone, Default)]
pub struct Committables(
    // A std mutex: locked a few times in the life of a task, never across an await.
    Arc<Mutex<Vec<(u32, Vec<u8>)>>>,
);

impl Committables {
    /// Adds one, of the operator at that position of the program's graph.
    pub fn add(&self, operator: u32, committable: Vec<u8>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((operator, committable));
    }

    /// Takes all.
    pub fn take(&self) -> Vec<(u32, Vec<u8>)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counters of a task: written by its thread once per batch, read by the reporter.
#[derive(Debug, Default)]
pub struct TaskCounters {
    /// numRecordsIn.
    pub records_in: AtomicU64,
    /// numRecordsOut.
    pub records_out: AtomicU64,
    /// numBytesIn over the network.
    pub bytes_in: AtomicU64,
    /// numBytesOut over the network.
    pub bytes_out: AtomicU64,
    /// Time in which the task processed, nanoseconds.
    pub busy_ns: AtomicU64,
    /// Time in which it waited for room downstream, nanoseconds.
    pub backpressured_ns: AtomicU64,
    /// Time in which it had nothing to do, nanoseconds.
    pub idle_ns: AtomicU64,
}

impl TaskCounters {
    /// Adds to a counter that only the calling thread writes.
    #[inline]
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
    }
}
