//! Streams: what operators are applied to.

mod data;
mod keyed;
mod sink;
pub(crate) mod transform;

pub use data::DataStream;
pub use keyed::KeyedStream;
pub use sink::DataStreamSink;
