//! Checkpoints as data: what they are called, what a subtask hands over, what is stored about them.

mod file;

use crate::{Epoch, OperatorUid};

pub use file::MetadataError;

/// The number of a checkpoint within its job; savepoints are numbered with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub u64);

impl std::fmt::Display for CheckpointId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

/// What a barrier asks of those who meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotKind {
    /// A checkpoint of the engine's own: may share files with earlier ones.
    Checkpoint,
    /// A savepoint: self-contained, canonical.
    Savepoint,
    /// A savepoint after which sources stop; nothing more is emitted, windows stay open.
    StopWithSavepoint,
    /// The same, after the end of time: all timers and windows fire before the barrier.
    DrainWithSavepoint,
}

impl SnapshotKind {
    /// The number used on the wire and in storage.
    pub fn number(self) -> u32 {
        match self {
            Self::Checkpoint => 0,
            Self::Savepoint => 1,
            Self::StopWithSavepoint => 2,
            Self::DrainWithSavepoint => 3,
        }
    }

    /// The kind of a number; `None` if there is no such kind.
    pub fn from_number(number: u32) -> Option<Self> {
        [
            Self::Checkpoint,
            Self::Savepoint,
            Self::StopWithSavepoint,
            Self::DrainWithSavepoint,
        ]
        .into_iter()
        .find(|kind| kind.number() == number)
    }

    /// Whether it is a savepoint.
    pub fn is_savepoint(self) -> bool {
        self != Self::Checkpoint
    }

    /// Whether sources stop after it.
    pub fn stops(self) -> bool {
        matches!(self, Self::StopWithSavepoint | Self::DrainWithSavepoint)
    }
}

/// Where some state is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StateHandle {
    /// The state itself, if it is small; then there is no file.
    #[prost(bytes = "vec", tag = "1")]
    pub inline: Vec<u8>,
    /// The file it is in: a name in the checkpoint's directory, or a whole path.
    #[prost(string, tag = "2")]
    pub file: String,
    /// Where it begins in the file.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    /// How many bytes it has.
    #[prost(uint64, tag = "4")]
    pub length: u64,
}

/// The state of one operator of one subtask.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OperatorSubtaskState {
    /// Uid of the operator: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub operator: Vec<u8>,
    /// Its keyed state, by key group.
    #[prost(message, optional, tag = "2")]
    pub keyed: Option<StateHandle>,
    /// The first key group of the subtask.
    #[prost(uint32, tag = "3")]
    pub first_key_group: u32,
    /// How many key groups it has.
    #[prost(uint32, tag = "4")]
    pub key_groups: u32,
    /// Its operator state.
    #[prost(message, optional, tag = "5")]
    pub state: Option<StateHandle>,
    /// Each part of its operator state belongs to one subtask: with the same parallelism nobody else
    /// needs it. False if there is union or broadcast state.
    #[prost(bool, tag = "6")]
    pub own: bool,
}

impl OperatorSubtaskState {
    /// The uid of the operator; `None` if the bytes are none.
    pub fn uid(&self) -> Option<OperatorUid> {
        uid_of(&self.operator)
    }
}

/// The uid that 16 bytes, big-endian, stand for; `None` if they are not 16.
fn uid_of(bytes: &[u8]) -> Option<OperatorUid> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Some(OperatorUid(u128::from_be_bytes(bytes)))
}

/// What a sink wants committed once its checkpoint is complete; opaque to the control plane.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct StoredCommittable {
    /// Uid of the sink: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub operator: Vec<u8>,
    /// The encoded committable.
    #[prost(bytes = "vec", tag = "2")]
    pub committable: Vec<u8>,
    /// Unlike that of any other of the job, whatever it says; it is the same whenever this one is handed
    /// over. Empty: nobody can tell whether it came before.
    #[prost(string, tag = "3")]
    pub id: String,
}

impl StoredCommittable {
    /// The uid of the sink; `None` if the bytes are none.
    pub fn uid(&self) -> Option<OperatorUid> {
        uid_of(&self.operator)
    }
}

