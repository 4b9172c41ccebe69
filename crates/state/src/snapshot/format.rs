//! The bytes of a blob, version 1. Frozen: `testdata/snapshot-v1` is read by a test for ever.
//!
//! ```text
//! blob    := "FLTS" | version u16 | 0 u16 | block* | footer | footer length u32 | crc32c u32 | "STLF"
//! block   := first u32 | last u32 | rows u32 | raw u32 | stored u32 | codec u32 | crc32c u32 | stored bytes
//! footer  := what `Footer` is in the codec of records; the checksum covers it and its length
//! ```
//! Little endian. The checksum of a block covers its header and its stored bytes. A block holds rows
//! in the codec of records, one after the other, by ascending key group; `first` and `last` are the
//! groups of the first and the last one. The blocks of a state are contiguous and in the same order,
//! so a group may be in several blocks, and a block may have several groups. Operator state has no
//! groups: its blocks are of group 0.

use flott_record::schema::Schema;
use serde::{Deserialize, Serialize};

pub(super) const MAGIC: [u8; 4] = *b"FLTS";
pub(super) const END_MAGIC: [u8; 4] = *b"STLF";
pub(super) const VERSION: u16 = 1;
pub(super) const HEADER_BYTES: u64 = 8;
pub(super) const TRAILER_BYTES: u64 = 12;
pub(super) const BLOCK_HEADER_BYTES: usize = 28;

/// Raw bytes at which a block is closed.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
/// Most rows of a block: rows may have no bytes at all.
pub(super) const BLOCK_ROWS: u32 = 64 * 1024;

/// LZ4 does not make anything smaller by more than this factor: what claims to is corrupt.
pub(super) const MOST_LZ4: u64 = 255;

/// How the bytes of a block are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None = 0,
    Lz4 = 1,
}

/// What a state is. Stored with it: append variants, never reorder them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StateKind {
    /// A table that an operator keeps for itself.
    Table,
    /// Timers that an operator keeps for itself.
    Timers,
    /// One value per key.
    Value,
    /// A list per key.
    List,
    /// A map per key.
    Map,
    /// One value per key, combined of those that were added.
    Reducing,
    /// One accumulator per key.
    Aggregating,
    /// The timers of the user's function.
    UserTimers,
    /// A value that a subtask of an operator keeps for itself.
    SubtaskValue,
    /// Elements that an operator keeps for itself; each goes to one subtask.
    SubtaskList,
    /// A list of operator state: each element goes to one subtask.
    OperatorList,
    /// A list of operator state of which every subtask gets all elements.
    UnionList,
    /// A map that is the same in all subtasks.
    Broadcast,
}

/// Names are unique among the states of one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The operator itself.
    Operator,
    /// The user's function.
    Function,
    /// The backend, for the user's function.
    Backend,
}

impl StateKind {
    pub(super) fn origin(self) -> Origin {
        match self {
            Self::Table | Self::Timers | Self::SubtaskValue | Self::SubtaskList => Origin::Operator,
            Self::UserTimers => Origin::Backend,
            _ => Origin::Function,
        }
    }

    /// Whether its rows belong to keys.
    pub fn is_keyed(self) -> bool {
        self <= Self::UserTimers
    }

    /// As messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "a table of the operator",
            Self::Timers => "timers of the operator",
            Self::Value => "a value state",
            Self::List => "a list state",
            Self::Map => "a map state",
            Self::Reducing => "a reducing state",
            Self::Aggregating => "an aggregating state",
            Self::UserTimers => "timers of the function",
            Self::SubtaskValue => "a value of the operator",
            Self::SubtaskList => "a list of the operator",
            Self::OperatorList => "a list of operator state",
            Self::UnionList => "a union list of operator state",
            Self::Broadcast => "a broadcast state",
        }
    }
}

/// What is in a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) max_parallelism: u32,
    pub(super) states: Vec<StateEntry>,
}

/// One state of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateEntry {
    pub(super) name: String,
    pub(super) kind: StateKind,
    /// Milliseconds to live; rows then have the time of their last use. A description: another
    /// time may be wanted at restore.
    pub(super) ttl: Option<i64>,
    /// The key of a row, with its namespace if there is one; `None` for lists and values.
    pub(super) key: Option<Schema>,
    pub(super) value: Schema,
    pub(super) rows: u64,
    /// Bytes of the rows before compression.
    pub(super) raw: u64,
    pub(super) blocks: Vec<BlockEntry>,
    /// Where the last block ends.
    pub(super) end: u64,
}

/// Where a block is: up to where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    /// The key groups of its first and its last row.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) offset: u64,
    pub(super) rows: u32,
}

impl StateEntry {
    /// Bytes as they are stored.
    pub(super) fn stored(&self) -> u64 {
        self.blocks
            .first()
            .map_or(0, |first| self.end.saturating_sub(first.offset))
    }
}

/// The header of a block without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) rows: u32,
    pub(super) raw: u32,
    pub(super) stored: u32,
    pub(super) codec: u32,
}

impl BlockHeader {
    /// With the checksum over it and the stored bytes.
    pub(super) fn encode(&self, stored: &[u8]) -> [u8; BLOCK_HEADER_BYTES] {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        let words = [
            self.first,
            self.last,
            self.rows,
            self.raw,
            self.stored,
            self.codec,
        ];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (words, checksum) = bytes.split_at_mut(BLOCK_HEADER_BYTES - 4);
        let sum = crc32c::crc32c_append(crc32c::crc32c(words), stored);
        checksum.copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; BLOCK_HEADER_BYTES]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            first: word(0),
            last: word(4),
            rows: word(8),
            raw: word(12),
            stored: word(16),
            codec: word(20),
        }
    }
}

/// The checksum of the footer and its length.
pub(super) fn footer_checksum(footer: &[u8], length: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(footer), &length.to_le_bytes())
}
