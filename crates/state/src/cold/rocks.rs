//! The cold store of the `rocksdb` state backend: a database for each operator's subtask, a column
//! family for each state, without a log, as lost rows are in the last checkpoint.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, Cache, DBCompressionType,
    DBWithThreadMode, MultiThreaded, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch,
    WriteBufferManager, WriteOptions,
};

use super::{
    Changes, ColdError, ColdSpace, ColdStore, ColdStores, ColdView, EachRow, Keys, RocksOptions,
    group_bytes, split_group,
};
use crate::StateError;

type Db = DBWithThreadMode<MultiThreaded>;

/// Least and most bytes of a write buffer.
const LEAST_BUFFER: usize = 1 << 20;
const MOST_BUFFER: usize = 64 << 20;

/// Opens databases that share their memory.
pub struct RocksStores {
    options: RocksOptions,
    shared: Option<(Cache, WriteBufferManager)>,
}

impl RocksStores {
    /// Reserves nothing yet: memory is taken as it is needed.
    pub fn new(options: RocksOptions) -> Self {
        let shared = options.memory_bytes.map(|memory| {
            let (cache, buffers) = divided(memory, options.write_buffer_ratio);
            let cache = Cache::new_lru_cache(cache);
            let manager = WriteBufferManager::new_write_buffer_manager_with_cache(
                buffers,
                false,
                cache.clone(),
            );
            (cache, manager)
        });
        Self { options, shared }
    }

    fn database_options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_max_background_jobs(self.options.background_threads.max(1).cast_signed());
        options.set_max_open_files(self.options.open_files);
        options.set_keep_log_file_num(1);
        options.set_stats_dump_period_sec(0);
        // One thread writes; blind skips of memtable locks are not needed.
        options.set_allow_concurrent_memtable_write(false);
        if let Some((_, manager)) = &self.shared {
            options.set_write_buffer_manager(manager);
        }
        options
    }

    fn family_options(&self) -> Options {
        let mut options = Options::default();
        let buffer = self.options.write_buffer_bytes.map_or_else(
            || {
                let memory = self.options.memory_bytes.unwrap_or(u64::MAX);
                usize::try_from(memory / 8)
                    .unwrap_or(usize::MAX)
                    .clamp(LEAST_BUFFER, MOST_BUFFER)
            },
            |bytes| usize::try_from(bytes).unwrap_or(usize::MAX),
        );
        options.set_write_buffer_size(buffer);
        options.set_compression_type(DBCompressionType::Lz4);
        // Keys that are not there end at the filter of the memtable too.
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.02);
        let mut table = BlockBasedOptions::default();
        table.set_block_size(usize::try_from(self.options.block_bytes).unwrap_or(4 << 10));
        table.set_bloom_filter(10.0, false);
        if let Some((cache, _)) = &self.shared {
            table.set_block_cache(cache);
            table.set_cache_index_and_filter_blocks(true);
            table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        }
        if self.options.partitioned_index_filters {
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            table.set_partition_filters(true);
            table.set_pin_top_level_index_and_filter(true);
        }
        options.set_block_based_table_factory(&table);
        options
    }
}

/// Bytes of the cache, and of the write buffers that are charged to it. Write buffers may take half
/// as much again as they should, which is left out of the cache, as Flink does.
fn divided(memory: u64, ratio: f64) -> (usize, usize) {
    let part = |share: f64| (memory as f64 * share) as usize;
    (part((3.0 - ratio) / 3.0), part(2.0 * ratio / 3.0))
}

impl ColdStores for RocksStores {
    fn open(&self, directory: &Path) -> io::Result<Arc<dyn ColdStore>> {
        if let Some(parent) = directory.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let db = Db::open(&self.database_options(), directory).map_err(io::Error::other)?;
        Ok(Arc::new(RocksStore {
            database: Arc::new(Database {
                db: Some(db),
                directory: directory.to_owned(),
            }),
            family: self.family_options(),
        }))
    }
}

const OPEN: &str = "a database is open until it is dropped";

/// A database that is deleted when nobody has it any more.
struct Database {
    /// `None` while it is dropped.
    db: Option<Db>,
    directory: PathBuf,
}

impl Database {
    fn db(&self) -> &Db {
        self.db.as_ref().expect(OPEN)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            db.cancel_all_background_work(true);
        }
        // What is left is deleted when the worker begins anew.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct RocksStore {
    database: Arc<Database>,
    family: Options,
}

