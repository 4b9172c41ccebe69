//! The REST interface of a JobManager: Flink's paths and JSON over a Dispatcher.

mod accumulators;
mod backpressure;
mod checkpoints;
mod cluster;
mod collected;
mod error;
mod exceptions;
mod execution_result;
mod executor;
mod job;
mod metrics;
mod operations;
mod plan;
mod router;
mod stacks;
mod states;

pub use router::{RestState, router, serve};
