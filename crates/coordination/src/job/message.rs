//! What a job's state machine hears and asks for. Closed enums of plain data.

use std::sync::Arc;
use std::time::Duration;

use flott_model::{
    CheckpointId, CheckpointMetadata, ContainerId, EdgeId, EnumeratorState, Epoch,
    ExecutionAttemptId, ExecutionState, Failure, Incarnation, JobId, JobStatus, ResourceProfile,
    SlotId, SnapshotKind, StoredCommittable, SubtaskRestore, SubtaskSnapshot,
};

use crate::checkpoint::{CheckpointSettings, CheckpointTrigger, SnapshotResult};
use crate::{SlotRequirement, Timestamp};

/// What the job's configuration says about its failures and waits.
#[derive(Debug, Clone, PartialEq)]
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
    /// About checkpoints; STREAMING only.
    pub checkpoints: CheckpointSettings,
    /// Drawn by the shell: jobs that fail together must not restart together (the jitter of
    /// exponential-delay).
    pub jitter_seed: u64,
}

/// `restart-strategy.type`. Without one it is exponential-delay if checkpoints are taken, else none.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    /// `failure-rate`: as long as they are rare.
    FailureRate {
        /// So many restarts are allowed within the interval; one more failure is the end.
        maximum: u32,
        /// It.
        interval: Duration,
        /// The pause before each.
        delay: Duration,
    },
    /// `exponential-delay`: with ever longer pauses, until failures have become rare.
    ExponentialDelay {
        /// The first pause, and the shortest.
        initial: Duration,
        /// The longest.
        maximum: Duration,
        /// What each is multiplied by for the next; above 1.
        multiplier: f64,
        /// After so long without a failure the pause is the first one again.
        reset_threshold: Duration,
        /// The share of a pause that is added or taken away at random; 0 to 1.
        jitter: f64,
        /// So many restarts are allowed before the pause is the first one again.
        attempts: u32,
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
    /// Which need of the job it meets; `None`: one of default size.
    pub profile: Option<ResourceProfile>,
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
    /// The next periodic checkpoint is due. The number tells these timers apart.
    CheckpointDue(u64),
    /// A checkpoint is not complete.
    CheckpointTimeout(CheckpointId),
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
        /// What its sinks want committed and were not told to be covered by a complete checkpoint, if
        /// FINISHED.
        output: Vec<StoredCommittable>,
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
    /// The answer to [`JobAction::OpenCheckpoint`].
    CheckpointOpened {
        /// Which.
        checkpoint: CheckpointId,
        /// The time of the trigger, in milliseconds since the epoch.
        timestamp_ms: i64,
        /// The directory that is its own, or why there is none.
        result: Result<String, Failure>,
    },
    /// A subtask has handed over its state, and the worker has stored it.
    CheckpointAcknowledged {
        /// Whose.
        attempt: ExecutionAttemptId,
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// What there is.
        snapshot: SubtaskSnapshot,
    },
    /// A subtask could not hand over its state, or its worker could not store it.
    CheckpointDeclined {
        /// Whose.
        attempt: ExecutionAttemptId,
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        failure: Failure,
    },
    /// The answer to [`JobAction::SnapshotEnumerators`].
    EnumeratorsSnapshotted {
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// Who coordinates the sources; `None` if the shell itself answers.
        worker: Option<WorkerId>,
        /// Their states, or why there are none.
        result: Result<Vec<EnumeratorState>, Failure>,
    },
    /// The answer to [`JobAction::StoreMetadata`].
    MetadataStored {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Where the checkpoint is, as users name it. Or why `_metadata` does not exist: who cannot say
        /// whether it does looks again before it answers.
        result: Result<String, Failure>,
    },
    /// The user wants a checkpoint or savepoint now. Answered by [`JobAction::SnapshotRequestDone`].
    SnapshotRequested {
        /// Number of the request, chosen by the shell.
        request: u64,
        /// What is wanted.
        kind: SnapshotKind,
        /// Where savepoints are to go; `None`: where the configuration says.
        directory: Option<String>,
        /// A savepoint after which the job is cancelled.
        cancel: bool,
    },
    /// Somebody knows of a checkpoint with this number: the next one is greater.
    CheckpointSeen(CheckpointId),
    /// What the sources' enumerators knew is gone with their process, and nobody can say it again: the
    /// whole job goes back to the newest checkpoint.
    EnumeratorsLost(Failure),
}

