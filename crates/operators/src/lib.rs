//! What runs inside a task: operators, sources and sinks, and the traits they meet in.
//!
//! Stateless operators are fused by generics ([`pipe`]); everything else meets at [`BatchSink`],
//! one dynamic call per batch.

pub mod asynchronous;
pub mod blame;
pub mod chain;
pub mod checkpoint;
mod clock;
mod collect;
mod context;
mod error;
pub mod flow;
pub mod join;
pub mod keyed;
mod output;
pub mod pipe;
pub mod process;
mod results;
pub mod side;
pub mod sink;
pub mod source;
pub mod time;
pub mod window;

pub use chain::{BatchSink, TwoInputSink};
pub use checkpoint::{Checkpoints, OperatorCheckpoints};
pub use clock::TaskClock;
pub use collect::Collect;
pub use context::{Doing, EmitLag, OperatorIdentity, Queues, SubtaskContext, TaskCounters};
pub use error::TaskError;
pub use output::{Collector, Output};
pub use results::{ResultFrame, ResultPort};
pub use side::OutputTag;
