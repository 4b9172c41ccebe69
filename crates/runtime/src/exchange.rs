//! The ends of an exchange inside a task: typed ports over local rings or remote byte channels, the
//! writers that spread rows over them, and the gate that merges them again.

mod blocking;
mod gate;
mod inputs;
mod merge;
mod port;
mod scatter;
mod streams;
mod tap;
mod writer;

pub use blocking::{MissingPartitions, PartitionInput, PartitionLayout, PartitionOutput};
pub use gate::Gate;
pub use inputs::InputChannel;
pub use merge::Event;
pub use port::{OutputPort, Ports};
pub use streams::{InputSet, OneInput, Start, TwoInputs};
pub use writer::{
    BroadcastRouter, CustomRouter, ExchangeWriter, FirstRouter, KeyRouter, RoundRobinRouter,
    Router, ShuffleRouter,
};

use std::any::Any;

use flott_network::{RemoteReceiver, RemoteSender};
use flott_operators::checkpoint::ChannelEnd;

/// Something typed on its way through the untyped plan; the factory that made it knows the type.
pub type AnyBox = Box<dyn Any + Send>;

/// The sending half of a channel, as the worker made it.
pub enum OutputHalf {
    /// A `LocalSender<T>`.
    Local(AnyBox, ChannelEnd),
    /// Bytes to another process.
    Remote(RemoteSender, ChannelEnd),
    /// Bytes to disk, for all targets: the only half of its edge.
    Partition(Box<PartitionOutput>),
}

/// The receiving half of a channel, as the worker made it.
pub enum InputHalf {
    /// A `LocalReceiver<T>`.
    Local(AnyBox, ChannelEnd),
    /// Bytes from another process.
    Remote(RemoteReceiver, ChannelEnd),
    /// Bytes from disk, of all sources: the only half of its edge.
    Partition(Box<PartitionInput>),
}

/// Takes a typed thing out of its box.
///
/// # Panics
/// If the plan mixed up types: a bug in the SDK, not in the user's program.
pub fn unbox<T: 'static>(boxed: AnyBox) -> T {
    *boxed
        .downcast::<T>()
        .expect("plan and factories agree on the type of each edge")
}
