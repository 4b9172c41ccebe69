//! The rows of a table at one moment.

use std::sync::Arc;

use flott_record::hash::key_group;

/// The rows of a [`KeyedTable`](crate::KeyedTable) at one moment, for another thread to read while
/// the table goes on changing. Cheap to clone.
#[derive(Debug)]
pub struct TableSnapshot<K, V> {
    rows: Arc<[(u64, K, V)]>,
}

impl<K, V> Clone for TableSnapshot<K, V> {
    fn clone(&self) -> Self {
        Self {
            rows: Arc::clone(&self.rows),
        }
    }
}

impl<K, V> TableSnapshot<K, V> {
    pub(super) fn new(rows: Arc<[(u64, K, V)]>) -> Self {
        Self { rows }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows with the hash of their key, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        self.rows
            .iter()
            .map(|(hash, key, value)| (*hash, key, value))
    }

    /// All rows by ascending key group: group, hash, key, value.
    pub fn by_group(&self, max_parallelism: u32) -> impl Iterator<Item = (u32, u64, &K, &V)> {
        let mut order: Vec<_> = self
            .rows
            .iter()
            .map(|row| (key_group(row.0, max_parallelism), row))
            .collect();
        order.sort_by_key(|(group, _)| *group);
        order
            .into_iter()
            .map(|(group, (hash, key, value))| (group, *hash, key, value))
    }
}
