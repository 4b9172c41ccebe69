//! The agent of a container: connects to the JobManager, starts worker processes when told, and
//! reports how they end. Runs no user code itself.

mod agent;
mod bundle;
mod guard;
mod local_state;
mod memory;
mod partitions;
mod supervisor;
mod workers;

pub use agent::{Agent, AgentEnd, AgentSettings};
