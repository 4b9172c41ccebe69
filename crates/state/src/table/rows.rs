//! Rows that are taken out of a table one by one.

use super::KeyedTable;
use super::block::Block;
use super::segments::Segment;

/// The rows of a table, taken out one by one: hash, key, value.
pub struct IntoRows<K, V> {
    segments: std::vec::IntoIter<Segment<K, V>>,
    block: Block<K, V>,
    slot: usize,
    left: usize,
}

impl<K: Clone, V: Clone> Iterator for IntoRows<K, V> {
    type Item = (u64, K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(slot) = self.block.next_used(self.slot) {
                self.slot = slot + 1;
                self.left -= 1;
                return self.block.take(slot);
            }
            self.block = self.segments.next()?.into_owned();
            self.slot = 0;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IntoRows<K, V> {}

impl<K: Clone, V: Clone> IntoIterator for KeyedTable<K, V> {
    type Item = (u64, K, V);
    type IntoIter = IntoRows<K, V>;

    /// Takes all rows out, to stop in the middle and go on later.
    fn into_iter(self) -> IntoRows<K, V> {
        IntoRows {
            segments: self.segments.into_segments(),
            block: Block::default(),
            slot: 0,
            left: self.len,
        }
    }
}

/// As [`IntoRows`], of a table that goes on living. Rows that are not taken are dropped.
pub struct Drain<'a, K, V> {
    table: &'a mut KeyedTable<K, V>,
    at: usize,
}

impl<'a, K, V> Drain<'a, K, V> {
    pub(super) fn new(table: &'a mut KeyedTable<K, V>) -> Self {
        Self { table, at: 0 }
    }
}

impl<K: Clone, V: Clone> Iterator for Drain<'_, K, V> {
    type Item = (u64, K, V);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.table.next_used(self.at)?;
        self.at = at + 1;
        let (segment, slot) = super::walked(at);
        self.table.len -= 1;
        self.table.segments.own(segment).take(slot)
    }
}

impl<K, V> Drop for Drain<'_, K, V> {
    fn drop(&mut self) {
        self.table.clear();
    }
}
