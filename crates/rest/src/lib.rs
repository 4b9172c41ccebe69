//! The REST interface of a JobManager: Flink's paths and JSON over a Dispatcher.

mod cluster;
mod error;
mod exceptions;
mod execution_result;
mod job;
mod plan;
mod router;
mod states;

pub use router::{RestState, router, serve};
