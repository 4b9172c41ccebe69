//! Streams: what operators are applied to.

mod asynchronous;
mod broadcast;
mod connected;
mod data;
mod exchange;
mod fused;
mod interval_join;
mod keyed;
mod process;
mod settings;
mod side;
mod sink;
mod time;
pub(crate) mod transform;
pub(crate) mod window;

pub use asynchronous::AsyncDataStream;
pub use broadcast::{BroadcastConnectedStream, BroadcastStream, KeyedBroadcastConnectedStream};
pub use connected::{ConnectedStreams, KeyedConnectedStreams};
pub use data::DataStream;
pub use interval_join::{BoundedIntervalJoined, IntervalJoined};
pub use keyed::KeyedStream;
pub use sink::DataStreamSink;
