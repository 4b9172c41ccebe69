//! What runs inside a task: operators, sources and sinks, and the traits they meet in.
//!
//! Stateless operators are fused by generics ([`pipe`]); everything else meets at [`BatchSink`],
//! one dynamic call per batch.

pub mod chain;
mod collect;
mod context;
mod error;
pub mod keyed;
pub mod pipe;
pub mod sink;
pub mod source;

pub use chain::BatchSink;
pub use collect::Collect;
pub use context::{Committables, SubtaskContext, TaskCounters};
pub use error::TaskError;