impl ColdStore for RocksStore {
    fn space(&self, name: &str) -> io::Result<Arc<dyn ColdSpace>> {
        let created = self.database.db().create_cf(name, &self.family);
        created.map_err(io::Error::other)?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        Ok(Arc::new(RocksSpace {
            family: Arc::new(Family {
                database: Arc::clone(&self.database),
                name: name.to_owned(),
            }),
            unlogged,
        }))
    }
}

/// A column family that is dropped when nobody has it any more.
struct Family {
    database: Arc<Database>,
    name: String,
}

impl Family {
    fn handle(&self) -> io::Result<Arc<BoundColumnFamily<'_>>> {
        let handle = self.database.db().cf_handle(&self.name);
        handle.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // Else it goes with the database.
        let _ = self.database.db().drop_cf(&self.name);
    }
}

struct RocksSpace {
    family: Arc<Family>,
    unlogged: WriteOptions,
}

impl ColdSpace for RocksSpace {
    fn get(
        &self,
        keys: &Keys,
        found: &mut dyn FnMut(usize, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), ColdError> {
        let handle = self.family.handle()?;
        let db = self.family.database.db();
        for (at, value) in db
            .batched_multi_get_cf(&handle, keys.iter(), false)
            .into_iter()
            .enumerate()
        {
            if let Some(value) = value.map_err(io::Error::other)? {
                found(at, &value)?;
            }
        }
        Ok(())
    }

    fn write(&self, changes: &Changes) -> io::Result<()> {
        let handle = self.family.handle()?;
        let mut batch = WriteBatch::with_capacity_bytes(changes.bytes() + changes.len() * 8);
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.put_cf(&handle, key, value),
                None => batch.delete_cf(&handle, key),
            }
        }
        let db = self.family.database.db();
        db.write_opt(batch, &self.unlogged)
            .map_err(io::Error::other)
    }

    fn view(&self) -> Arc<dyn ColdView> {
        Arc::new(RocksView::new(Arc::clone(&self.family)))
    }
}

/// A snapshot of the database, with which nothing is copied.
struct RocksView {
    // Before the family, and so the database, which it is of.
    snapshot: SnapshotWithThreadMode<'static, Db>,
    family: Arc<Family>,
}

impl RocksView {
    fn new(family: Arc<Family>) -> Self {
        let db: *const Db = family.database.db();
        // SAFETY: the database is at a place of its own as long as the family has it, it is taken out
        // of there only when it is dropped, and the snapshot is dropped before the family.
        #[expect(unsafe_code, reason = "see SAFETY; a snapshot borrows its database")]
        let db: &'static Db = unsafe { &*db };
        Self {
            snapshot: db.snapshot(),
            family,
        }
    }
}

impl ColdView for RocksView {
    fn scan(&self, groups: Range<u32>, each: &mut EachRow<'_>) -> Result<(), ColdError> {
        let handle = self.family.handle()?;
        let mut options = ReadOptions::default();
        // What is read once must not push out what is read often.
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let mut rows = self.snapshot.raw_iterator_cf_opt(&handle, options);
        rows.seek(group_bytes(groups.start));
        while let Some((stored, value)) = rows.item() {
            let Some((group, key)) = split_group(stored) else {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            };
            if !groups.contains(&group) {
                break;
            }
            each(group, key, value)?;
            rows.next();
        }
        Ok(rows.status().map_err(io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_divided_as_flink_does() {
        let (cache, buffers) = divided(600 << 20, 0.5);
        assert_eq!((cache >> 20, buffers >> 20), (500, 200));
    }

    #[test]
    fn a_database_goes_with_its_last_view() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("below").join("store");
        let store = RocksStores::new(RocksOptions::default())
            .open(&place)
            .unwrap();
        let space = store.space("rows").unwrap();
        let mut changes = Changes::default();
        let put = changes.put(3, |out| Ok(out.push(1)), |out| Ok(out.push(2)));
        put.unwrap();
        space.write(&changes).unwrap();
        let view = space.view();
        changes.clear();
        changes.delete(&[0, 3, 1]);
        space.write(&changes).unwrap();
        drop((space, store));
        assert!(place.exists());
        let mut seen = Vec::new();
        let scanned = view.scan(0..4, &mut |group, key, value| {
            seen.push((group, key.to_vec(), value.to_vec()));
            Ok(())
        });
        assert!(scanned.is_ok());
        assert_eq!(seen, [(3, vec![1], vec![2])]);
        drop(view);
        assert!(!place.exists());
    }
}
