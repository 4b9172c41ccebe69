//! Process functions, connected and broadcast streams, interval joins and asynchronous functions as
//! whole jobs on the embedded cluster, against naive computations.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod asynchronous;
mod broadcast;
mod child;
mod connected;
mod event_time;
mod failures;
mod interval;
mod keyed;
mod processing_time;
mod sides;
#[path = "../jobs/support.rs"]
#[allow(dead_code, reason = "shared with the tests of whole jobs")]
mod support;
