//! Rows that do not fit into memory: hot rows are in a [`KeyedTable`](crate::KeyedTable), the others
//! in a *cold store*, which is RocksDB (cargo feature `rocksdb`) or, in tests, a map.
//!
//! A row is in one of the two, never in both. It leaves memory only when the store has acknowledged
//! its write, and the store only when it is in memory again. Rows go out between batches, those that
//! were not used lately first; rows of a batch come in before it, by one read.

mod batch;
mod filter;
mod memory;
mod operator;
mod options;
mod pool;
mod recent;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(test)]
mod tests;
mod tiered;
mod weight;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use batch::{Changes, Keys};
pub use memory::MemoryStores;
#[doc(hidden)]
pub use operator::evicted_in_this_process;
pub use operator::{ColdBackend, ColdCounts, OperatorTiers};
#[doc(hidden)]
pub use options::use_instead_of_rocksdb;
pub use options::{RocksOptions, is_available, open_stores};
pub use pool::HotPool;
#[cfg(feature = "rocksdb")]
pub use rocks::RocksStores;
pub use tiered::TieredTable;

use crate::StateError;

/// Opens the cold stores of a process.
pub trait ColdStores: Send + Sync {
    /// An empty store in a directory of its own, which does not exist yet. What it keeps there is
    /// gone when the last of its spaces and views is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    fn open(&self, directory: &Path) -> io::Result<Arc<dyn ColdStore>>;
}

/// The cold rows of one operator's subtask: a space for each of its states.
pub trait ColdStore: Send + Sync {
    /// A new space.
    ///
    /// # Errors
    /// When the name is taken, or it cannot be made.
    fn space(&self, name: &str) -> io::Result<Arc<dyn ColdSpace>>;
}

/// The cold rows of one state: encoded keys with encoded values. A key begins with its key group,
/// two bytes, big endian. Dropped, its rows are gone but for those who have a view.
pub trait ColdSpace: Send + Sync {
    /// Looks for keys, and calls `found` with the position of each one that is there and its value.
    ///
    /// # Errors
    /// When they cannot be read, or `found` fails.
    fn get(
        &self,
        keys: &Keys,
        found: &mut dyn FnMut(usize, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), ColdError>;

    /// Makes all changes, or none.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&self, changes: &Changes) -> io::Result<()>;

    /// What is in it now, for another thread to read while it goes on changing.
    fn view(&self) -> Arc<dyn ColdView>;
}

/// The rows of a space at one moment.
pub trait ColdView: Send + Sync {
    /// Calls `each` with the rows of those key groups in the order of their keys: group, the key
    /// without it, value.
    ///
    /// # Errors
    /// When they cannot be read, or `each` fails.
    fn scan(&self, groups: Range<u32>, each: &mut EachRow<'_>) -> Result<(), ColdError>;
}

/// What a scan calls.
pub type EachRow<'a> = dyn FnMut(u32, &[u8], &[u8]) -> Result<(), StateError> + 'a;

/// Why cold rows could not be read.
#[derive(Debug)]
pub enum ColdError {
    /// The store.
    Store(io::Error),
    /// Whoever was given the rows.
    Rows(StateError),
}

impl From<io::Error> for ColdError {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}

impl From<StateError> for ColdError {
    fn from(error: StateError) -> Self {
        Self::Rows(error)
    }
}

impl ColdError {
    /// For the state of that name.
    pub(crate) fn of(self, state: &str) -> StateError {
        match self {
            Self::Store(error) => cannot(state, "read", error),
            Self::Rows(error) => error,
        }
    }
}

/// The error of a store that has not `done` what it should.
pub(crate) fn cannot(state: &str, done: &'static str, source: io::Error) -> StateError {
    StateError::Cold {
        state: state.to_owned(),
        done,
        source,
    }
}

/// The bytes of a key group before those of a key. There are at most 32768 groups.
fn group_bytes(group: u32) -> [u8; 2] {
    (group as u16).to_be_bytes()
}

/// The group of a stored key, and the key.
fn split_group(stored: &[u8]) -> Option<(u32, &[u8])> {
    let (group, key) = stored.split_first_chunk::<2>()?;
    Some((u32::from(u16::from_be_bytes(*group)), key))
}