/// What one subtask hands over for one checkpoint.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubtaskSnapshot {
    /// By operator, in order of the chain; operators without state are left out.
    #[prost(message, repeated, tag = "1")]
    pub operators: Vec<OperatorSubtaskState>,
    /// What its sinks want committed.
    #[prost(message, repeated, tag = "2")]
    pub committables: Vec<StoredCommittable>,
    /// The subtask had finished: it has no state any more.
    #[prost(bool, tag = "3")]
    pub finished: bool,
    /// Bytes written for it, in files and inline.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    /// Milliseconds from the first barrier to the last.
    #[prost(uint64, tag = "5")]
    pub alignment_ms: u64,
    /// Milliseconds in which the subtask did nothing else.
    #[prost(uint64, tag = "6")]
    pub sync_ms: u64,
    /// Milliseconds of encoding and writing.
    #[prost(uint64, tag = "7")]
    pub async_ms: u64,
    /// Milliseconds from the trigger until the first barrier came.
    #[prost(uint64, tag = "8")]
    pub start_delay_ms: u64,
    /// What its barrier overtook in the channels at its ends.
    #[prost(message, repeated, tag = "9")]
    pub channels: Vec<ChannelState>,
    /// Its barrier overtook rows, or could have.
    #[prost(bool, tag = "10")]
    pub unaligned: bool,
    /// Bytes that were processed between the first barrier and the last, if the barrier overtook them.
    #[prost(uint64, tag = "11")]
    pub processed_bytes: u64,
    /// Bytes of `channels`.
    #[prost(uint64, tag = "12")]
    pub persisted_bytes: u64,
}

/// An edge by what it connects: positions change with the program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct EdgeName {
    /// Uid of the first operator of the vertex that sends: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub source: Vec<u8>,
    /// The same of the vertex that receives.
    #[prost(bytes = "vec", tag = "2")]
    pub target: Vec<u8>,
    /// Among the edges between the two, in order of the graph.
    #[prost(uint32, tag = "3")]
    pub ordinal: u32,
}

/// What was on its way in a channel, as it was found at one end.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelState {
    /// The edge.
    #[prost(message, optional, tag = "1")]
    pub edge: Option<EdgeName>,
    /// The subtask at the other end.
    #[prost(uint32, tag = "2")]
    pub peer: u32,
    /// It was found at the receiving end: what is of the sending end comes behind it.
    #[prost(bool, tag = "3")]
    pub received: bool,
    /// How the edge spreads records: see [`crate::ShipStrategy`].
    #[prost(int32, tag = "4")]
    pub ship: i32,
    /// The records, encoded.
    #[prost(message, optional, tag = "5")]
    pub state: Option<StateHandle>,
}

/// The enumerator of one source, and what it gave out lately.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EnumeratorState {
    /// Uid of the source: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub operator: Vec<u8>,
    /// Opaque: enumerator and assignments since the last completed checkpoint.
    #[prost(bytes = "vec", tag = "2")]
    pub state: Vec<u8>,
}

/// The snapshots of one vertex.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct VertexSnapshot {
    /// Uid of its first operator: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub uid: Vec<u8>,
    /// Name shown to users.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Uids and names of its operators.
    #[prost(message, repeated, tag = "3")]
    pub operators: Vec<crate::OperatorMeta>,
    /// Number of key groups.
    #[prost(uint32, tag = "4")]
    pub max_parallelism: u32,
    /// By subtask; as many as the parallelism was.
    #[prost(message, repeated, tag = "5")]
    pub subtasks: Vec<SubtaskSnapshot>,
}

/// The content of `_metadata`: a complete checkpoint or savepoint.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CheckpointMetadata {
    /// Version of this layout.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Id of the job that took it, in hexadecimal.
    #[prost(string, tag = "2")]
    pub job: String,
    /// Name of that job.
    #[prost(string, tag = "3")]
    pub job_name: String,
    /// Its number.
    #[prost(uint64, tag = "4")]
    pub id: u64,
    /// Term of the JobManager that completed it.
    #[prost(uint32, tag = "5")]
    pub epoch: u32,
    /// See [`SnapshotKind::number`].
    #[prost(uint32, tag = "6")]
    pub kind: u32,
    /// When it was triggered, in milliseconds since the epoch.
    #[prost(int64, tag = "7")]
    pub timestamp_ms: i64,
    /// By vertex.
    #[prost(message, repeated, tag = "8")]
    pub vertices: Vec<VertexSnapshot>,
    /// By source.
    #[prost(message, repeated, tag = "9")]
    pub enumerators: Vec<EnumeratorState>,
    /// Committables of earlier checkpoints that are not known to be committed.
    #[prost(message, repeated, tag = "10")]
    pub uncommitted: Vec<StoredCommittable>,
}

/// The newest version that is known.
pub const CHECKPOINT_VERSION: u32 = 2;
/// The version of a checkpoint with nothing in its channels: releases that know no others read it.
pub const ALIGNED_CHECKPOINT_VERSION: u32 = 1;

/// The version that a checkpoint of these vertices is written with.
pub fn checkpoint_version(vertices: &[VertexSnapshot]) -> u32 {
    let mut subtasks = vertices.iter().flat_map(|vertex| &vertex.subtasks);
    if subtasks.any(|subtask| !subtask.channels.is_empty()) {
        CHECKPOINT_VERSION
    } else {
        ALIGNED_CHECKPOINT_VERSION
    }
}

