//! The words every part of Flott shares: ids, the job graph, statuses, failures.
//!
//! Plain data: no I/O, no async, no clock.

mod checkpoint;
mod failure;
mod graph;
mod id;
mod resource;
mod status;

pub use checkpoint::{
    ALIGNED_CHECKPOINT_VERSION, CHECKPOINT_VERSION, ChannelRestore, ChannelState, CheckpointId,
    CheckpointMetadata, EdgeName, EnumeratorState, MetadataError, OldSubtaskState, OperatorRestore,
    OperatorSubtaskState, SnapshotKind, StateHandle, StoredCommittable, SubtaskRestore,
    SubtaskSnapshot, VertexSnapshot, checkpoint_version, key_groups_of,
};
pub use failure::{Failure, FailureClass};
pub use graph::{
    Exchange, GraphError, JobEdge, JobGraph, JobVertex, OnceValue, OperatorMeta, PROTOCOL_VERSION,
    ROCKSDB, RuntimeMode, ShipStrategy,
};
pub use id::{
    ContainerId, EdgeId, Epoch, ExecutionAttemptId, Incarnation, JobId, OperatorUid, ParseIdError,
    SlotId, VertexId,
};
pub use resource::{GroupResources, ResourceProfile};
pub use status::{ExecutionState, JobStatus};
