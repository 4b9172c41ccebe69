//! Agent (task executor) and ResourceManager: one stream each way.

use std::collections::BTreeMap;

/// What an agent says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentMessage {
    /// The message.
    #[prost(oneof = "agent_message::Kind", tags = "1, 2, 3")]
    pub kind: Option<agent_message::Kind>,
}

/// Kinds of [`AgentMessage`].
pub mod agent_message {
    /// What an agent says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// First on every connection.
        #[prost(message, tag = "1")]
        Register(super::RegisterAgent),
        /// Each `heartbeat.interval`: the memory of the container.
        #[prost(message, tag = "2")]
        Heartbeat(super::MemoryUse),
        /// A worker ended or could not be started.
        #[prost(message, tag = "3")]
        WorkerExited(super::WorkerExited),
    }
}

/// Who the agent is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegisterAgent {
    /// Its container.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Its host, as others reach it.
    #[prost(string, tag = "2")]
    pub host: String,
    /// How many slots it offers.
    #[prost(uint32, tag = "3")]
    pub slots: u32,
    /// Container memory in bytes.
    #[prost(uint64, tag = "4")]
    pub memory_bytes: u64,
    /// The node's glibc, e.g. `2.36`.
    #[prost(string, tag = "5")]
    pub glibc: String,
    /// `PROTOCOL_VERSION` it speaks.
    #[prost(uint32, tag = "6")]
    pub protocol_version: u32,
    /// Process id.
    #[prost(uint32, tag = "7")]
    pub pid: u32,
    /// `host:port` where it serves finished partitions; empty: nowhere.
    #[prost(string, tag = "8")]
    pub partition_address: String,
}

/// Memory of all processes of a container.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct MemoryUse {
    /// Resident bytes, all processes.
    #[prost(uint64, tag = "1")]
    pub resident_bytes: u64,
    /// Virtual bytes, all processes.
    #[prost(uint64, tag = "2")]
    pub virtual_bytes: u64,
    /// Highest resident sum seen.
    #[prost(uint64, tag = "3")]
    pub peak_resident_bytes: u64,
}

/// A worker process ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerExited {
    /// Job id, 32 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Which life.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// How it ended, in words, with the tail of its stderr.
    #[prost(message, required, tag = "3")]
    pub failure: flott_model::Failure,
    /// Whether it was asked to end.
    #[prost(bool, tag = "4")]
    pub expected: bool,
}

/// What an agent is told.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentCommand {
    /// The command.
    #[prost(oneof = "agent_command::Kind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<agent_command::Kind>,
}

/// Kinds of [`AgentCommand`].
pub mod agent_command {
    /// What an agent is told.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// Answer to Register.
        #[prost(message, tag = "1")]
        Registered(super::AgentRegistered),
        /// Start a worker process.
        #[prost(message, tag = "2")]
        StartWorker(super::StartWorker),
        /// End a worker process.
        #[prost(message, tag = "3")]
        StopWorker(super::StopWorker),
        /// End the agent and all its workers.
        #[prost(message, tag = "4")]
        Stop(super::StopAgent),
        /// Delete the partitions of a job that has ended.
        #[prost(message, tag = "5")]
        ReleasePartitions(super::ReleasePartitions),
    }
}

/// The agent is accepted.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AgentRegistered {
    /// Term of the JobManager.
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// Milliseconds between heartbeats.
    #[prost(uint64, tag = "2")]
    pub heartbeat_interval_ms: u64,
}

/// Start a worker of a job.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartWorker {
    /// Job id, 32 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Which life.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// Indices of the job's slots.
    #[prost(uint32, repeated, tag = "3")]
    pub slots: Vec<u32>,
    /// What to run.
    #[prost(message, required, tag = "4")]
    pub bundle: JobBundle,
    /// Encoded [`super::WorkerSpec`], to be written for the worker (0600).
    #[prost(bytes = "vec", tag = "5")]
    pub spec: Vec<u8>,
    /// Term of the JobManager.
    #[prost(uint32, tag = "6")]
    pub epoch: u32,
    /// Command-line arguments of the program.
    #[prost(string, repeated, tag = "7")]
    pub args: Vec<String>,
    /// Additional environment.
    #[prost(btree_map = "string, string", tag = "8")]
    pub environment: BTreeMap<String, String>,
}

/// The executable of a job and the files shipped with it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobBundle {
    /// The executable.
    #[prost(message, required, tag = "1")]
    pub executable: ShippedFile,
    /// Files for the working directory of every role.
    #[prost(message, repeated, tag = "2")]
    pub files: Vec<ShippedFile>,
}

/// A file, found by its hash: in the container's working directory (localized), the agent's cache,
/// or the JobManager's blob service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ShippedFile {
    /// Name in the working directory.
    #[prost(string, tag = "1")]
    pub name: String,
    /// SHA-256, checked before use.
    #[prost(bytes = "vec", tag = "2")]
    pub sha256: Vec<u8>,
    /// Size in bytes.
    #[prost(uint64, tag = "3")]
    pub size: u64,
}

/// End a worker: politely, after the grace period by SIGKILL.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StopWorker {
    /// Job id.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Which life.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// Milliseconds between SIGTERM and SIGKILL.
    #[prost(uint64, tag = "3")]
    pub grace_ms: u64,
}

/// End the agent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StopAgent {
    /// Why, for its log.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// A job has ended: delete its partitions, once its workers have ended too.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReleasePartitions {
    /// Job id, 32 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub job: String,
}

/// Ask the blob service for a file.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlobRequest {
    /// SHA-256 of the file.
    #[prost(bytes = "vec", tag = "1")]
    pub sha256: Vec<u8>,
}

/// A piece of a file, in order.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlobChunk {
    /// The bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}
