//! The hash table of rows by key: segments that are copied before they change if a snapshot has them.

mod block;
mod directory;
mod group;
mod memory;
mod rows;
mod segments;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fmt;

use hashbrown::Equivalent;

pub use self::rows::{Drain, IntoRows};
pub use self::snapshot::TableSnapshot;

use self::block::Block;
use self::segments::Segments;

/// How many empty slots a sweep may pass for each row that it looks at.
const SLOTS_PER_SWEPT_ROW: usize = 16;

/// Where a row is, until the next change to the table's set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    segment: u32,
    slot: u32,
}

/// Rows by key. The caller gives the stable hash of the key with each call, the same one for equal
/// keys; keys with the same hash are told apart. Lookups take any form of the key that is
/// [`Equivalent`] to it, as `&str` is to `String`.
///
/// The order of iteration depends on hashes and history only, so it is the same in every run.
///
/// A [`snapshot`](Self::snapshot) costs a few nanoseconds per segment. The first change to a
/// segment after one copies the segment, if the snapshot still lives: up to 2048 slots, less for
/// rows that are large or have pointers.
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
pub struct KeyedTable<K, V> {
    segments: Segments<K, V>,
    len: usize,
}

impl<K, V> Default for KeyedTable<K, V> {
    fn default() -> Self {
        Self {
            segments: Segments::default(),
            len: 0,
        }
    }
}

/// Segments that a snapshot has are shared, all others copied.
impl<K: Clone, V: Clone> Clone for KeyedTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            segments: self.segments.clone(),
            len: self.len,
        }
    }
}

impl<K, V> fmt::Debug for KeyedTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedTable")
            .field("rows", &self.len)
            .field("segments", &self.segments.len())
            .finish()
    }
}

/// A slot of a segment as one number, in the order of a walk.
fn walk(segment: usize, slot: usize) -> usize {
    segment << 32 | slot
}

fn walked(at: usize) -> (usize, usize) {
    (at >> 32, at & 0xFFFF_FFFF)
}

impl<K, V> KeyedTable<K, V> {
    /// An empty table; it takes no memory before its first row.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes the table holds itself, without what keys and values point to. What snapshots hold too
    /// counts.
    pub fn allocated_bytes(&self) -> usize {
        self.segments.bytes()
    }

    /// Where the row of the key is: to look first and change later, when the key is part of what
    /// the change consumes, or to look for many keys before the first change.
    #[inline(always)]
    pub fn find<Q: Equivalent<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<Position> {
        let (segment, slot) = self.segments.find(hash, key)?;
        Some(Position {
            segment: segment as u32,
            slot: slot as u32,
        })
    }

    /// The value at a position; `None` if there is no row (any more).
    #[inline(always)]
    pub fn at(&self, position: Position) -> Option<&V> {
        let block = self.segments.block(position.segment as usize)?;
        block.value(position.slot as usize)
    }

    /// The value of the key.
    #[inline]
    pub fn get<Q: Equivalent<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<&V> {
        self.at(self.find(hash, key)?)
    }

    #[inline]
    fn next_used(&self, from: usize) -> Option<usize> {
        let (mut at, mut slot) = walked(from);
        while let Some(block) = self.segments.block(at) {
            if let Some(used) = block.next_used(slot) {
                return Some(walk(at, used));
            }
            at += 1;
            slot = 0;
        }
        None
    }

    /// Whether it is of use to [`prefetch`](Self::prefetch): the table is not likely to be in the
    /// cache as a whole.
    pub fn is_large(&self) -> bool {
        self.segments.is_large()
    }

    /// Asks the processor for the memory of the row with that hash, which will be looked for soon:
    /// some 32 to 128 rows ahead. For [large](Self::is_large) tables.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.segments.prefetch(hash);
    }

    /// All rows with the hash of their key, from which its key group follows.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        self.segments.blocks().flat_map(Block::iter)
    }

    /// The rows as they are now, for another thread to read while the table goes on changing.
    pub fn snapshot(&mut self) -> TableSnapshot<K, V> {
        let (division, blocks) = self.segments.share();
        TableSnapshot::new(self.len, division, blocks)
    }

    /// A table with the rows of a snapshot, which it shares.
    pub fn from_snapshot(snapshot: &TableSnapshot<K, V>) -> Self {
        let (division, blocks) = snapshot.shared();
        Self {
            segments: Segments::of(division, blocks),
            len: snapshot.len(),
        }
    }

    /// Removes all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
        self.segments.clear();
    }
}

impl<K: Clone, V: Clone> KeyedTable<K, V> {
    /// The value at a position, to be changed; `None` if there is no row (any more).
    #[inline(always)]
    pub fn at_mut(&mut self, position: Position) -> Option<&mut V> {
        let Position { segment, slot } = position;
        self.segments.value_mut(segment as usize, slot as usize)
    }

