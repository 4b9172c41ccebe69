//! What a subtask knows about itself and its surroundings.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_metrics::accumulators::Accumulators;
use flott_metrics::{MetricGroup, MetricRegistry};
use flott_model::{Epoch, ExecutionAttemptId, OperatorUid, VertexId};
use flott_network::{QueueGauge, QueueLoad, Waker};
use flott_record::Record;
use flott_state::cold::{ColdBackend, ColdCounts, OperatorTiers, TieredTable};

use crate::TaskClock;
use crate::blame::Site;
use crate::checkpoint::{Checkpoints, OperatorCheckpoints};
use crate::flow::Flow;
use crate::pipe::RunCounts;
use crate::results::ResultPort;
use crate::source::Coordination;

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
    /// Where state is kept that does not fit into memory; `None`: all of it is in memory.
    pub cold: Option<ColdBackend>,
    /// When to take a snapshot, where it goes, and what the subtask begins from.
    pub checkpoint: Checkpoints,
    /// Counters of the task.
    pub counters: Arc<TaskCounters>,
    /// Where the operator adds metrics of its own.
    pub metrics: MetricGroup,
    /// To the enumerator of the source.
    pub coordination: Coordination,
    /// To the program, which collects records.
    pub results: ResultPort,
    /// What the job's subtasks add up.
    pub accumulators: Accumulators,
    /// What the operator emits, counted.
    pub flow: Arc<Flow>,
    /// What the operators of a fused run take and give.
    pub run: Arc<RunCounts>,
    /// How often sources send latency markers; `None`: never.
    pub latency_interval: Option<Duration>,
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

    /// The checkpoints of the operator being built.
    pub fn checkpoints(&self) -> OperatorCheckpoints {
        self.checkpoint.of(self.operator.uid, self.max_parallelism)
    }

    /// Where the operator being built keeps state that does not fit into memory, with its metrics.
    /// BATCH keeps all state in memory: it has the keys of one range at a time.
    pub(crate) fn tiers(&self) -> Option<OperatorTiers> {
        let cold = self.cold.as_ref().filter(|_| !self.batch_mode)?;
        let attempt = self.attempt;
        let name = format!("{attempt}-{}", self.operator.uid);
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        let tiers = cold.tiers(&name, self.max_parallelism);
        let group = self.metrics.add_group("rocksdb");
        let counts: [(&str, fn(&ColdCounts) -> &AtomicU64); 4] = [
            ("coldRows", |counts| &counts.cold),
            ("evictedRows", |counts| &counts.evicted),
            ("loadedRows", |counts| &counts.loaded),
            ("askedRows", |counts| &counts.asked),
        ];
        for (name, count) in counts {
            let counts = Arc::clone(tiers.counts());
            let read = move || count(&counts).load(Ordering::Relaxed).cast_signed();
            group.gauge_with(name, read);
        }
        Some(tiers)
    }

    /// A table of the operator being built.
    pub(crate) fn table<K: Record + Eq, V: Record>(&self, name: &str) -> TieredTable<K, V> {
        let tiers = self.tiers().map(|tiers| tiers.table(name));
        tiers.unwrap_or_default()
    }

    /// The same, with state of which nothing stays in memory between two batches, so to say.
    #[doc(hidden)]
    #[must_use]
    pub fn with_cold_state_for_tests(mut self) -> Self {
        let stores = Arc::new(flott_state::cold::MemoryStores);
        let pool = flott_state::cold::HotPool::new(100);
        self.cold = Some(ColdBackend::new(stores, pool, "nowhere".into()));
        self
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
            cold: None,
            checkpoint: Checkpoints::default(),
            counters: Arc::default(),
            metrics: MetricRegistry::new().operator(operator),
            coordination: Coordination::default(),
            results: ResultPort::default(),
            accumulators: Accumulators::default(),
            flow: Arc::default(),
            run: Arc::default(),
            latency_interval: None,
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

/// What a task does with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It works, or waits for a thread to work on.
    Busy,
    /// It waits for input.
    Idle,
    /// It waits for room downstream.
    Backpressured,
}

/// The channels on one side of a task, for whoever wants to know how full they are.
#[derive(Debug, Default)]
pub struct Queues(
    // A std mutex: held when a task is built, and when a reporter looks.
    Mutex<Vec<QueueGauge>>,
);

