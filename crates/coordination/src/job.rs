//! One job: scheduling, deployment, failover, commit and end.
//!
//! [`JobCore`] holds the state and routes events; each concern is a file of its own.

mod core;
mod message;
mod phase;

mod commit;
mod failover;
mod recovery;
mod scheduling;
mod snapshots;
mod stages;

mod cause;
mod deployment;
mod execution;
mod invariants;
mod regions;
mod restart;
mod slots;
mod topology;
mod workers;

#[cfg(test)]
mod testkit;

pub use cause::FailureRecord;
pub use core::{ExecutionView, JobCore};
pub use message::{
    JobAction, JobEvent, JobSettings, PartitionShape, RestartStrategy, SlotOffer, TaskDeployment,
    TaskInput, TaskOutput, Timer, WorkerId,
};
