//! Runs tasks: the scheduler, the ends of the exchange, the plan that turns a job graph and its
//! factories into tasks, and the worker that obeys a JobMaster.

mod barriers;
mod coordinator;
pub mod exchange;
mod pacer;
mod pieces;
pub mod plan;
mod pressure;
pub mod scheduler;
mod source_task;
mod stacks;
pub mod worker;

pub use pacer::BufferTimeout;
pub use pressure::pause_sources;
pub use source_task::SourceTask;
