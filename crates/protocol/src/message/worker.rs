//! Worker and JobMaster: one stream each way.

use std::collections::BTreeMap;

use flott_model::{EnumeratorState, Failure, JobGraph, StoredCommittable};

use super::{
    AttemptId, BeginCheckpoint, EndCheckpoint, EnumeratorsSnapshotted, Inspect, Inspected,
    SnapshotEnumerators, TaskDescriptor, TaskMetrics, TaskReport, TaskSnapshotted,
};

/// Everything a worker process must know; in a file only its owner can read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerSpec {
    /// Job id, 32 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Which life of the worker this is.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// Its container.
    #[prost(string, tag = "3")]
    pub container: String,
    /// Host name others reach it by.
    #[prost(string, tag = "4")]
    pub host: String,
    /// `host:port` of the JobMaster.
    #[prost(string, tag = "5")]
    pub job_master: String,
    /// HMAC-SHA256(application secret, job id): proves to JobMaster and peers that it belongs.
    #[prost(bytes = "vec", tag = "6")]
    pub token: Vec<u8>,
    /// Term of the JobManager.
    #[prost(uint32, tag = "7")]
    pub epoch: u32,
    /// The job, with its `once` values and configuration.
    #[prost(message, required, tag = "8")]
    pub graph: JobGraph,
    /// Hadoop settings for HDFS.
    #[prost(btree_map = "string, string", tag = "9")]
    pub hadoop: BTreeMap<String, String>,
    /// User for HDFS.
    #[prost(string, tag = "10")]
    pub user: String,
    /// Slots the worker holds.
    #[prost(uint32, repeated, tag = "11")]
    pub slots: Vec<u32>,
    /// Memory the worker may use, in bytes: the share of its slots. Filled in by the agent, which
    /// knows its container; 0: not limited.
    #[prost(uint64, tag = "12")]
    pub memory_bytes: u64,
    /// Threads that poll tasks.
    #[prost(uint32, tag = "13")]
    pub threads: u32,
    /// Directory of the container's partitions; the worker writes below `<directory>/<job>`. Filled
    /// in by the agent, which serves what is there. Empty: it serves none.
    #[prost(string, tag = "14")]
    pub partition_dir: String,
    /// Directories of the container for copies of state; the worker writes below `<directory>/<job>`. Filled
    /// in by the agent, if the job wants copies.
    #[prost(string, repeated, tag = "15")]
    pub local_state_dirs: Vec<String>,
    /// Memory of the whole container, in bytes, of which the network gets its part. Filled in by the
    /// agent; 0: as configured for containers of default size.
    #[prost(uint64, tag = "30")]
    pub container_memory_bytes: u64,
}

/// What a worker says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerMessage {
    /// The message.
    #[prost(
        oneof = "worker_message::Kind",
        tags = "1, 2, 3, 4, 5, 10, 20, 30, 40, 41"
    )]
    pub kind: Option<worker_message::Kind>,
}

/// Kinds of [`WorkerMessage`].
pub mod worker_message {
    /// What a worker says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// First on every connection.
        #[prost(message, tag = "1")]
        Register(super::RegisterWorker),
        /// A task changed its state.
        #[prost(message, tag = "2")]
        Task(super::TaskReport),
        /// Each `heartbeat.interval`: counters of the running tasks.
        #[prost(message, tag = "3")]
        Report(super::WorkerReport),
        /// Answer to Commit.
        #[prost(message, tag = "4")]
        Committed(super::CommitResult),
        /// The worker cannot serve the job (another graph, failed main, …); it exits after this.
        #[prost(message, tag = "5")]
        Unfit(super::Failure),
        /// From a source to the coordinator of the job, or back.
        #[prost(message, tag = "10")]
        Coordinate(super::Coordinate),
        /// Answer to Inspect.
        #[prost(message, tag = "20")]
        Inspected(super::Inspected),
        /// Records that the program wants to have.
        #[prost(message, tag = "30")]
        Collected(super::CollectedFrame),
        /// A task's snapshot is stored, or could not be.
        #[prost(message, tag = "40")]
        Snapshotted(super::TaskSnapshotted),
        /// Answer to SnapshotEnumerators.
        #[prost(message, tag = "41")]
        Enumerators(super::EnumeratorsSnapshotted),
    }
}

/// Who the worker is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegisterWorker {
    /// Job id.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Its container.
    #[prost(string, tag = "2")]
    pub container: String,
    /// Which life.
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
    /// `host:port` of its data plane.
    #[prost(string, tag = "4")]
    pub data_address: String,
    /// Process id.
    #[prost(uint32, tag = "5")]
    pub pid: u32,
}

/// Counters of the tasks of a worker.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerReport {
    /// One per live task.
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<TaskMetrics>,
}

/// How a commit went.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommitResult {
    /// Which request.
    #[prost(uint64, tag = "1")]
    pub round: u64,
    /// Why it failed, if it did.
    #[prost(message, optional, tag = "2")]
    pub failure: Option<Failure>,
}

/// What a worker is told.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerCommand {
    /// The command.
    #[prost(
        oneof = "worker_command::Kind",
        tags = "1, 2, 3, 4, 5, 10, 20, 30, 40, 41, 42"
    )]
    pub kind: Option<worker_command::Kind>,
}

