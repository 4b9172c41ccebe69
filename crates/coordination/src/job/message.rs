//! What a job's state machine hears and asks for. Closed enums of plain data.

use std::time::Duration;

use flott_model::{
    ContainerId, EdgeId, Epoch, ExecutionAttemptId, ExecutionState, Failure, Incarnation, JobId,
    JobStatus, SlotId, VertexId,
};

use crate::Timestamp;

/// What the job's configuration says about its failures and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettings {
    /// The job.
    pub job: JobId,
    /// Term of this JobManager.
    pub epoch: Epoch,
    /// What follows a failure.
    pub restart_strategy: RestartStrategy,
    /// How long a job waits for all its slots before it fails (`slot.request.timeout`).
    pub slot_request_timeout: Duration,
    /// How long a started worker may take to register.
    pub worker_start_timeout: Duration,
    /// How long cancelled tasks may take before their worker is killed.
    pub cancellation_timeout: Duration,
}

/// `restart-strategy.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartStrategy {
    /// The first failure is the end.
    None,
    /// So many restarts, so far apart.
    FixedDelay {
        /// How many restarts are allowed in the life of the job.
        attempts: u32,
        /// The pause before each.
        delay: Duration,
    },
}

/// A worker process: one life of it, in one container. Unique within a job only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId {
    /// Where it runs.
    pub container: ContainerId,
    /// Which life.
    pub incarnation: Incarnation,
}

/// A slot the ResourceManager gives to the job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotOffer {
    /// The slot.
    pub slot: SlotId,
    /// Host of its container, for spreading and for messages.
    pub host: String,
}

/// Timers the core asks for; they come back as [`JobEvent::TimerFired`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Not all slots came. The number tells requests apart; stale ones are ignored.
    SlotRequest(u64),
    /// A worker did not register.
    WorkerStart(WorkerId),
    /// Tasks did not stop. The number is the restart they belong to.
    Cancellation(u64),
    /// The restart delay is over. The number is the restart.
    Restart(u64),
    /// The pause before another try to commit is over. The number is the try.
    Commit(u64),
}

/// Everything that can happen to a job. Late, doubled and stale events are normal.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// The job is accepted: begin.
    Started,
    /// The ResourceManager gave slots (any number, also more than asked for).
    SlotsGranted(Vec<SlotOffer>),
    /// The ResourceManager cannot get containers any more, and why.
    SlotsUnavailable(Failure),
    /// A worker is connected and ready; others reach its data plane at `data_address`.
    WorkerRegistered {
        /// Who.
        worker: WorkerId,
        /// `host:port`.
        data_address: String,
    },
    /// A worker process ended, could not be started, or its connection is lost for good.
    WorkerLost {
        /// Who.
        worker: WorkerId,
        /// Exit code or signal in words, with the tail of its stderr.
        failure: Failure,
    },
    /// A container is gone with its slots and workers.
    ContainerLost {
        /// Which.
        container: ContainerId,
        /// Exit status in words.
        failure: Failure,
    },
    /// A task changed its state.
    TaskStateChanged {
        /// The attempt.
        attempt: ExecutionAttemptId,
        /// Its new state.
        state: ExecutionState,
        /// Why, if FAILED.
        failure: Option<Failure>,
        /// What its sinks want committed when the job is done, if FINISHED.
        output: Vec<SubtaskOutput>,
        /// The producers whose partitions it could not get, if it FAILED for that.
        missing: Vec<ExecutionAttemptId>,
    },
    /// A worker committed the outputs it was asked to commit (in round `round`).
    Committed {
        /// Which request.
        round: u64,
        /// Why it could not, if it could not.
        failure: Option<Failure>,
    },
    /// The user cancels.
    CancelRequested,
    /// A timer fired.
    TimerFired(Timer),
}

/// What a sink's subtask wants committed once, when the job is done; opaque to the control plane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubtaskOutput {
    /// The vertex.
    pub vertex: VertexId,
    /// Position of the operator in the vertex's chain graph.
    pub operator: u32,
    /// Encoded committable.
    pub committable: Vec<u8>,
}

