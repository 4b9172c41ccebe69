//! The hash table of rows by key. Its interface is narrow on purpose: a table with copy-on-write
//! segments can take its place without its users noticing.

mod snapshot;

use hashbrown::Equivalent;
use hashbrown::hash_table::{self, Entry, HashTable};

pub use snapshot::TableSnapshot;

/// Tables below this many rows keep their memory when rows go.
const SMALL: usize = 1024;

/// How many empty slots a sweep may pass for each row that it looks at.
const SLOTS_PER_SWEPT_ROW: usize = 16;

#[derive(Debug, Clone)]
struct Row<K, V> {
    hash: u64,
    key: K,
    value: V,
}

/// Where a row is, until the next change to the table's set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(usize);

/// Rows by key. The caller gives the stable hash of the key with each call, the same one for equal
/// keys; keys with the same hash are told apart. Lookups take any form of the key that is
/// [`Equivalent`] to it, as `&str` is to `String`.
///
/// The order of iteration depends on hashes and history only, so it is the same in every run.
///
/// ```
/// use flott_record::hash::stable_hash;
/// use flott_state::KeyedTable;
///
/// let mut counts = KeyedTable::<String, u64>::new();
/// for word in ["to", "be", "or", "not", "to", "be"] {
///     *counts.get_or_insert_row(stable_hash(word), word, || (word.to_owned(), 0)) += 1;
/// }
/// assert_eq!(counts.get(stable_hash("be"), "be"), Some(&2));
/// assert_eq!(counts.len(), 4);
/// ```
#[derive(Debug, Clone)]
pub struct KeyedTable<K, V> {
    rows: HashTable<Row<K, V>>,
}

impl<K, V> Default for KeyedTable<K, V> {
    fn default() -> Self {
        Self {
            rows: HashTable::new(),
        }
    }
}

/// The rows of a subtask are of few key groups, so the top bits of their hashes hardly differ, but
/// the table tells rows of one neighbourhood apart by them. The low bits, which choose the
/// neighbourhood, stay.
#[inline(always)]
fn spread(hash: u64) -> u64 {
    hash ^ (hash << 32)
}

#[inline(always)]
fn spread_of<K, V>(row: &Row<K, V>) -> u64 {
    spread(row.hash)
}

impl<K, V> KeyedTable<K, V> {
    /// An empty table; it takes no memory before its first row.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes the table holds itself, without what keys and values point to.
    pub fn allocated_bytes(&self) -> usize {
        self.rows.allocation_size()
    }

    /// The value of the key.
    #[inline]
    pub fn get<Q: Equivalent<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<&V> {
        self.rows
            .find(spread(hash), |row| {
                row.hash == hash && key.equivalent(&row.key)
            })
            .map(|row| &row.value)
    }

    /// The value of the key, to be changed.
    #[inline]
    pub fn get_mut<Q: Equivalent<K> + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<&mut V> {
        self.rows
            .find_mut(spread(hash), |row| {
                row.hash == hash && key.equivalent(&row.key)
            })
            .map(|row| &mut row.value)
    }

    /// The value of the key, to be changed; first made by `value` if there is none. The key is
    /// cloned only then.
    #[inline]
    pub fn get_or_insert_with(&mut self, hash: u64, key: &K, value: impl FnOnce() -> V) -> &mut V
    where
        K: Clone + Eq,
    {
        self.get_or_insert_row(hash, key, || (key.clone(), value()))
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), for other forms of the key: `row` makes
    /// the key too, which must be equivalent to `key`.
    #[inline]
    pub fn get_or_insert_row<Q: Equivalent<K> + ?Sized>(
        &mut self,
        hash: u64,
        key: &Q,
        row: impl FnOnce() -> (K, V),
    ) -> &mut V {
        let entry = self.rows.entry(
            spread(hash),
            |row| row.hash == hash && key.equivalent(&row.key),
            spread_of,
        );
        let occupied = match entry {
            Entry::Occupied(occupied) => occupied,
            Entry::Vacant(vacant) => {
                let (key, value) = row();
                vacant.insert(Row { hash, key, value })
            }
        };
        &mut occupied.into_mut().value
    }

