//! Why a state could not be registered.

use std::time::Duration;

/// A state that cannot be registered as described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The name is taken by a state of another kind or type.
    #[error(
        "state \"{name}\" is registered as {first} and cannot be {second} too; \
         give one of them another name"
    )]
    AlreadyRegistered {
        /// The name.
        name: String,
        /// What it is.
        first: String,
        /// What it was asked to be.
        second: String,
    },
    /// The name is taken by the same state with another time to live.
    #[error(
        "state \"{name}\" is registered twice with different time-to-live configurations; \
         use one descriptor for both, or another name"
    )]
    DifferentTtl {
        /// The name.
        name: String,
    },
    /// A time to live must be at least one millisecond and fit into 64 bits of milliseconds.
    #[error(
        "the time to live of state \"{name}\" is {ttl:?}; it must be at least one millisecond and \
         less than 292 million years: correct it, or leave it out to keep state for ever"
    )]
    InvalidTtl {
        /// The name.
        name: String,
        /// What was asked for.
        ttl: Duration,
    },
    /// Operator state does not expire.
    #[error(
        "state \"{name}\" has a time to live, but only keyed state expires; \
         leave `with_ttl` out for operator and broadcast state"
    )]
    TtlOfOperatorState {
        /// The name.
        name: String,
    },
}
