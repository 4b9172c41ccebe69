//! Keyed and operator state of one subtask, and its timers: on the heap, and the rows that do not
//! fit there in a cold store ([`cold`]).
//!
//! Rows live in [`KeyedTable`]s, addressed by the stable hash of their key, so that every row and
//! timer can be told by its key group. No I/O, no clock, no threads: the operator says what time it
//! is, and whoever makes snapshots enumerates. User code holds handles ([`ValueState`] etc.), which
//! are small values without borrow, and opens them with the context of the call.
#![warn(missing_docs)]

mod aggregating;
mod backend;
mod cells;
mod channel;
pub mod cold;
mod descriptor;
mod error;
mod list;
mod map;
mod operator_state;
mod ordered_map;
mod reducing;
mod scope;
mod sharable;
mod snapshot;
mod table;
mod timers;
mod ttl;
mod unregistered;
mod value;

pub use aggregating::{AggregateFunction, AggregatingState};
pub use backend::KeyedBackend;
pub use channel::{ChannelBlob, ChannelElement, ChannelStateError, read_channel};
pub use descriptor::{
    AggregatingStateDescriptor, ListStateDescriptor, MapStateDescriptor, ReducingStateDescriptor,
    ValueStateDescriptor,
};
pub use error::StateError;
pub use list::ListState;
pub use map::{MapIter, MapState};
pub use operator_state::{
    BroadcastState, OperatorBackend, OperatorListState, OperatorStateAccess, OperatorStateRead,
};
pub use reducing::ReducingState;
pub use scope::{InNamespace, KeyedStateAccess, StateScope, SubKey};
pub use snapshot::{
    BLOB_END_BYTES, Compression, Encoded, OperatorSnapshot, RestorePlace, RestoredOperator,
    StateBlob, StateDescription, StateKind, Unclaimed, blob_index, describe, needed_of_blob,
};
pub use table::{Drain, IntoRows, KeyedTable, Position, TableSnapshot};
pub use timers::{TimeDomain, Timer, TimerQueue, Timers};
pub use ttl::{StateTtlConfig, StateVisibility, UpdateType};
pub use value::ValueState;