    /// Sets the value of the key, and returns the one before.
    #[inline]
    pub fn insert(&mut self, hash: u64, key: K, value: V) -> Option<V>
    where
        K: Eq,
    {
        if let Some(present) = self.get_mut(hash, &key) {
            return Some(std::mem::replace(present, value));
        }
        self.insert_new(hash, key, value);
        None
    }

    /// Adds a row whose key is not in the table; the caller has just looked.
    #[inline]
    pub fn insert_new(&mut self, hash: u64, key: K, value: V) -> &mut V {
        let row = Row { hash, key, value };
        let entry = self.rows.insert_unique(spread(hash), row, spread_of);
        &mut entry.into_mut().value
    }

    /// Removes the row of the key. A table that has lost most of its rows gives memory back.
    pub fn remove<Q: Equivalent<K> + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<V> {
        let found = self.rows.find_entry(spread(hash), |row| {
            row.hash == hash && key.equivalent(&row.key)
        });
        let (row, _) = found.ok()?.remove();
        self.shrink();
        Some(row.value)
    }

    /// Where the row of the key is: to look first and change later, when the key is part of what
    /// the change consumes, or to look for many keys before the first change.
    #[inline(always)]
    pub fn find<Q: Equivalent<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<Position> {
        self.rows
            .find_bucket_index(spread(hash), |row| {
                row.hash == hash && key.equivalent(&row.key)
            })
            .map(Position)
    }

    /// The value at a position; `None` if there is no row (any more).
    #[inline(always)]
    pub fn at(&self, position: Position) -> Option<&V> {
        self.rows.get_bucket(position.0).map(|row| &row.value)
    }

    /// The value at a position, to be changed; `None` if there is no row (any more).
    #[inline(always)]
    pub fn at_mut(&mut self, position: Position) -> Option<&mut V> {
        self.rows
            .get_bucket_mut(position.0)
            .map(|row| &mut row.value)
    }

    /// All rows with the hash of their key, from which its key group follows.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        self.rows.iter().map(|row| (row.hash, &row.key, &row.value))
    }

    /// All rows, values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &K, &mut V)> {
        self.rows
            .iter_mut()
            .map(|row| (row.hash, &row.key, &mut row.value))
    }

    /// The first row in slot `from` of the table or behind it, and its slot: to walk through the rows
    /// in steps, beginning with 0 and going on behind the slot returned. Between two steps values may
    /// change, but no row may come or go.
    #[inline]
    pub fn next_row(&mut self, from: usize) -> Option<(usize, u64, &K, &mut V)> {
        let slots = self.rows.num_buckets();
        let slot = (from..slots).find(|slot| self.rows.get_bucket(*slot).is_some())?;
        let row = self.rows.get_bucket_mut(slot)?;
        Some((slot, row.hash, &row.key, &mut row.value))
    }

    /// Keeps the rows for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(u64, &K, &mut V) -> bool) {
        self.rows
            .retain(|row| keep(row.hash, &row.key, &mut row.value));
        self.shrink();
    }

    /// Takes all rows out, keeps the memory. Rows that are not taken are dropped.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, K, V)> {
        self.rows.drain().map(|row| (row.hash, row.key, row.value))
    }

    /// The rows as they are now, for another thread to read while the table goes on changing.
    pub fn snapshot(&mut self) -> TableSnapshot<K, V>
    where
        K: Clone,
        V: Clone,
    {
        let rows = self.rows.iter();
        TableSnapshot::new(
            rows.map(|row| (row.hash, row.key.clone(), row.value.clone()))
                .collect(),
        )
    }

    /// A table with the rows of a snapshot.
    pub fn from_snapshot(snapshot: &TableSnapshot<K, V>) -> Self
    where
        K: Clone + Eq,
        V: Clone,
    {
        let mut table = Self::new();
        for (hash, key, value) in snapshot.iter() {
            table.insert_new(hash, key.clone(), value.clone());
        }
        table
    }

    /// Removes all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Looks at up to `rows` rows from `cursor` on, and removes those that are `expired`; the
    /// cursor then stands behind them. Started again and again with the same cursor it sees every
    /// row that stays in the table, in small steps.
    pub fn sweep(
        &mut self,
        cursor: &mut usize,
        rows: usize,
        mut expired: impl FnMut(&mut V) -> bool,
    ) {
        let slots = self.rows.num_buckets();
        let mut left = rows.min(self.rows.len());
        let mut steps = left.saturating_mul(SLOTS_PER_SWEPT_ROW).min(slots);
        let mut removed = false;
        while left > 0 && steps > 0 {
            steps -= 1;
            if *cursor >= slots {
                *cursor = 0;
            }
            if let Ok(mut entry) = self.rows.get_bucket_entry(*cursor) {
                left -= 1;
                if expired(&mut entry.get_mut().value) {
                    entry.remove();
                    removed = true;
                }
            }
            *cursor += 1;
        }
        if removed {
            self.shrink();
        }
    }

    #[inline]
    fn shrink(&mut self) {
        let capacity = self.rows.capacity();
        if capacity > SMALL && self.rows.len() < capacity / 8 {
            self.rows.shrink_to(capacity / 4, spread_of);
        }
    }
}

