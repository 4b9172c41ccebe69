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
    /// Keys of the configuration that the user gave on the command line: what the program sets ranks below them, and
    /// above the rest.
    #[prost(string, repeated, tag = "5")]
    pub given: Vec<String>,
}

/// What a program says. After each Execute or Collect it waits for Started or Refused; everything else may go on side by
/// side.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProgramMessage {
    /// The message.
    #[prost(oneof = "program_message::Kind", tags = "1, 2, 3, 4, 5")]
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
        /// As Execute, of a job whose records the program reads: it is attached to it, however it was started.
        #[prost(message, tag = "4")]
        Collect(flott_model::JobGraph),
        /// Something about a job that was started; there is an Answer to each.
        #[prost(message, tag = "5")]
        Ask(super::Ask),
    }
}

/// What a launcher answers to a program.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LauncherMessage {
    /// The message.
    #[prost(oneof = "launcher_message::Kind", tags = "1, 2, 3, 4, 5")]
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
        /// The job was accepted; unless it is detached Ended follows some time.
        #[prost(message, tag = "2")]
        Started(super::JobStarted),
        /// A job ended.
        #[prost(message, tag = "3")]
        Ended(super::JobEnded),
        /// The job was not accepted, and why.
        #[prost(string, tag = "4")]
        Refused(String),
        /// To Ask.
        #[prost(message, tag = "5")]
        Answer(super::Answer),
    }
}

/// A question about a job, or a wish.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ask {
    /// Tells the answers of a connection apart.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Job id.
    #[prost(string, tag = "2")]
    pub job: String,
    /// What is asked.
    #[prost(enumeration = "What", tag = "3")]
    pub what: i32,
    /// Collected: the first frame that is wanted; those before it were taken.
    #[prost(uint64, tag = "4")]
    pub from: u64,
    /// Snapshot: what is wanted.
    #[prost(message, optional, tag = "5")]
    pub snapshot: Option<Snapshot>,
}

/// A wish for a savepoint or checkpoint.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Snapshot {
    /// See [`flott_model::SnapshotKind::number`].
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Where savepoints are to go; empty: where the configuration says.
    #[prost(string, tag = "2")]
    pub directory: String,
    /// The job is cancelled with it.
    #[prost(bool, tag = "3")]
    pub cancel: bool,
}

/// Kinds of [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum What {
    /// Its status.
    Status = 0,
    /// That it is cancelled.
    Cancel = 1,
    /// Its accumulators, as they are now.
    Accumulators = 2,
    /// Records that it collected. The answer comes when there are some, when none will come, or after some seconds.
    Collected = 3,
    /// That a savepoint or checkpoint is taken. The answer comes when it is complete.
    Snapshot = 4,
}

/// The answer to [`Ask`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// Of the question.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Why there is no answer; empty if there is one.
    #[prost(string, tag = "2")]
    pub failure: String,
    /// Number of the [`flott_model::JobStatus`].
    #[prost(uint32, tag = "3")]
    pub status: u32,
    /// Accumulators.
    #[prost(message, repeated, tag = "4")]
    pub accumulators: Vec<JobAccumulator>,
    /// Collected records.
    #[prost(message, optional, tag = "5")]
    pub collected: Option<Collected>,
    /// Where the savepoint or checkpoint is.
    #[prost(string, tag = "6")]
    pub path: String,
}

impl Answer {
    /// The answer that there is none.
    pub fn failed(id: u64, why: impl Into<String>) -> Self {
        Self {
            id,
            failure: why.into(),
            ..Self::default()
        }
    }
}

/// Frames of collected records, in order; the first is the one that was asked for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Collected {
    /// The frames.
    #[prost(message, repeated, tag = "1")]
    pub frames: Vec<Frame>,
    /// The job has ended: no frame will come that is not here.
    #[prost(bool, tag = "2")]
    pub over: bool,
    /// Why the records cannot be had any more; empty if they can.
    #[prost(string, tag = "3")]
    pub failure: String,
}

/// Records, encoded one after the other.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Frame {
    /// How many.
    #[prost(uint32, tag = "1")]
    pub rows: u32,
    /// The records.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
    /// None follows.
    #[prost(bool, tag = "3")]
    pub last: bool,
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
    /// CANCELED because the program itself wanted that: no failure.
    #[prost(bool, tag = "21")]
    pub as_wanted: bool,
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

/// A message as it travels: u32 big-endian length, then its bytes.
pub fn encode_message<M: Message>(message: &M) -> io::Result<Vec<u8>> {
    let length = u32::try_from(message.encoded_len())
        .ok()
        .filter(|length| *length as usize <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message is too large"))?;
    let mut bytes = Vec::with_capacity(4 + length as usize);
    bytes.extend_from_slice(&length.to_be_bytes());
    message
        .encode(&mut bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(bytes)
}

/// Writes one message.
pub async fn write_message<M: Message>(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> io::Result<()> {
    writer.write_all(&encode_message(message)?).await?;
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
    let mut body = vec![0; body_length(length)?];
    reader.read_exact(&mut body).await?;
    decode_body(&body).map(Some)
}

/// As [`read_message`], on a thread that may wait.
pub fn read_message_blocking<M: Message + Default>(
    reader: &mut impl io::Read,
) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; body_length(length)?];
    reader.read_exact(&mut body)?;
    decode_body(&body).map(Some)
}

fn body_length(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "message is too large",
        ));
    }
    Ok(length)
}

fn decode_body<M: Message + Default>(body: &[u8]) -> io::Result<M> {
    M::decode(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