/// Everything a job can ask its shell to do.
#[derive(Debug, Clone, PartialEq)]
pub enum JobAction {
    /// From now on the job needs that many slots in all (absolute, not in addition).
    RequireSlots(u32),
    /// Give these slots back.
    ReleaseSlots(Vec<SlotId>),
    /// Have the container's agent start a worker for these slots, after it has killed any earlier
    /// one of the job. Tasks may later also come for further slots of the container.
    StartWorker {
        /// The worker to be.
        worker: WorkerId,
        /// Indices of the job's slots in that container.
        slots: Vec<u32>,
    },
    /// Fence a worker: close its connection, drop what still comes from it, and have the agent end
    /// it, politely, then by SIGKILL. Also said of workers that are lost (their process may live
    /// on) or whose agent is gone; an unknown worker is not an error.
    StopWorker(WorkerId),
    /// Send tasks to a registered worker.
    Deploy {
        /// To whom.
        worker: WorkerId,
        /// What.
        tasks: Vec<TaskDeployment>,
    },
    /// Tell a worker to cancel these attempts; each answers with a terminal state.
    CancelTasks {
        /// To whom.
        worker: WorkerId,
        /// Which.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Tell a worker to commit the outputs of the finished job; it answers `Committed`.
    /// Idempotent: may be sent again, to another worker.
    Commit {
        /// To whom.
        worker: WorkerId,
        /// Which request.
        round: u64,
        /// What.
        outputs: Vec<SubtaskOutput>,
    },
    /// Have all agents delete the job's partitions; said once, at the end of a job that wrote any.
    ReleasePartitions,
    /// Deliver [`JobEvent::TimerFired`] at that time.
    ScheduleTimer(Timer, Timestamp),
    /// The job's status changed; if by a failure, the failure.
    StatusChanged(JobStatus, Option<Failure>),
    /// An execution changed its state (for views and archives).
    ExecutionChanged {
        /// The attempt.
        attempt: ExecutionAttemptId,
        /// Its state now.
        state: ExecutionState,
        /// Where it runs, if anywhere.
        worker: Option<WorkerId>,
        /// Why, if FAILED.
        failure: Option<Failure>,
    },
}

/// One subtask to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDeployment {
    /// Its attempt.
    pub attempt: ExecutionAttemptId,
    /// The slot it runs in.
    pub slot: u32,
    /// One per edge that enters its vertex, in the graph's order.
    pub inputs: Vec<TaskInput>,
    /// One per edge that leaves its vertex, in the graph's order.
    pub outputs: Vec<TaskOutput>,
}

/// The channels of one incoming edge, or the partitions that its rows are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInput {
    /// The edge.
    pub edge: EdgeId,
    /// Pipelined: the producing attempts connected to this subtask, in order of their subtask index.
    pub sources: Vec<ExecutionAttemptId>,
    /// Where each runs (same order): the worker and its data address.
    pub locations: Vec<(WorkerId, String)>,
    /// Blocking: the finished attempts connected to this subtask, in order of their subtask index,
    /// and the container whose agent keeps what each wrote.
    pub partitions: Vec<(ExecutionAttemptId, ContainerId)>,
}

/// The channels of one outgoing edge, or the partition that its rows are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutput {
    /// The edge.
    pub edge: EdgeId,
    /// Pipelined: the consuming attempts connected to this subtask, in order of their subtask index.
    pub targets: Vec<ExecutionAttemptId>,
    /// Where each runs (same order): the worker and its data address.
    pub locations: Vec<(WorkerId, String)>,
    /// Blocking: what the partition is written for.
    pub partition: Option<PartitionShape>,
}

/// What a partition is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionShape {
    /// Parallelism of the consuming vertex.
    pub consumers: u32,
    /// Its key groups.
    pub key_groups: u32,
}
