//! Streams: what operators are applied to.

mod data;
mod keyed;
mod sink;

pub use data::DataStream;
pub use keyed::KeyedStream;
pub use sink::DataStreamSink;