/// The rows of a table, taken out one by one: hash, key, value.
pub struct IntoRows<K, V>(hash_table::IntoIter<Row<K, V>>);

impl<K, V> Iterator for IntoRows<K, V> {
    type Item = (u64, K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|row| (row.hash, row.key, row.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K, V> ExactSizeIterator for IntoRows<K, V> {}

impl<K, V> IntoIterator for KeyedTable<K, V> {
    type Item = (u64, K, V);
    type IntoIter = IntoRows<K, V>;

    /// Takes all rows out, to stop in the middle and go on later.
    fn into_iter(self) -> IntoRows<K, V> {
        IntoRows(self.rows.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_in_steps_sees_every_row_once() {
        let mut table = KeyedTable::new();
        assert_eq!(table.next_row(0), None);
        for key in 0..1_000_u64 {
            table.insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key, 0);
        }
        let (mut from, mut seen) = (0, Vec::new());
        while let Some((slot, _, key, value)) = table.next_row(from) {
            *value += 1;
            seen.push(*key);
            from = slot + 1;
        }
        assert_eq!(seen.len(), 1_000);
        assert!(table.iter().all(|(_, _, value)| *value == 1));
    }

    #[test]
    fn keys_with_one_hash_are_told_apart() {
        let mut table = KeyedTable::new();
        for key in 0..100_u32 {
            assert_eq!(table.insert(7, key, key * 2), None);
        }
        assert_eq!(table.insert(7, 50, 1), Some(100));
        assert_eq!(table.remove(7, &3), Some(6));
        assert_eq!(table.get(7, &3), None);
        assert_eq!(table.get(7, &50), Some(&1));
        assert_eq!(table.len(), 99);
    }

    #[test]
    fn memory_is_given_back_when_rows_go() {
        let mut table = KeyedTable::new();
        for key in 0..100_000_u64 {
            table.insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key, key);
        }
        let full = table.allocated_bytes();
        table.retain(|_, key, _| *key < 10);
        assert!(table.allocated_bytes() < full / 3, "retain");
        let before = table.allocated_bytes();
        for key in 10..100_000_u64 {
            let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            table.insert(hash, key, key);
            assert_eq!(table.remove(hash, &key), Some(key));
        }
        assert!(table.allocated_bytes() <= before, "insert and remove");
        assert_eq!(table.len(), 10);
    }

    #[test]
    fn sweeps_see_every_row() {
        let mut table = KeyedTable::new();
        for key in 0..1_000_u64 {
            table.insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key, key);
        }
        let mut cursor = 0;
        for _ in 0..2_000 {
            table.sweep(&mut cursor, 3, |value| *value % 2 == 0);
        }
        assert_eq!(table.len(), 500);
        assert!(table.iter().all(|(_, key, _)| key % 2 == 1));
    }
}