    /// The value of the key, to be changed.
    #[inline]
    pub fn get_mut<Q: Equivalent<K> + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<&mut V> {
        self.segments.find_or_add(hash, key, |_| None)
    }

    /// The value of the key, to be changed; first made by `value` if there is none. The key is
    /// cloned only then.
    #[inline]
    pub fn get_or_insert_with(&mut self, hash: u64, key: &K, value: impl FnOnce() -> V) -> &mut V
    where
        K: Eq,
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
        let len = &mut self.len;
        let value = self.segments.find_or_add(hash, key, |segments| {
            let row = row();
            *len += 1;
            Some(segments.insert(hash, row))
        });
        value.expect("it is there, or has been added")
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
        self.add(hash, (key, value));
        None
    }

    /// Adds a row whose key is not in the table; the caller has just looked.
    #[inline]
    pub fn insert_new(&mut self, hash: u64, key: K, value: V) -> &mut V {
        self.add(hash, (key, value))
    }

    #[inline]
    fn add(&mut self, hash: u64, row: (K, V)) -> &mut V {
        self.len += 1;
        self.segments.insert(hash, row)
    }

    /// Removes the row of the key. A table that has lost most of its rows gives memory back.
    pub fn remove<Q: Equivalent<K> + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<V> {
        let (at, slot) = self.segments.find(hash, key)?;
        let (_, _, value) = self.segments.own(at).take(slot)?;
        self.len -= 1;
        self.segments.shrink(at, self.len);
        Some(value)
    }

    /// The first row in slot `from` of the table or behind it, and its slot: to walk through the rows
    /// in steps, beginning with 0 and going on behind the slot returned. Between two steps values may
    /// change, but no row may come or go.
    #[inline]
    pub fn next_row(&mut self, from: usize) -> Option<(usize, u64, &K, &mut V)> {
        let at = self.next_used(from)?;
        let (segment, slot) = walked(at);
        let (hash, key, value) = self.segments.own(segment).get_mut(slot)?;
        Some((at, hash, key, value))
    }

    /// As [`next_row`](Self::next_row), only to look.
    #[inline]
    pub(crate) fn row_from(&self, from: usize) -> Option<(usize, u64, &K, &V)> {
        let at = self.next_used(from)?;
        let (segment, slot) = walked(at);
        let (hash, key, value) = self.segments.block(segment)?.get(slot)?;
        Some((at, hash, key, value))
    }

    /// Removes the rows in those slots, which were found by a walk.
    pub(crate) fn remove_slots(&mut self, slots: &[usize]) {
        for at in slots {
            let (segment, slot) = walked(*at);
            if self.segments.own(segment).take(slot).is_some() {
                self.len -= 1;
            }
        }
        self.shrink();
    }

    /// Keeps the rows for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(u64, &K, &mut V) -> bool) {
        for at in 0..self.segments.len() {
            let block = self.segments.own(at);
            let before = block.len();
            block.retain(&mut keep);
            self.len -= before - block.len();
        }
        self.shrink();
    }

    /// Gives memory back after many rows have gone.
    fn shrink(&mut self) {
        // From behind: the first may put all rows into one segment.
        for at in (0..self.segments.len()).rev() {
            if at < self.segments.len() {
                self.segments.shrink(at, self.len);
            }
        }
    }

    /// Takes all rows out, keeps the memory. Rows that are not taken are dropped.
    pub fn drain(&mut self) -> Drain<'_, K, V> {
        Drain::new(self)
    }

    /// Looks at up to `rows` rows from `cursor` on; the cursor then stands behind them. Those that
    /// are `due` are given to `clean`, and removed if it says so. Started again and again with the
    /// same cursor it sees every row that stays in the table, in small steps.
    pub fn sweep(
        &mut self,
        cursor: &mut usize,
        rows: usize,
        mut due: impl FnMut(&V) -> bool,
        mut clean: impl FnMut(&mut V) -> bool,
    ) {
        let mut left = rows.min(self.len);
        let mut steps = left.saturating_mul(SLOTS_PER_SWEPT_ROW);
        while left > 0 && steps > 0 {
            let (mut at, slot) = walked(*cursor);
            let Some(block) = self.segments.block(at) else {
                *cursor = 0;
                steps -= 1;
                continue;
            };
            let Some(used) = block.next_used(slot) else {
                steps = steps.saturating_sub(block.slots().saturating_sub(slot).max(1));
                at += 1;
                *cursor = walk(at, 0);
                continue;
            };
            steps = steps.saturating_sub(used - slot + 1);
            left -= 1;
            *cursor = walk(at, used + 1);
            if block.value(used).is_some_and(&mut due) {
                self.clean(at, used, &mut clean);
            }
        }
    }

    fn clean(&mut self, at: usize, slot: usize, clean: impl FnOnce(&mut V) -> bool) {
        let block = self.segments.own(at);
        if block.value_mut(slot).is_some_and(clean) {
            block.take(slot);
            self.len -= 1;
            self.segments.shrink(at, self.len);
        }
    }
}