/// Everything a job can ask its shell to do.
#[derive(Debug, Clone, PartialEq)]
pub enum JobAction {
    /// From now on the job needs those slots in all (absolute, not in addition).
    RequireSlots(SlotRequirement),
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
    /// Tell a worker to commit outputs, of the finished job or of a complete checkpoint; it answers
    /// `Committed`. Idempotent: may be sent again, to another worker.
    Commit {
        /// To whom.
        worker: WorkerId,
        /// Which request.
        round: u64,
        /// What.
        outputs: Vec<StoredCommittable>,
        /// All tasks have finished: nothing else will be committed.
        last: bool,
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
    /// Find a place for a checkpoint that nothing else has or will have: create `chk-<n>` exclusively,
    /// or a new directory in that of a savepoint. Answered by [`JobEvent::CheckpointOpened`].
    OpenCheckpoint {
        /// Which.
        checkpoint: CheckpointId,
        /// What it is.
        kind: SnapshotKind,
        /// Where the user wants a savepoint; `None`: where the configuration says.
        directory: Option<String>,
    },
    /// Have these subtasks begin a checkpoint; all others meet its barriers. Said to every worker
    /// where one takes part, also without attempts: it must know the directory.
    TriggerCheckpoint {
        /// To whom.
        worker: WorkerId,
        /// Which subtasks begin.
        attempts: Vec<ExecutionAttemptId>,
        /// What they are told.
        trigger: CheckpointTrigger,
    },
    /// Have whoever coordinates the sources say what enumerators know. Answered by
    /// [`JobEvent::EnumeratorsSnapshotted`], also if nobody coordinates.
    SnapshotEnumerators {
        /// For which checkpoint.
        checkpoint: CheckpointId,
    },
    /// Write `_metadata`: under another name, then renamed without overwriting. Answered by
    /// [`JobEvent::MetadataStored`].
    StoreMetadata {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Into which directory.
        directory: String,
        /// Its content.
        metadata: Arc<CheckpointMetadata>,
    },
    /// Tell a worker that a checkpoint is complete. Said to every worker, also without attempts: the
    /// one that coordinates the sources tells their enumerators.
    NotifyCompleted {
        /// To whom.
        worker: WorkerId,
        /// Which.
        checkpoint: CheckpointId,
        /// The running subtasks there.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Tell a worker that a checkpoint will not be complete; as [`JobAction::NotifyCompleted`]. Sources
    /// that have stopped for it do not go on: either the next one of its kind follows at once, or they
    /// are cancelled.
    NotifyAborted {
        /// To whom.
        worker: WorkerId,
        /// Which.
        checkpoint: CheckpointId,
        /// The running subtasks there.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Delete what a checkpoint left: `_metadata` first. What is being written to its directory at
    /// that moment (by [`JobAction::OpenCheckpoint`] or [`JobAction::StoreMetadata`]) is awaited before.
    Discard {
        /// Which.
        checkpoint: CheckpointId,
        /// Deleted with everything in it but `keep`; empty: none was opened yet, and if one is it goes.
        directory: String,
        /// Names in the directory that a retained checkpoint uses.
        keep: Vec<String>,
        /// Whole paths of files elsewhere that nothing uses any more.
        files: Vec<String>,
    },
    /// What [`super::JobCore::checkpoints`] says of a checkpoint, or of all, has changed.
    CheckpointChanged(Option<CheckpointId>),
    /// The end of a [`JobEvent::SnapshotRequested`].
    SnapshotRequestDone {
        /// Which.
        request: u64,
        /// What came of it. Of a request to stop: the job is FINISHED. To cancel: it is being cancelled.
        result: Result<SnapshotResult, Failure>,
    },
    /// All sources begin anew: forget what their enumerators know and have given out, and begin with
    /// these states, or without any. Said before the deployments that follow.
    ResetEnumerators {
        /// What they are of; `None`: the beginning.
        checkpoint: Option<CheckpointId>,
        /// By source; one that is not named begins from nothing.
        states: Vec<EnumeratorState>,
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
    /// What it begins from; `None`: from nothing.
    pub restore: Option<SubtaskRestore>,
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
