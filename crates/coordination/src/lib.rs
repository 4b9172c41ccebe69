//! Every decision of the control plane, as pure state machines: events in, actions out.
//!
//! No I/O, no async, no clock, no randomness: the shell in `jobmanager` performs the actions and
//! reports their outcome as later events, and `simulation` drives the same code from a seed.

#![warn(missing_docs, clippy::wildcard_enum_match_arm)]

pub mod checkpoint;
pub mod job;
mod requirement;
pub mod resource;

pub use requirement::SlotRequirement;

/// Time since the shell started, supplied by the caller.
pub type Timestamp = std::time::Duration;
