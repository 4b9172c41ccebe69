//! YARN: types, the REST interface of the ResourceManager, and the protocols of an ApplicationMaster.

pub mod am_nm;
pub mod am_rm;
pub mod client;
mod ids;
pub mod launch;
mod nm_tokens;
pub mod proto;
pub mod rest;
pub mod types;

pub use am_nm::{NmError, NodeManagerClient};
pub use am_rm::{
    AllocateInput, Allocation, AllocationRequestId, AmClient, AmError, Ask, FinalStatus,
    Registration,
};
pub use launch::{
    Access, LaunchContext, LocalResource, LocalResourceKind, ShellCommand, Visibility,
};
pub use nm_tokens::NmTokens;
pub use rest::{ApplicationReport, ResourceManagerRest, RestError, SubmissionContext};
pub use types::{
    ApplicationAttemptId, ApplicationId, Container, ContainerId, ContainerState, ContainerStatus,
    NodeId, Resource, explain_exit,
};
