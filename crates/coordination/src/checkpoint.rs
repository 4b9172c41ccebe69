//! Checkpoints and savepoints of a streaming job: when they are taken, when they are complete, what
//! a restart begins from, and what is deleted.
//!
//! A part of the job's state machine: [`crate::job::JobCore`] hears the events and gives the actions.

mod coordinator;
mod settings;
mod stored;
mod trigger;

mod abort;
mod begin;
mod complete;
mod handover;
mod origin;

mod completed;
mod failures;
mod pending;
mod request;
mod restore;
mod schedule;
mod stats;

pub(crate) use coordinator::{Checkpoints, Effect};
pub(crate) use pending::Participant;
pub(crate) use request::Request;
pub use settings::{CheckpointRetention, CheckpointSettings, CheckpointingMode};
pub use stats::{
    CheckpointCounts, CheckpointRecord, CheckpointStatistics, CheckpointStatus, RestoreRecord,
    SubtaskRecord, Summary, VertexRecord,
};
pub use stored::{ClaimMode, Origin, SavepointRestore, StoredCheckpoint};
pub use trigger::{BarrierOptions, CheckpointTrigger, SnapshotResult};