impl CheckpointMetadata {
    /// Its id.
    pub fn checkpoint(&self) -> CheckpointId {
        CheckpointId(self.id)
    }

    /// The term of the JobManager that completed it.
    pub fn term(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Everything it wants committed: what came earlier first.
    pub fn committables(&self) -> impl Iterator<Item = &StoredCommittable> {
        let own = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let own = own.flat_map(|subtask| &subtask.committables);
        self.uncommitted.iter().chain(own)
    }

    /// The files it needs, as its handles name them; one may come several times.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let states = subtasks.flat_map(|subtask| &subtask.operators);
        let handles = states.flat_map(|state| state.keyed.iter().chain(&state.state));
        let subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let channels = subtasks.flat_map(|subtask| &subtask.channels);
        let in_flight = channels.filter_map(|channel| channel.state.as_ref());
        handles
            .chain(in_flight)
            .map(|handle| handle.file.as_str())
            .filter(|file| !file.is_empty())
    }

    /// Bytes of all state.
    pub fn bytes(&self) -> u64 {
        let subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        subtasks.map(|subtask| subtask.bytes).sum()
    }
}

/// What a subtask is given of the checkpoint it begins from.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubtaskRestore {
    /// The checkpoint.
    #[prost(uint64, tag = "1")]
    pub checkpoint: u64,
    /// The directory that names of files in handles are relative to.
    #[prost(string, tag = "2")]
    pub directory: String,
    /// By operator.
    #[prost(message, repeated, tag = "3")]
    pub operators: Vec<OperatorRestore>,
    /// The subtask had finished: it only sends its end.
    #[prost(bool, tag = "4")]
    pub finished: bool,
    /// What it sends before anything else, in order.
    #[prost(message, repeated, tag = "5")]
    pub channels: Vec<ChannelRestore>,
}

/// What was on its way in one channel, or what is left of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelRestore {
    /// The edge, by its position in the job's graph.
    #[prost(uint32, tag = "1")]
    pub edge: u32,
    /// The subtask that it goes to; none: each record to where it belongs now.
    #[prost(uint32, optional, tag = "2")]
    pub target: Option<u32>,
    /// The parts, in order.
    #[prost(message, repeated, tag = "3")]
    pub states: Vec<StateHandle>,
}

/// What one operator of a subtask is given.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OperatorRestore {
    /// Uid of the operator: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub operator: Vec<u8>,
    /// Keyed blobs whose key groups overlap those of the subtask.
    #[prost(message, repeated, tag = "2")]
    pub keyed: Vec<StateHandle>,
    /// The operator blobs of all old subtasks.
    #[prost(message, repeated, tag = "3")]
    pub states: Vec<OldSubtaskState>,
    /// How many subtasks there were.
    #[prost(uint32, tag = "4")]
    pub old_parallelism: u32,
}

/// The operator blob of one old subtask.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OldSubtaskState {
    /// Its index.
    #[prost(uint32, tag = "1")]
    pub subtask: u32,
    /// Where the blob is.
    #[prost(message, optional, tag = "2")]
    pub state: Option<StateHandle>,
}

/// The key groups of a subtask: the first, and how many.
pub fn key_groups_of(subtask: u32, parallelism: u32, max_parallelism: u32) -> (u32, u32) {
    let (subtask, parallelism, all) = (
        u64::from(subtask),
        u64::from(parallelism.max(1)),
        u64::from(max_parallelism),
    );
    let first = (subtask * all).div_ceil(parallelism);
    let end = ((subtask + 1) * all).div_ceil(parallelism);
    // Both are at most `max_parallelism`.
    (first as u32, (end - first) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_groups_are_those_that_rows_are_sent_by() {
        for (parallelism, max_parallelism) in [(1, 128), (3, 128), (7, 10), (128, 128), (5, 32_768)]
        {
            let mut next = 0;
            for subtask in 0..parallelism {
                let (first, count) = key_groups_of(subtask, parallelism, max_parallelism);
                assert_eq!(first, next);
                for group in first..first + count {
                    let to = u64::from(group) * u64::from(parallelism) / u64::from(max_parallelism);
                    assert_eq!(to, u64::from(subtask));
                }
                next = first + count;
            }
            assert_eq!(next, max_parallelism);
        }
    }

    #[test]
    fn kinds_have_their_numbers() {
        for number in 0..4 {
            let kind = SnapshotKind::from_number(number).unwrap();
            assert_eq!(kind.number(), number);
        }
        assert_eq!(SnapshotKind::from_number(4), None);
    }
}
