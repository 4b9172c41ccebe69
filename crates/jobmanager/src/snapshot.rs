//! What the outside sees of jobs and executors: plain data, in Flink's terms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flott_coordination::checkpoint::CheckpointStatistics;
use flott_metrics::accumulators::{AccumulatorSnapshot, MergedAccumulator, merge_all};
use flott_model::{ExecutionState, Failure, JobGraph, JobId, JobStatus, ResourceProfile};
use flott_protocol::message::{JobBundle, MemoryUse, TaskMetrics};
use flott_protocol::program::JobEnded;

/// Milliseconds since the epoch.
pub type UnixMillis = u64;

/// The wall clock, for views only.
pub(crate) fn unix_millis() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A job at one moment.
#[derive(Debug, Clone)]
pub struct JobSnapshot {
    /// Its id.
    pub id: JobId,
    /// Its graph: name, vertices, edges, configuration.
    pub graph: Arc<JobGraph>,
    /// What it runs.
    pub bundle: Arc<JobBundle>,
    /// Where it stands.
    pub status: JobStatus,
    /// When it last entered each status it was in.
    pub timestamps: BTreeMap<JobStatus, UnixMillis>,
    /// Its vertices, by position.
    pub vertices: Vec<VertexSnapshot>,
    /// What failed, newest first; the first one is the root cause if the job FAILED.
    pub failures: Vec<FailureSnapshot>,
    /// How often it was restarted.
    pub restarts: u32,
    /// Its checkpoints. Times are since the JobMaster began ([`JobSnapshot::start_time`], nearly).
    pub checkpoints: Arc<CheckpointStatistics>,
}

/// A failure that restarted or ended a job, with what failed in its wake.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureSnapshot {
    /// The cause.
    pub root: Failure,
    /// Tasks that failed together with it.
    pub concurrent: Vec<Failure>,
}

/// A vertex at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct VertexSnapshot {
    /// Its subtasks' current executions, by index.
    pub subtasks: Vec<SubtaskSnapshot>,
}

/// The current execution of a subtask.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtaskSnapshot {
    /// Its state.
    pub state: ExecutionState,
    /// Its attempt number.
    pub attempt: u32,
    /// Where it runs or ran; empty before it was deployed.
    pub container: String,
    /// The host of that container.
    pub host: String,
    /// When it entered each state it was in.
    pub timestamps: BTreeMap<ExecutionState, UnixMillis>,
    /// Its counters so far.
    pub metrics: TaskMetrics,
    /// What it accumulated, once it has ended.
    pub accumulators: Arc<[AccumulatorSnapshot]>,
}

/// A slot that a job holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AllocatedSlot {
    /// The job.
    pub job: JobId,
    /// What the job asked for; `None`: a slot of default size.
    pub profile: Option<ResourceProfile>,
}

/// A task executor at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutorSnapshot {
    /// Its container.
    pub container: String,
    /// Its host.
    pub host: String,
    /// Slots it offers.
    pub slots: u32,
    /// Slots no job holds.
    pub free_slots: u32,
    /// The slot that its container was made for; `None`: it is of default size.
    pub profile: Option<ResourceProfile>,
    /// The slots that jobs hold.
    pub allocated: Vec<AllocatedSlot>,
    /// Memory of the container, in bytes.
    pub memory_bytes: u64,
    /// Memory in use at the last heartbeat.
    pub memory: MemoryUse,
    /// Milliseconds since it was last heard of.
    pub silent_ms: u64,
}

impl JobSnapshot {
    pub(crate) fn new(id: JobId, graph: Arc<JobGraph>, bundle: Arc<JobBundle>) -> Self {
        let now = unix_millis();
        let vertices = graph.vertices.iter().map(|vertex| VertexSnapshot {
            subtasks: vec![SubtaskSnapshot::created(0, now); vertex.parallelism as usize],
        });
        let vertices = vertices.collect();
        Self {
            id,
            graph,
            bundle,
            status: JobStatus::Initializing,
            timestamps: BTreeMap::from([(JobStatus::Initializing, now)]),
            vertices,
            failures: Vec::new(),
            restarts: 0,
            checkpoints: Arc::default(),
        }
    }

    /// When the job was accepted.
    pub fn start_time(&self) -> UnixMillis {
        self.timestamps
            .get(&JobStatus::Initializing)
            .copied()
            .unwrap_or_default()
    }

    /// When it ended; `None` while it has not.
    pub fn end_time(&self) -> Option<UnixMillis> {
        self.status
            .is_terminal()
            .then(|| self.timestamps.get(&self.status).copied())?
    }

    /// From acceptance to end, or to now.
    pub fn duration_ms(&self) -> u64 {
        self.end_time()
            .unwrap_or_else(unix_millis)
            .saturating_sub(self.start_time())
    }

    /// Why it failed, if it did.
    pub fn root_cause(&self) -> Option<&Failure> {
        let failed = matches!(self.status, JobStatus::Failed | JobStatus::Failing);
        failed.then(|| self.failures.first().map(|failure| &failure.root))?
    }

    /// The accumulators of the tasks that have ended, over all of them.
    pub fn accumulators(&self) -> Vec<MergedAccumulator> {
        let subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        merge_all(subtasks.flat_map(|subtask| subtask.accumulators.iter().cloned()))
    }

    /// What its program is told about its end.
    pub fn to_ended(&self) -> JobEnded {
        JobEnded {
            job: self.id.to_string(),
            status: self.status.number(),
            failure: self.root_cause().cloned(),
            runtime_ms: self.duration_ms(),
            accumulators: self.accumulators().into_iter().map(Into::into).collect(),
            as_wanted: false,
        }
    }

    /// How many subtasks are in each state.
    pub fn subtasks_by_state(&self) -> BTreeMap<ExecutionState, u32> {
        let mut counts = BTreeMap::new();
        for subtask in self.vertices.iter().flat_map(|vertex| &vertex.subtasks) {
            *counts.entry(subtask.state).or_default() += 1;
        }
        counts
    }

    /// Whether every subtask runs or has finished.
    pub fn all_running(&self) -> bool {
        let mut subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        subtasks.all(|task| {
            matches!(
                task.state,
                ExecutionState::Running | ExecutionState::Finished
            )
        })
    }
}

impl SubtaskSnapshot {
    pub(crate) fn created(attempt: u32, now: UnixMillis) -> Self {
        Self {
            state: ExecutionState::Created,
            attempt,
            container: String::new(),
            host: String::new(),
            timestamps: BTreeMap::from([(ExecutionState::Created, now)]),
            metrics: TaskMetrics::default(),
            accumulators: Arc::default(),
        }
    }
}
