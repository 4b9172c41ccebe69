//! Whole jobs on the embedded cluster. One executable, so that it is linked once; what needs a
//! configuration of its own runs in children of it (`child`).

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod asynchronous;
mod child;
mod collect;
mod environment;
mod failures;
mod operators;
mod output;
mod plan;
mod pressure;
mod random;
mod reading;
mod resources;
mod sinks;
mod sources;
mod support;
