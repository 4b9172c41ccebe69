//! The cold tiers of one operator's subtask: they share a store, which is opened when the first row
//! has to go.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flott_record::Record;

use super::tiered::Tier;
use super::{ColdSpace, ColdStore, ColdStores, HotPool, TieredTable};

/// How many rows have moved between the tiers of one operator's subtask.
#[derive(Debug, Default)]
pub struct ColdCounts {
    /// Rows in the cold store.
    pub cold: AtomicU64,
    /// Rows that have left memory.
    pub evicted: AtomicU64,
    /// Rows that have come back.
    pub loaded: AtomicU64,
    /// Keys that the store was asked for.
    pub asked: AtomicU64,
}

impl ColdCounts {
    pub(super) fn evicted(&self, rows: u64) {
        Self::add(&self.cold, rows);
        Self::add(&self.evicted, rows);
        Self::add(&EVICTED, rows);
    }

    pub(super) fn add(count: &AtomicU64, rows: u64) {
        count.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn sub(count: &AtomicU64, rows: u64) {
        count.fetch_sub(rows, Ordering::Relaxed);
    }
}

/// Where a process keeps rows that do not fit into memory. Cheap to clone.
#[derive(Clone)]
pub struct ColdBackend {
    stores: Arc<dyn ColdStores>,
    pool: HotPool,
    directory: PathBuf,
    opened: Arc<AtomicU64>,
}

impl fmt::Debug for ColdBackend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ColdBackend")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl ColdBackend {
    /// Stores below that directory.
    pub fn new(stores: Arc<dyn ColdStores>, pool: HotPool, directory: PathBuf) -> Self {
        Self {
            stores,
            pool,
            directory,
            opened: Arc::default(),
        }
    }

    /// For one operator's subtask; `name` is a part of a path.
    pub fn tiers(&self, name: &str, max_parallelism: u32) -> OperatorTiers {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(format!("{name}-{number}"));
        let (stores, pool) = (Arc::clone(&self.stores), self.pool.clone());
        OperatorTiers::new(stores, directory, pool, max_parallelism)
    }
}

/// Rows that have left memory, in this process: tests ask whether any did.
static EVICTED: AtomicU64 = AtomicU64::new(0);

/// How many rows have left memory since this process began.
#[doc(hidden)]
pub fn evicted_in_this_process() -> u64 {
    EVICTED.load(Ordering::Relaxed)
}

/// Makes tables with a cold tier for one operator's subtask. Cheap to clone.
#[derive(Clone)]
pub struct OperatorTiers(Arc<Inner>);

struct Inner {
    stores: Arc<dyn ColdStores>,
    directory: PathBuf,
    pool: HotPool,
    max_parallelism: u32,
    counts: Arc<ColdCounts>,
    /// Spaces made so far: each has a name of its own.
    made: AtomicU64,
    // A std mutex: held while the store is opened, and when a space is made.
    store: Mutex<Option<Arc<dyn ColdStore>>>,
}

impl OperatorTiers {
    /// Tiers in a directory of their own, which does not exist yet. `max_parallelism` is the number
    /// of key groups.
    pub fn new(
        stores: Arc<dyn ColdStores>,
        directory: PathBuf,
        pool: HotPool,
        max_parallelism: u32,
    ) -> Self {
        Self(Arc::new(Inner {
            stores,
            directory,
            pool,
            max_parallelism,
            counts: Arc::default(),
            made: AtomicU64::new(0),
            store: Mutex::default(),
        }))
    }

    /// An empty table. The name is for messages.
    pub fn table<K: Record + Eq, V: Record>(&self, name: &str) -> TieredTable<K, V> {
        TieredTable::with_tier(Tier::new(
            self.clone(),
            name,
            self.0.pool.join(),
            self.0.max_parallelism,
        ))
    }

    /// How many rows have moved.
    pub fn counts(&self) -> &Arc<ColdCounts> {
        &self.0.counts
    }

    /// A new space in the store.
    pub(super) fn space(&self, name: &str) -> io::Result<Arc<dyn ColdSpace>> {
        let mut store = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match &mut *store {
            Some(store) => store,
            store => store.insert(self.0.stores.open(&self.0.directory)?),
        };
        let number = self.0.made.fetch_add(1, Ordering::Relaxed);
        store.space(&format!("{name}#{number}"))
    }
}
