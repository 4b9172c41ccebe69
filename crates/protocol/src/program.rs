//! A user's program and the process that started it (client or appmaster), over a Unix socket:
//! length-delimited messages, program asks, launcher answers.

mod server;

use std::collections::BTreeMap;
use std::io;

use flott_metrics::accumulators::MergedAccumulator;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub use server::{ExecuteHandler, serve};

/// No message on this socket is larger.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// What a launcher tells a program as soon as it connects.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// Effective configuration: defaults of the job's own code rank below it.
    #[prost(btree_map = "string, string", tag = "1")]
    pub configuration: BTreeMap<String, String>,
    /// Hadoop settings for HDFS.
    #[prost(btree_map = "string, string", tag = "2")]
    pub hadoop: BTreeMap<String, String>,
    /// User for HDFS.
    #[prost(string, tag = "3")]
    pub user: String,
    /// Application attempt, from 1. `on_submit` runs in the first only.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// What a program says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProgramMessage {
    /// The message.
    #[prost(oneof = "program_message::Kind", tags = "1, 2, 3")]
    pub kind: Option<program_message::Kind>,
}

/// Kinds of [`ProgramMessage`].
pub mod program_message {
    /// What a program says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// Roles plan, submit, driver: `execute()` was called with this graph.
        #[prost(message, tag = "1")]
        Execute(flott_model::JobGraph),
        /// Embedded under a launcher: the job runs in the program under this id.
        #[prost(message, tag = "2")]
        Started(super::JobStarted),
        /// Embedded under a launcher: it ended.
        #[prost(message, tag = "3")]
        Ended(super::JobEnded),
    }
}

/// What a launcher answers to Execute.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LauncherMessage {
    /// The message.
    #[prost(oneof = "launcher_message::Kind", tags = "1, 2, 3, 4")]
    pub kind: Option<launcher_message::Kind>,
}

/// Kinds of [`LauncherMessage`].
pub mod launcher_message {
    /// What a launcher says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// First, without being asked.
        #[prost(message, tag = "1")]
        Hello(super::Hello),
        /// The job was accepted; attached programs wait for Ended.
        #[prost(message, tag = "2")]
        Started(super::JobStarted),
        /// The job ended.
        #[prost(message, tag = "3")]
        Ended(super::JobEnded),
        /// The job was not accepted, and why.
        #[prost(string, tag = "4")]
        Refused(String),
    }
}

/// A job was accepted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobStarted {
    /// Job id, 32 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Nobody waits for its end: `execute()` returns now.
    #[prost(bool, tag = "2")]
    pub detached: bool,
}

/// A job ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JobEnded {
    /// Job id.
    #[prost(string, tag = "1")]
    pub job: String,
    /// Number of its [`flott_model::JobStatus`].
    #[prost(uint32, tag = "2")]
    pub status: u32,
    /// Why, if FAILED.
    #[prost(message, optional, tag = "3")]
    pub failure: Option<flott_model::Failure>,
    /// From acceptance to end, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub runtime_ms: u64,
    /// What its subtasks accumulated.
    #[prost(message, repeated, tag = "20")]
    pub accumulators: Vec<JobAccumulator>,
}

/// An accumulator of a job, as far as it can be merged without the program's code.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobAccumulator {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its kind.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// Encoded values that are still to be merged.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub parts: Vec<Vec<u8>>,
    /// As text.
    #[prost(string, tag = "4")]
    pub text: String,
    /// Why it cannot be read; empty if it can.
    #[prost(string, tag = "5")]
    pub failure: String,
}

impl From<MergedAccumulator> for JobAccumulator {
    fn from(merged: MergedAccumulator) -> Self {
        Self {
            name: merged.name,
            kind: merged.kind,
            parts: merged.parts,
            text: merged.text,
            failure: merged.failure.unwrap_or_default(),
        }
    }
}

impl From<JobAccumulator> for MergedAccumulator {
    fn from(sent: JobAccumulator) -> Self {
        Self {
            name: sent.name,
            kind: sent.kind,
            parts: sent.parts,
            text: sent.text,
            failure: Some(sent.failure).filter(|failure| !failure.is_empty()),
        }
    }
}

/// Writes one message: u32 big-endian length, then its bytes.
pub async fn write_message<M: Message>(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> io::Result<()> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length as usize <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message is too large"))?;
    writer.write_all(&length.to_be_bytes()).await?;
    writer.write_all(&body).await?;
    writer.flush().await
}

/// Reads one message; `None` at the end of the stream.
pub async fn read_message<M: Message + Default>(
    reader: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length).await {
        Ok(_) => (),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "message is too large",
        ));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    M::decode(body.as_slice())
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
