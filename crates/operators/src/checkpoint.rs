//! What a subtask has to do with checkpoints: it is told when to begin one, its operators hand over
//! their state when the barrier passes, and begin from such state after a restore.

mod in_flight;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flott_model::{CheckpointId, EdgeId, OperatorUid};
use flott_network::Barrier;
use flott_state::{OperatorSnapshot, RestoredOperator, StateError};

pub use in_flight::{ChannelEnd, InFlight, Recovered};

use crate::TaskError;

/// What a task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointRequest {
    /// Begin: send this barrier behind the rows so far.
    Begin(Barrier),
    /// The checkpoint was given up: nobody waits for its barriers.
    Abort(CheckpointId),
}

/// The state of a subtask at a barrier, not encoded yet.
pub struct TaskSnapshot {
    /// The barrier.
    pub barrier: Barrier,
    /// By operator.
    pub operators: Vec<(OperatorUid, OperatorSnapshot)>,
    /// What sinks want committed: uid of the sink, encoded committable.
    pub committables: Vec<(OperatorUid, Vec<u8>)>,
    /// For a source: how many splits it has been given.
    pub splits_received: Option<u64>,
    /// What its barrier overtook in the channels of the task.
    pub in_flight: Vec<InFlight>,
    /// Bytes of what was processed between the first barrier and the last, if the barrier overtook it.
    pub processed_bytes: u64,
    /// The checkpoint was given up before all of it was there: nothing but the committables counts.
    pub given_up: bool,
    /// From the first barrier to the last.
    pub alignment: Duration,
    /// In which the task did nothing else.
    pub sync: Duration,
    /// From the trigger to the first barrier, in milliseconds.
    pub start_delay_ms: u64,
}

/// How long things took, as the task measured them.
#[derive(Debug, Clone, Copy, Default)]
pub struct BarrierTimes {
    /// See [`TaskSnapshot::alignment`].
    pub alignment: Duration,
    /// See [`TaskSnapshot::sync`].
    pub sync: Duration,
    /// See [`TaskSnapshot::start_delay_ms`].
    pub start_delay_ms: u64,
}

#[derive(Default)]
struct Collected {
    operators: Vec<(OperatorUid, OperatorSnapshot)>,
    committables: Vec<(OperatorUid, Vec<u8>)>,
    splits_received: Option<u64>,
    in_flight: Vec<InFlight>,
}

type Done = dyn Fn(TaskSnapshot) + Send + Sync;

/// The checkpoints of one subtask; clones are the same ones.
#[derive(Clone)]
pub struct Checkpoints(Arc<Shared>);

struct Shared {
    /// Whether there are requests: looked at in each poll.
    told: AtomicBool,
    // A std mutex: held for moments, a few times per checkpoint.
    requests: Mutex<VecDeque<CheckpointRequest>>,
    // The same.
    collected: Mutex<Collected>,
    done: Box<Done>,
    restored: BTreeMap<OperatorUid, RestoredOperator>,
    /// The subtask had finished before the restore.
    finished: bool,
    /// Channels go on after their barriers (`execution.checkpointing.mode: AT_LEAST_ONCE`).
    at_least_once: bool,
    // A std mutex: each edge takes its own once.
    recovered: Mutex<BTreeMap<EdgeId, Vec<Recovered>>>,
    /// Messages without room that each output of the task may have and be settled all the same. Set and
    /// read by the task's own thread.
    overdraft: AtomicUsize,
    /// The newest checkpoint whose barrier waits no longer in the outputs. The same.
    hurried: AtomicU64,
}

