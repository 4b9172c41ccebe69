//! State of process functions: descriptors, with which `open` registers it, and handles, which open
//! the state of the current key with the context of a call.
//!
//! The default of a handle is one that is not registered yet: for the fields of a function.

pub use flott_state::{
    AggregatingState, AggregatingStateDescriptor, BroadcastState, KeyedBackend, KeyedStateAccess,
    ListState, ListStateDescriptor, MapState, MapStateDescriptor, OperatorListState,
    OperatorStateAccess, OperatorStateRead, ReducingState, ReducingStateDescriptor, StateError,
    StateTtlConfig, StateVisibility, SubKey, TimeDomain, UpdateType, ValueState,
    ValueStateDescriptor,
};
