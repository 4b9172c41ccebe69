//! Snapshots of state: what an operator hands over at a barrier ([`OperatorSnapshot`]), the canonical
//! bytes of it, and what an operator begins from ([`RestoredOperator`]).
//!
//! Each operator of a subtask gives at most one *keyed blob*, by key group, and one *operator blob*.
//! Where blobs are kept is somebody else's business. Backends differ in how they keep rows, never
//! in this format.

mod blob;
mod describe;
mod format;
mod operator;
mod part;
mod reader;
mod restore;
mod select;
mod writer;

pub use blob::StateBlob;
pub use describe::{StateDescription, describe};
pub use format::StateKind;
pub use operator::{Encoded, OperatorSnapshot};
pub use restore::{RestorePlace, RestoredOperator, Unclaimed};
pub use select::{BLOB_END_BYTES, blob_index, needed_of_blob};

pub(crate) use part::{BroadcastPart, Expiry, ListPart, Part, TablePart, TimersPart};
pub(crate) use restore::Wanted;

/// How the rows of a snapshot are compressed. Reading finds out by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None,
    /// Blocks of 64 KiB by LZ4, where that makes them smaller.
    Lz4,
}
