//! Why a state could not be registered, written into a snapshot, or restored from one.

use std::io;
use std::time::Duration;

use flott_record::codec::CodecError;
use flott_record::schema::SchemaError;

/// What went wrong with state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The name is taken by a state of another kind or type.
    #[error(
        "state \"{name}\" is registered as {first} and cannot be {second} too; \
         give one of them another name"
    )]
    AlreadyRegistered {
        /// The name.
        name: String,
        /// What it is.
        first: String,
        /// What it was asked to be.
        second: String,
    },
    /// The name is taken by the same state with another time to live.
    #[error(
        "state \"{name}\" is registered twice with different time-to-live configurations; \
         use one descriptor for both, or another name"
    )]
    DifferentTtl {
        /// The name.
        name: String,
    },
    /// A time to live must be at least one millisecond and fit into 64 bits of milliseconds.
    #[error(
        "the time to live of state \"{name}\" is {ttl:?}; it must be at least one millisecond and \
         less than 292 million years: correct it, or leave it out to keep state for ever"
    )]
    InvalidTtl {
        /// The name.
        name: String,
        /// What was asked for.
        ttl: Duration,
    },
    /// Operator state does not expire.
    #[error(
        "state \"{name}\" has a time to live, but only keyed state expires; \
         leave `with_ttl` out for operator and broadcast state"
    )]
    TtlOfOperatorState {
        /// The name.
        name: String,
    },
    /// A type has no schema.
    #[error("the type of state \"{state}\" cannot be described: it cannot be kept in a snapshot")]
    Schema {
        /// The name of the state.
        state: String,
        /// What is wrong with the type.
        source: SchemaError,
    },
    /// A row cannot be encoded.
    #[error("a row of state \"{state}\" cannot be written into a snapshot")]
    Encode {
        /// The name of the state.
        state: String,
        /// What is wrong with it.
        source: CodecError,
    },
    /// A row, or the index of a snapshot, needs more than 4 GiB.
    #[error(
        "a row of state \"{state}\" has {bytes} bytes, and a snapshot holds rows of less than 4 \
         GiB: spread it over several keys"
    )]
    TooLong {
        /// The name of the state.
        state: String,
        /// Its size.
        bytes: usize,
    },
    /// An operator has given a table another hash than the stable hash of the key.
    #[error("a row of state \"{state}\" is kept under another hash than that of its key")]
    Hash {
        /// The name of the state.
        state: String,
    },
    /// A snapshot cannot be written where it should go.
    #[error("a snapshot of state cannot be written")]
    Write(#[source] io::Error),
    /// The store of rows that do not fit into memory has failed.
    #[error(
        "rows of state \"{state}\" cannot be {done} where those are that do not fit into memory"
    )]
    Cold {
        /// The name of the state.
        state: String,
        /// What was being done.
        done: &'static str,
        /// What is wrong.
        source: io::Error,
    },
    /// A snapshot cannot be read.
    #[error("{blob}: state \"{state}\" cannot be read at byte {offset}")]
    Read {
        /// The blob.
        blob: String,
        /// The name of the state.
        state: String,
        /// Where in the blob.
        offset: u64,
        /// What is wrong.
        source: io::Error,
    },
    /// These bytes were never a snapshot.
    #[error("{blob} is no snapshot of state: {found}")]
    Foreign {
        /// The blob.
        blob: String,
        /// What is wrong with it.
        found: String,
    },
    /// A snapshot of a version that is not known here.
    #[error("{blob} is a snapshot of version {version}; this program reads version 1")]
    Version {
        /// The blob.
        blob: String,
        /// Its version.
        version: u16,
    },
    /// A snapshot has been damaged.
    #[error("{blob} is damaged: state \"{state}\" has {found} at byte {offset}")]
    Corrupt {
        /// The blob.
        blob: String,
        /// The name of the state.
        state: String,
        /// Where in the blob.
        offset: u64,
        /// What was found.
        found: String,
    },
    /// A row of a snapshot cannot be decoded.
    #[error("{blob}: a row of state \"{state}\", in the block at byte {offset}, cannot be decoded")]
    Row {
        /// The blob.
        blob: String,
        /// The name of the state.
        state: String,
        /// Where its block is in the blob.
        offset: u64,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The snapshot was taken with another number of key groups.
    #[error(
        "{blob} was taken with a maximum parallelism of {stored}, and the job has {wanted}; set \
         the maximum parallelism to {stored}"
    )]
    MaxParallelism {
        /// The blob.
        blob: String,
        /// Its number of key groups.
        stored: u32,
        /// That of the job.
        wanted: u32,
    },
    /// The name is that of a state of another kind in the snapshot.
    #[error(
        "state \"{state}\" is {stored} in the snapshot and cannot be restored as {wanted}; give \
         the new state another name"
    )]
    Kind {
        /// The name of the state.
        state: String,
        /// What it was.
        stored: &'static str,
        /// What it was asked to be.
        wanted: &'static str,
    },
    /// The state expired in the snapshot and should not now, or the reverse.
    #[error(
        "state \"{state}\" was kept {} and cannot be restored {}; leave its descriptor as it was, \
         or give the new state another name",
        if *.stored { "with a time to live" } else { "without time to live" },
        if *.stored { "without" } else { "with one" }
    )]
    TtlChanged {
        /// The name of the state.
        state: String,
        /// Whether it had a time to live.
        stored: bool,
    },
    /// The type of the state has changed in a way that its rows cannot follow.
    #[error("state \"{state}\" cannot be restored: {place} was {old} and is {new}: {why}")]
    Incompatible {
        /// The name of the state.
        state: String,
        /// Where in the type.
        place: String,
        /// Its type in the snapshot.
        old: String,
        /// Its type now.
        new: String,
        /// Why that is not possible.
        why: String,
    },
}

impl StateError {
    /// Whether trying again may help: the surroundings failed, neither the state nor the program.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Read { .. } | Self::Cold { .. })
    }
}
