//! Windows as whole jobs on the embedded cluster, against computations from the definitions: any
//! parallelism, one container or several.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod batch;
mod child;
mod definitions;
mod failures;
mod joins;
mod late;
mod random;
mod stream;
#[path = "../jobs/support.rs"]
#[allow(dead_code, reason = "shared with the tests of whole jobs")]
mod support;
