//! Tasks on the wire: their description, their channels, their reports.

use flott_model::{
    Epoch, ExecutionAttemptId, Failure, StoredCommittable, SubtaskRestore, VertexId,
};

use super::TaskAccumulator;

/// An [`ExecutionAttemptId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AttemptId {
    /// Term of the JobManager.
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// Position of the vertex.
    #[prost(uint32, tag = "2")]
    pub vertex: u32,
    /// Index of the subtask.
    #[prost(uint32, tag = "3")]
    pub subtask: u32,
    /// Number of the attempt.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

impl From<ExecutionAttemptId> for AttemptId {
    fn from(id: ExecutionAttemptId) -> Self {
        Self {
            epoch: id.epoch.0,
            vertex: id.vertex.0,
            subtask: id.subtask,
            attempt: id.attempt,
        }
    }
}

impl From<AttemptId> for ExecutionAttemptId {
    fn from(id: AttemptId) -> Self {
        Self {
            epoch: Epoch(id.epoch),
            vertex: VertexId(id.vertex),
            subtask: id.subtask,
            attempt: id.attempt,
        }
    }
}

/// One subtask to run.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskDescriptor {
    /// Its attempt.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// The slot it runs in.
    #[prost(uint32, tag = "2")]
    pub slot: u32,
    /// One per edge that enters its vertex, in the graph's order.
    #[prost(message, repeated, tag = "3")]
    pub inputs: Vec<TaskGate>,
    /// One per edge that leaves its vertex, in the graph's order.
    #[prost(message, repeated, tag = "4")]
    pub outputs: Vec<TaskGate>,
    /// The state it begins from, if it does not begin anew.
    #[prost(message, optional, tag = "5")]
    pub restore: Option<SubtaskRestore>,
}

/// The channels of one edge at one subtask.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskGate {
    /// Position of the edge.
    #[prost(uint32, tag = "1")]
    pub edge: u32,
    /// The other ends, in order of their subtask index; none on a blocking edge.
    #[prost(message, repeated, tag = "2")]
    pub peers: Vec<ChannelEnd>,
    /// Whether rows go through partitions on disk instead of channels: the edge is blocking.
    #[prost(bool, tag = "3")]
    pub blocking: bool,
    /// Blocking output: parallelism of the consuming vertex.
    #[prost(uint32, tag = "4")]
    pub consumers: u32,
    /// Blocking output: key groups of the consuming vertex, which is its maximum parallelism.
    #[prost(uint32, tag = "5")]
    pub key_groups: u32,
    /// Blocking input: one per producing subtask connected to this one, in order of its index.
    #[prost(message, repeated, tag = "6")]
    pub partitions: Vec<PartitionSource>,
}

/// The finished partition of one producing subtask, and where it is served.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PartitionSource {
    /// The attempt that wrote it.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// The container whose agent serves it; the reader's own: read it from the disk.
    #[prost(string, tag = "2")]
    pub container: String,
    /// `host:port` of that agent's partition server.
    #[prost(string, tag = "3")]
    pub address: String,
}

/// The other end of a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelEnd {
    /// The attempt there.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// Its worker's data address, `host:port`; the receiver's own address means: same process.
    #[prost(string, tag = "2")]
    pub address: String,
    /// Its worker's incarnation; equal to the receiver's own: same process.
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
}

/// A channel, by both its ends: never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Channel {
    /// Position of the edge.
    #[prost(uint32, tag = "1")]
    pub edge: u32,
    /// The attempt that sends.
    #[prost(message, required, tag = "2")]
    pub source: AttemptId,
    /// The attempt that receives.
    #[prost(message, required, tag = "3")]
    pub target: AttemptId,
}

/// A task changed its state.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskReport {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// Number of its [`flott_model::ExecutionState`].
    #[prost(uint32, tag = "2")]
    pub state: u32,
    /// Why, if FAILED.
    #[prost(message, optional, tag = "3")]
    pub failure: Option<Failure>,
    /// What its sinks want committed, if FINISHED.
    #[prost(message, repeated, tag = "4")]
    pub committables: Vec<StoredCommittable>,
    /// Final counters, if terminal.
    #[prost(message, optional, tag = "5")]
    pub metrics: Option<TaskMetrics>,
    /// If FAILED because partitions could not be had: the attempts that wrote them. Those are run
    /// again. The failure is [`flott_model::FailureClass::Transient`] then.
    #[prost(message, repeated, tag = "6")]
    pub missing_partitions: Vec<AttemptId>,
    /// Final accumulators, if terminal.
    #[prost(message, repeated, tag = "20")]
    pub accumulators: Vec<TaskAccumulator>,
}

/// Counters of a task so far.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TaskMetrics {
    /// The attempt.
    #[prost(message, optional, tag = "1")]
    pub attempt: Option<AttemptId>,
    /// numRecordsIn.
    #[prost(uint64, tag = "2")]
    pub records_in: u64,
    /// numRecordsOut.
    #[prost(uint64, tag = "3")]
    pub records_out: u64,
    /// numBytesIn, remote channels only.
    #[prost(uint64, tag = "4")]
    pub bytes_in: u64,
    /// numBytesOut, remote channels only.
    #[prost(uint64, tag = "5")]
    pub bytes_out: u64,
    /// Accumulated busy time, microseconds.
    #[prost(uint64, tag = "6")]
    pub busy_us: u64,
    /// Accumulated back-pressured time, microseconds.
    #[prost(uint64, tag = "7")]
    pub backpressured_us: u64,
    /// Accumulated idle time, microseconds.
    #[prost(uint64, tag = "8")]
    pub idle_us: u64,
}
