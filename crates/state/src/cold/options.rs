//! How RocksDB is set up, and whether this program has it.

use std::sync::{Arc, OnceLock};

use super::ColdStores;

/// How RocksDB is set up; all databases of a process share one block cache and the manager of its
/// write buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct RocksOptions {
    /// Memory for blocks and write buffers of all databases together; `None`: RocksDB takes what its
    /// own defaults are, for each of them.
    pub memory_bytes: Option<u64>,
    /// Share of it for write buffers.
    pub write_buffer_ratio: f64,
    /// Whether indexes and filters are divided, so that parts of them can leave the cache.
    pub partitioned_index_filters: bool,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Bytes of a write buffer; `None`: as fits the memory.
    pub write_buffer_bytes: Option<u64>,
    /// Threads for flushes and compactions.
    pub background_threads: u32,
    /// Files that a database has open at a time; -1: all.
    pub open_files: i32,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            write_buffer_ratio: 0.5,
            partitioned_index_filters: false,
            block_bytes: 4 << 10,
            write_buffer_bytes: None,
            background_threads: 2,
            open_files: -1,
        }
    }
}

/// What tests use in its place.
static INSTEAD: OnceLock<Arc<dyn ColdStores>> = OnceLock::new();

/// From now on this process keeps cold rows there, whether RocksDB is built in or not: for tests.
#[doc(hidden)]
pub fn use_instead_of_rocksdb(stores: Arc<dyn ColdStores>) {
    // Whoever comes first is obeyed.
    let _ = INSTEAD.set(stores);
}

/// Whether this program has RocksDB.
pub fn is_available() -> bool {
    cfg!(feature = "rocksdb") || INSTEAD.get().is_some()
}

/// The stores of a process; `None`: the program was built without RocksDB.
pub fn open_stores(options: RocksOptions) -> Option<Arc<dyn ColdStores>> {
    if let Some(instead) = INSTEAD.get() {
        return Some(Arc::clone(instead));
    }
    #[cfg(feature = "rocksdb")]
    return Some(Arc::new(super::RocksStores::new(options)));
    #[cfg(not(feature = "rocksdb"))]
    {
        let _ = options;
        None
    }
}
