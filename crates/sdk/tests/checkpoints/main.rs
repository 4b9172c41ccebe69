//! Jobs that take checkpoints, fail, and go on from them, on the embedded cluster.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod backends;
mod exactly_once;
mod frozen;
mod memory;
mod operators;
mod savepoints;
mod storage;
#[path = "../jobs/support.rs"]
#[allow(dead_code, reason = "shared with the other suites of whole jobs")]
mod support;
mod unaligned;
