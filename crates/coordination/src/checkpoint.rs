//! Checkpoints and savepoints of a streaming job: when they are taken, when they are complete, what
//! a restart begins from, and what is deleted.
//!
//! Part of the job's state machine: [`crate::job::JobCore`] hears the events and gives the actions.

mod coordinator;
mod settings;
mod stats;
mod stored;
mod trigger;

pub(crate) use coordinator::Checkpoints;
pub use settings::{CheckpointRetention, CheckpointSettings, CheckpointingMode};
pub use stats::{
    CheckpointCounts, CheckpointRecord, CheckpointStatistics, CheckpointStatus, RestoreRecord,
    SubtaskRecord, Summary, VertexRecord,
};
pub use stored::{ClaimMode, Origin, SavepointRestore, StoredCheckpoint};
pub use trigger::{BarrierOptions, CheckpointTrigger, SnapshotResult};
