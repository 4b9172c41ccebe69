//! What a subtask knows about itself and its surroundings.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flott_filesystem::FileSystems;
use flott_model::{Epoch, ExecutionAttemptId, OperatorUid, VertexId};
use flott_network::Waker;

use crate::TaskClock;
use crate::blame::Site;

/// Given to every factory when a subtask is built.
#[derive(Clone)]
pub struct SubtaskContext {
    /// The operator being built: the last of `names`.
    pub operator: OperatorIdentity,
    /// The names of the operators that are built as one (a fused run), in order.
    pub names: Arc<[String]>,
    /// Processing time.
    pub clock: TaskClock,
    /// Whether the job runs in BATCH mode: final results only.
    pub batch_mode: bool,
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

/// Which operator something belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorIdentity {
    /// Its name, for people.
    pub name: String,
    /// Its stable identity.
    pub uid: OperatorUid,
    /// Position of its node in the program's graph.
    pub node: u32,
}

impl SubtaskContext {
    /// For messages about the operators being built.
    pub fn site(&self) -> Site {
        Site::new(Arc::clone(&self.names))
    }

    /// A context for tests of single operators: subtask 0 of 1, a manual clock at 0.
    #[doc(hidden)]
    pub fn for_tests(operator: &str) -> Self {
        let runtime = tokio::runtime::Handle::try_current().ok();
        Self {
            operator: OperatorIdentity {
                name: operator.to_owned(),
                uid: OperatorUid(1),
                node: 0,
            },
            names: [operator.to_owned()].into(),
            clock: TaskClock::manual(0),
            batch_mode: false,
            attempt: ExecutionAttemptId {
                epoch: Epoch(1),
                vertex: VertexId(0),
                subtask: 0,
                attempt: 0,
            },
            task_name: format!("{operator} (1/1)"),
            subtask: 0,
            parallelism: 1,
            max_parallelism: 128,
            waker: Waker::default(),
            io: runtime.unwrap_or_else(test_runtime),
            files: Arc::new(FileSystems::local()),
            committables: Committables::default(),
            counters: Arc::default(),
        }
    }
}

/// For tests outside a runtime: one for the whole process.
fn test_runtime() -> tokio::runtime::Handle {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system has a thread left")
    });
    runtime.handle().clone()
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