impl Default for Checkpoints {
    /// A subtask of which nobody wants checkpoints.
    fn default() -> Self {
        Self::new(CheckpointSettings::default(), |_| {})
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

/// How a subtask begins, and how it takes checkpoints.
#[derive(Default)]
pub struct CheckpointSettings {
    /// The state that operators begin from; those that are not named begin without.
    pub restored: BTreeMap<OperatorUid, RestoredOperator>,
    /// The subtask had finished in the checkpoint that the job is restored from.
    pub finished: bool,
    /// Channels go on after their barriers.
    pub at_least_once: bool,
    /// What was on its way when the checkpoint was taken, by the edge that it is sent to first.
    pub recovered: BTreeMap<EdgeId, Vec<Recovered>>,
}

impl Checkpoints {
    /// `done` gets each snapshot when the barrier has left the task.
    pub fn new(
        settings: CheckpointSettings,
        done: impl Fn(TaskSnapshot) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            told: AtomicBool::new(false),
            requests: Mutex::default(),
            collected: Mutex::default(),
            done: Box::new(done),
            restored: settings.restored,
            finished: settings.finished,
            at_least_once: settings.at_least_once,
            recovered: Mutex::new(settings.recovered),
            overdraft: AtomicUsize::new(0),
            hurried: AtomicU64::new(0),
        }))
    }

    /// Tells the task something; whoever does that wakes it.
    pub fn tell(&self, request: CheckpointRequest) {
        lock(&self.0.requests).push_back(request);
        self.0.told.store(true, Ordering::Release);
    }

    /// The next request, if there is one.
    #[inline]
    pub fn take(&self) -> Option<CheckpointRequest> {
        if self.0.told.load(Ordering::Acquire) {
            self.take_told()
        } else {
            None
        }
    }

    #[cold]
    fn take_told(&self) -> Option<CheckpointRequest> {
        let mut requests = lock(&self.0.requests);
        let request = requests.pop_front();
        self.0.told.store(!requests.is_empty(), Ordering::Release);
        request
    }

    /// Whether the subtask had finished before the restore.
    pub fn had_finished(&self) -> bool {
        self.0.finished
    }

    /// Whether channels go on after their barriers.
    pub fn at_least_once(&self) -> bool {
        self.0.at_least_once
    }

    /// What sinks want committed with the end of the task.
    pub fn take_committables(&self) -> Vec<(OperatorUid, Vec<u8>)> {
        std::mem::take(&mut lock(&self.0.collected).committables)
    }

    /// The barrier has left the task: what was handed over for it.
    pub fn take_snapshot(&self, barrier: Barrier, times: BarrierTimes) -> TaskSnapshot {
        let collected = std::mem::take(&mut *lock(&self.0.collected));
        TaskSnapshot {
            barrier,
            operators: collected.operators,
            committables: collected.committables,
            splits_received: collected.splits_received,
            in_flight: collected.in_flight,
            processed_bytes: 0,
            given_up: false,
            alignment: times.alignment,
            sync: times.sync,
            start_delay_ms: times.start_delay_ms,
        }
    }

    /// The snapshot is whole.
    pub fn done(&self, snapshot: TaskSnapshot) {
        (self.0.done)(snapshot);
    }

    /// What a barrier overtook in a channel.
    pub fn keep(&self, in_flight: InFlight) {
        if !in_flight.is_empty() {
            lock(&self.0.collected).in_flight.push(in_flight);
        }
    }

    /// What is to be sent to an edge before anything else; only once.
    pub fn take_recovered(&self, edge: EdgeId) -> Vec<Recovered> {
        lock(&self.0.recovered).remove(&edge).unwrap_or_default()
    }

    /// Each output of the task is settled if no more than so many messages have no room in it: what the
    /// chain keeps back leaves it, so that a barrier can.
    pub fn allow_overdraft(&self, messages: usize) {
        self.0.overdraft.store(messages, Ordering::Relaxed);
    }

    /// See [`Checkpoints::allow_overdraft`].
    pub fn allowed_overdraft(&self) -> usize {
        self.0.overdraft.load(Ordering::Relaxed)
    }

    /// The barrier of this checkpoint waits no longer in the outputs: the next time they settle, it
    /// overtakes what is in front of it.
    pub fn hurry(&self, checkpoint: CheckpointId) {
        self.0.hurried.fetch_max(checkpoint.0, Ordering::Relaxed);
    }

    /// The newest checkpoint that was hurried.
    pub fn hurried(&self) -> CheckpointId {
        CheckpointId(self.0.hurried.load(Ordering::Relaxed))
    }

    /// For the operator with that uid.
    pub fn of(&self, operator: OperatorUid, max_parallelism: u32) -> OperatorCheckpoints {
        OperatorCheckpoints {
            checkpoints: self.clone(),
            operator,
            max_parallelism,
        }
    }
}

/// The checkpoints of one operator of a subtask.
#[derive(Debug, Clone)]
pub struct OperatorCheckpoints {
    checkpoints: Checkpoints,
    operator: OperatorUid,
    max_parallelism: u32,
}

impl OperatorCheckpoints {
    /// What the operator begins from; `None`: from nothing.
    pub fn restored(&self) -> Option<&RestoredOperator> {
        self.checkpoints.0.restored.get(&self.operator)
    }

    /// The barrier passes: `fill` hands over the state of the operator as it is now.
    ///
    /// # Errors
    /// When some state cannot be handed over: the task fails with it.
    pub fn snapshot(
        &self,
        fill: impl FnOnce(&mut OperatorSnapshot) -> Result<(), StateError>,
    ) -> Result<(), TaskError> {
        let mut snapshot = self.begin();
        fill(&mut snapshot).map_err(|error| cannot("stored", &error))?;
        self.put(snapshot);
        Ok(())
    }

    /// A snapshot with nothing in it yet.
    pub(crate) fn begin(&self) -> OperatorSnapshot {
        OperatorSnapshot::new(self.max_parallelism)
    }

    /// Hands over a snapshot.
    pub(crate) fn put(&self, snapshot: OperatorSnapshot) {
        if !snapshot.is_empty() {
            let mut collected = lock(&self.checkpoints.0.collected);
            collected.operators.push((self.operator, snapshot));
        }
    }

    /// What the sink wants committed with the barrier that passes.
    pub(crate) fn commit(&self, committables: Vec<Vec<u8>>) {
        let committables = committables.into_iter();
        let named = committables.map(|committable| (self.operator, committable));
        lock(&self.checkpoints.0.collected)
            .committables
            .extend(named);
    }

    /// How many splits the source's subtask has been given when the barrier passes.
    pub(crate) fn splits_received(&self, received: u64) {
        lock(&self.checkpoints.0.collected).splits_received = Some(received);
    }
}

/// The error of a task whose state cannot be `done`.
pub fn cannot(done: &str, error: &StateError) -> TaskError {
    TaskError::fatal(format!("state cannot be {done}: {error}"))
}

/// The error of a task whose state is elsewhere than in memory and cannot be moved.
#[cold]
pub(crate) fn unmoved(error: StateError) -> TaskError {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if error.is_transient() {
        TaskError::transient(message)
    } else {
        TaskError::fatal(message)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
