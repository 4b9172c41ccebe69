//! Messages between JobManager, agents and workers.

mod agent;
mod task;
mod worker;

pub use agent::{
    AgentCommand, AgentMessage, AgentRegistered, BlobChunk, BlobRequest, JobBundle, MemoryUse,
    RegisterAgent, ReleasePartitions, ShippedFile, StartWorker, StopAgent, StopWorker,
    WorkerExited, agent_command, agent_message,
};
pub use task::{
    AttemptId, Channel, ChannelEnd, PartitionSource, SubtaskCommittable, TaskDescriptor, TaskGate,
    TaskMetrics, TaskReport,
};
pub use worker::{
    CancelTasks, CommitOutputs, CommitResult, DeployTasks, RegisterWorker, StopWorkerProcess,
    WorkerCommand, WorkerMessage, WorkerRegistered, WorkerReport, WorkerSpec, worker_command,
    worker_message,
};
