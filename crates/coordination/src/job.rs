//! One job: scheduling, deployment, failover, commit and end.

mod message;

pub use message::{
    JobAction, JobEvent, JobSettings, RestartStrategy, SlotOffer, SubtaskOutput, TaskDeployment,
    TaskInput, TaskOutput, Timer, WorkerId,
};