/// Kinds of [`WorkerCommand`].
pub mod worker_command {
    /// What a worker is told.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// Answer to Register.
        #[prost(message, tag = "1")]
        Registered(super::WorkerRegistered),
        /// Run these tasks.
        #[prost(message, tag = "2")]
        Deploy(super::DeployTasks),
        /// Cancel these tasks.
        #[prost(message, tag = "3")]
        Cancel(super::CancelTasks),
        /// Commit these outputs of the finished job.
        #[prost(message, tag = "4")]
        Commit(super::CommitOutputs),
        /// End the process.
        #[prost(message, tag = "5")]
        Stop(super::StopWorkerProcess),
        /// From a source to the coordinator of the job, or back.
        #[prost(message, tag = "10")]
        Coordinate(super::Coordinate),
        /// Say what the tasks are doing.
        #[prost(message, tag = "20")]
        Inspect(super::Inspect),
        /// The program has taken collected records: there is room for more.
        #[prost(message, tag = "30")]
        CollectedTaken(super::CollectedTaken),
        /// A checkpoint has begun.
        #[prost(message, tag = "40")]
        BeginCheckpoint(super::BeginCheckpoint),
        /// A checkpoint is complete, or was given up.
        #[prost(message, tag = "41")]
        EndCheckpoint(super::EndCheckpoint),
        /// To the coordinator of the sources.
        #[prost(message, tag = "42")]
        SnapshotEnumerators(super::SnapshotEnumerators),
    }
}

/// The worker is accepted.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WorkerRegistered {
    /// Term of the JobManager.
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// Milliseconds between reports.
    #[prost(uint64, tag = "2")]
    pub heartbeat_interval_ms: u64,
}

/// Run these tasks. All tasks of a worker that belong together come in one message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeployTasks {
    /// The tasks.
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<TaskDescriptor>,
    /// The worker coordinates the sources of the job from now on.
    #[prost(message, optional, tag = "10")]
    pub coordinator: Option<RunCoordinator>,
}

/// Run the enumerators of the job's sources.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RunCoordinator {
    /// What a coordinator before this one assigned, in order.
    #[prost(message, repeated, tag = "1")]
    pub journal: Vec<Coordinate>,
    /// The journal is not complete: who was given splits by an earlier coordinator must fail.
    #[prost(bool, tag = "2")]
    pub incomplete: bool,
    /// The job begins from a checkpoint, with these enumerators; whoever coordinated before does not.
    #[prost(message, repeated, tag = "3")]
    pub restored: Vec<EnumeratorState>,
    /// Whatever coordinator there was in the worker ends.
    #[prost(bool, tag = "4")]
    pub anew: bool,
}

/// Between a source's subtask and the coordinator of its job; opaque to the JobMaster, which relays
/// it. The worker of the subtask is named, so that an answer finds its way.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Coordinate {
    /// Position of the operator in the program's graph.
    #[prost(uint32, tag = "1")]
    pub operator: u32,
    /// The attempt that asks, or is answered.
    #[prost(message, required, tag = "2")]
    pub attempt: AttemptId,
    /// Container of the attempt's worker.
    #[prost(string, tag = "3")]
    pub container: String,
    /// Incarnation of the attempt's worker.
    #[prost(uint64, tag = "4")]
    pub incarnation: u64,
    /// What is said.
    #[prost(bytes = "vec", tag = "5")]
    pub payload: Vec<u8>,
    /// An answer that the JobMaster keeps for the next coordinator.
    #[prost(bool, tag = "6")]
    pub journal: bool,
}

/// Cancel these attempts; each is answered by a terminal report, unknown ones as CANCELED.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CancelTasks {
    /// Which.
    #[prost(message, repeated, tag = "1")]
    pub attempts: Vec<AttemptId>,
}

/// Commit outputs, of the finished job or of a checkpoint; idempotent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CommitOutputs {
    /// Which request.
    #[prost(uint64, tag = "1")]
    pub round: u64,
    /// What.
    #[prost(message, repeated, tag = "2")]
    pub outputs: Vec<StoredCommittable>,
    /// The job has finished: nothing else will be committed.
    #[prost(bool, tag = "3")]
    pub last: bool,
    /// The job has completed checkpoints: what it committed with them stays.
    #[prost(bool, tag = "4")]
    pub checkpointed: bool,
}

/// Some of the records of a job that collects for its program.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CollectedFrame {
    /// Who collected them.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// The frames of an attempt are counted from 0.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// So many records.
    #[prost(uint32, tag = "3")]
    pub rows: u32,
    /// The records, encoded one after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub bytes: Vec<u8>,
    /// None follows.
    #[prost(bool, tag = "5")]
    pub last: bool,
}

/// The program has taken frames of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CollectedTaken {
    /// Whose.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// The frames before this one.
    #[prost(uint64, tag = "2")]
    pub taken: u64,
}

/// End the process.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StopWorkerProcess {
    /// Why, for its log.
    #[prost(string, tag = "1")]
    pub reason: String,
}
