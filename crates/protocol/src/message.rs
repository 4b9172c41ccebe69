//! Messages between JobManager, agents and workers.

mod agent;
mod checkpoint;
mod inspect;
mod task;
mod worker;

pub use agent::{
    AgentCommand, AgentMessage, AgentRegistered, BlobChunk, BlobRequest, JobBundle, MemoryUse,
    RegisterAgent, ReleasePartitions, ShippedFile, StartWorker, StopAgent, StopWorker,
    WorkerExited, agent_command, agent_message,
};
pub use checkpoint::{
    BeginCheckpoint, EndCheckpoint, EnumeratorsSnapshotted, SnapshotEnumerators, SplitsReceived,
    TaskSnapshotted,
};
pub use inspect::{
    Inspect, Inspected, Inspection, Metric, SampledStack, TaskAccumulator, TaskInspected,
    ThreadInspected,
};
pub use task::{
    AttemptId, Channel, ChannelEnd, PartitionSource, TaskDescriptor, TaskGate, TaskMetrics,
    TaskReport,
};
pub use worker::{
    CancelTasks, CollectedFrame, CollectedTaken, CommitOutputs, CommitResult, Coordinate,
    DeployTasks, RegisterWorker, RunCoordinator, StopWorkerProcess, WorkerCommand, WorkerMessage,
    WorkerRegistered, WorkerReport, WorkerSpec, worker_command, worker_message,
};