impl Queues {
    /// Adds channels.
    pub fn watch(&self, channels: impl IntoIterator<Item = QueueGauge>) {
        self.lock().extend(channels);
    }

    /// What waits in all of them.
    pub fn load(&self) -> QueueLoad {
        let mut all = QueueLoad::default();
        self.lock().iter().for_each(|one| all += one.load());
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<QueueGauge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long after their event time a source emitted its last records.
#[derive(Debug)]
pub struct EmitLag(AtomicI64);

impl Default for EmitLag {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl EmitLag {
    /// A record of that event time was emitted at `now`, both in milliseconds since the epoch.
    #[inline]
    pub fn emitted(&self, event_time: i64, now: i64) {
        self.0
            .store(now.saturating_sub(event_time), Ordering::Relaxed);
    }

    /// In milliseconds; `None` before the first record with event time.
    pub fn millis(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|lag| *lag != i64::MIN)
    }
}

/// Counters of a task: written by its thread once per batch, read by the reporter.
#[derive(Debug)]
pub struct TaskCounters {
    /// numRecordsIn.
    pub records_in: AtomicU64,
    /// numRecordsOut.
    pub records_out: AtomicU64,
    /// numBytesIn over the network.
    pub bytes_in: AtomicU64,
    /// numBytesOut over the network.
    pub bytes_out: AtomicU64,
    /// Batches from tasks of the same process.
    pub buffers_in_local: AtomicU64,
    /// Frames from other processes.
    pub buffers_in_remote: AtomicU64,
    /// Batches and frames sent.
    pub buffers_out: AtomicU64,
    /// The channels into the task.
    pub inputs: Queues,
    /// Those out of it.
    pub outputs: Queues,
    /// What goes into the head of the task.
    pub input: Flow,
    /// The watermarks of the two inputs of a head that has two.
    pub input_watermarks: [AtomicI64; 2],
    /// How far a source is behind its records.
    pub emit_lag: EmitLag,
    /// Time spent, in nanoseconds, by [`Doing`].
    spent_ns: [AtomicU64; 3],
    /// Since when the task does what it does now, in nanoseconds since `base`, times 4, plus the [`Doing`].
    now: AtomicU64,
    base: Instant,
    /// Counters of its writers, each of which counts what it sends in its own.
    // A std mutex: held to add a writer, and for a sum when a reporter reads.
    writers: Mutex<Vec<Arc<TaskCounters>>>,
}

impl Default for TaskCounters {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl TaskCounters {
    /// Nothing has happened; the task is idle. Latency markers are told by these ids of their sources, by vertex.
    pub fn new(sources: Arc<[String]>) -> Self {
        Self {
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            buffers_in_local: AtomicU64::new(0),
            buffers_in_remote: AtomicU64::new(0),
            buffers_out: AtomicU64::new(0),
            inputs: Queues::default(),
            outputs: Queues::default(),
            input: Flow::new(sources),
            input_watermarks: [const { AtomicI64::new(i64::MIN) }; 2],
            emit_lag: EmitLag::default(),
            spent_ns: Default::default(),
            now: AtomicU64::new(Doing::Idle as u64),
            base: Instant::now(),
            writers: Mutex::default(),
        }
    }

    /// From `at` on the task does that; called by its thread only.
    #[inline]
    pub fn does(&self, what: Doing, at: Instant) {
        let at = nanos(at.saturating_duration_since(self.base));
        let before = self.now.swap(at << 2 | what as u64, Ordering::Relaxed);
        if let Some(spent) = self.spent_ns.get((before & 3) as usize) {
            Self::add(spent, at.saturating_sub(before >> 2));
        }
    }

    /// Time spent doing that, what it does now included.
    pub fn time(&self, what: Doing) -> Duration {
        let spent = self.spent_ns[what as usize].load(Ordering::Relaxed);
        let now = self.now.load(Ordering::Relaxed);
        let running = if now & 3 == what as u64 {
            nanos(self.base.elapsed()).saturating_sub(now >> 2)
        } else {
            0
        };
        Duration::from_nanos(spent + running)
    }

    /// What it does now.
    pub fn doing(&self) -> Doing {
        match self.now.load(Ordering::Relaxed) & 3 {
            0 => Doing::Busy,
            1 => Doing::Idle,
            _ => Doing::Backpressured,
        }
    }

    /// Since when it has been waiting for input; zero if it does something else.
    pub fn idle_for(&self) -> Duration {
        let now = self.now.load(Ordering::Relaxed);
        if now & 3 != Doing::Idle as u64 {
            return Duration::ZERO;
        }
        Duration::from_nanos(nanos(self.base.elapsed()).saturating_sub(now >> 2))
    }

    /// Counters for one more writer of the task.
    pub fn add_writer(&self) -> Arc<Self> {
        let writer = Arc::<Self>::default();
        self.writers().push(Arc::clone(&writer));
        writer
    }

    /// A counter of the task and of all its writers.
    pub fn sum(&self, counter: impl Fn(&Self) -> &AtomicU64) -> u64 {
        let own = counter(self).load(Ordering::Relaxed);
        let writers = self.writers();
        let writers = writers.iter().map(|writer| counter(writer));
        own + writers.map(|one| one.load(Ordering::Relaxed)).sum::<u64>()
    }

    /// What waits on one side of the task and of all its writers.
    pub fn queued(&self, side: impl Fn(&Self) -> &Queues) -> QueueLoad {
        let mut all = side(self).load();
        let writers = self.writers();
        writers.iter().for_each(|one| all += side(one).load());
        all
    }

    fn writers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Self>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a counter that only the calling thread writes.
    #[inline]
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
    }
}

/// Fits in 62 bits for 146 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use flott_network::{Barrier, Control, Message, local_channel};

    use super::*;

    #[test]
    fn time_is_spent_on_one_thing_after_the_other() {
        let counters = TaskCounters::default();
        let at = |ms| counters.base + Duration::from_millis(ms);
        counters.does(Doing::Busy, at(100));
        assert_eq!(counters.idle_for(), Duration::ZERO);
        counters.does(Doing::Backpressured, at(150));
        counters.does(Doing::Busy, at(450));
        assert_eq!(counters.doing(), Doing::Busy);
        counters.does(Doing::Idle, at(1_000_000));
        let spent = |what| counters.time(what).as_millis();
        assert_eq!(spent(Doing::Busy), 50 + 999_550);
        assert_eq!(spent(Doing::Backpressured), 300);
        // Idle since a time that has not come.
        assert_eq!(spent(Doing::Idle), 100);
    }

    #[test]
    fn what_a_task_does_now_counts() {
        let counters = TaskCounters::default();
        let long_ago = Duration::from_secs(3600);
        let counters = TaskCounters {
            base: counters.base.checked_sub(long_ago).unwrap(),
            ..counters
        };
        assert!(counters.time(Doing::Idle) >= long_ago);
        assert!(counters.idle_for() >= long_ago);
        assert_eq!(counters.time(Doing::Busy), Duration::ZERO);
    }

    #[test]
    fn channels_of_all_writers_are_one_pool() {
        let counters = TaskCounters::default();
        let told = |side: fn(&TaskCounters) -> &Queues| {
            let load = counters.queued(side);
            (load.buffers, load.room().usage())
        };
        assert_eq!(told(|one| &one.outputs), (0, 0.0));
        let mut channels = Vec::new();
        for messages in [1, 5] {
            let (mut sender, receiver) =
                local_channel::<u64>(4, Waker::default(), Waker::default());
            for _ in 0..messages {
                sender.send(Message::Control(Control::Barrier(Barrier::for_tests(1))));
            }
            counters.add_writer().outputs.watch([sender.gauge()]);
            counters.inputs.watch([receiver.gauge()]);
            channels.push((sender, receiver));
        }
        assert_eq!(told(|one| &one.outputs), (6, 0.75));
        assert_eq!(told(|one| &one.inputs), (5, 0.625));
    }

    #[test]
    fn writers_count_for_their_task() {
        let counters = TaskCounters::default();
        for rows in [3, 4] {
            TaskCounters::add(&counters.add_writer().records_out, rows);
        }
        assert_eq!(counters.sum(|one| &one.records_out), 7);
        assert_eq!(counters.sum(|one| &one.records_in), 0);
    }
}
