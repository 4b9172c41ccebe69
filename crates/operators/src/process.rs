//! Process functions: code of the user that sees each record with its time, keyed state and timers.
//!
//! The functions are traits ([`KeyedProcessFunction`] etc.); what they may ask and do is their
//! context. `driver` runs them: timers in order, back pressure, the place of an error.

mod broadcast;
mod co;
mod context;
mod driver;
mod function;
mod host;
mod keyed;
mod plain;
mod runtime;
mod sides;
mod timer_service;

pub use broadcast::{
    BroadcastContext, BroadcastProcessFunction, BroadcastStates, KeyedBroadcastContext,
    KeyedBroadcastProcessFunction, KeyedReadOnlyContext, KeyedStateKeys, ReadOnlyContext,
    broadcast_process, keyed_broadcast_process,
};
pub use co::{
    CoFlatMap, CoMap, CoProcessFunction, KeyedCoProcessFunction, co_process, keyed_co_process,
};
pub use context::{KeyedContext, ProcessContext};
pub use function::{BoxError, FunctionResult};
pub use keyed::{KeyedProcessFn, KeyedProcessFunction, keyed_process};
pub use plain::{ProcessFn, ProcessFunction, process};
pub use runtime::{KeyedRuntimeContext, RuntimeContext};
pub use sides::Sides;
pub use timer_service::TimerService;

pub(crate) use driver::{Call, Logic, TwoInputs};
pub(crate) use function::user_error;
pub(crate) use host::{Either, Host};
pub(crate) use keyed::set_key;
pub(crate) use sides::other_type;

#[cfg(test)]
mod tests;
