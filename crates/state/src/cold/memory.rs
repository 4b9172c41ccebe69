//! A cold store in memory: what tests compare RocksDB with, and what they use where the library is
//! not built in.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Changes, ColdError, ColdSpace, ColdStore, ColdStores, ColdView, EachRow, Keys, group_bytes,
    split_group,
};
use crate::StateError;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Cold stores that are maps.
#[derive(Debug, Default)]
pub struct MemoryStores;

impl ColdStores for MemoryStores {
    fn open(&self, _: &Path) -> io::Result<Arc<dyn ColdStore>> {
        Ok(Arc::new(MemoryStore::default()))
    }
}

#[derive(Default)]
struct MemoryStore {
    names: Mutex<BTreeSet<String>>,
}

impl ColdStore for MemoryStore {
    fn space(&self, name: &str) -> io::Result<Arc<dyn ColdSpace>> {
        if !lock(&self.names).insert(name.to_owned()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Arc::new(MemorySpace::default()))
    }
}

#[derive(Default)]
struct MemorySpace(Mutex<Arc<Rows>>);

impl ColdSpace for MemorySpace {
    fn get(
        &self,
        keys: &Keys,
        found: &mut dyn FnMut(usize, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), ColdError> {
        let rows = lock(&self.0);
        for (at, key) in keys.iter().enumerate() {
            if let Some(value) = rows.get(key) {
                found(at, value)?;
            }
        }
        Ok(())
    }

    fn write(&self, changes: &Changes) -> io::Result<()> {
        let mut rows = lock(&self.0);
        let rows = Arc::make_mut(&mut rows);
        for (key, value) in changes.iter() {
            match value {
                Some(value) => {
                    rows.insert(key.to_vec(), value.to_vec());
                }
                None => {
                    rows.remove(key);
                }
            }
        }
        Ok(())
    }

    fn view(&self) -> Arc<dyn ColdView> {
        Arc::new(MemoryView(Arc::clone(&lock(&self.0))))
    }
}

struct MemoryView(Arc<Rows>);

impl ColdView for MemoryView {
    fn scan(&self, groups: Range<u32>, each: &mut EachRow<'_>) -> Result<(), ColdError> {
        let rows = self.0.range(group_bytes(groups.start).to_vec()..);
        for (stored, value) in rows {
            let Some((group, key)) = split_group(stored) else {
                continue;
            };
            if !groups.contains(&group) {
                break;
            }
            each(group, key, value)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
