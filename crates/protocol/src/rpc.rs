//! gRPC between the JobManager and those who dial it: agents and workers, one stream each way.
//!
//! The messages are prost structs written by hand, so there is no .proto file to compile. Above
//! this module everything is channels; an embedded cluster uses the same channels without it.

mod client;
mod secret;
mod server;

use std::time::Duration;

pub use client::{ConnectError, connect_agent, connect_worker, fetch_blob};
pub use secret::{InvalidHex, Secret, Token, hex, unhex};
pub use server::{BlobSource, Endpoint, ServeError, serve};

/// Messages that may wait in each direction of a connection before its sender has to wait.
pub const CHANNEL_CAPACITY: usize = 256;
/// Largest message; committables of a finished task are the largest thing in one.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Bytes of a file in one [`crate::message::BlobChunk`].
const BLOB_CHUNK_BYTES: usize = 256 << 10;
/// A connection without any traffic is probed that often, …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// … and closed if the probe is not answered for that long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

const AGENT_PATH: &str = "/flott.Agent/Connect";
const WORKER_PATH: &str = "/flott.Worker/Connect";
const BLOB_PATH: &str = "/flott.Blob/Fetch";

/// Metadata with the caller's token in hexadecimal digits.
const TOKEN_KEY: &str = "flott-token";
/// Metadata with the job a worker belongs to.
const JOB_KEY: &str = "flott-job";

#[cfg(test)]
mod tests;
