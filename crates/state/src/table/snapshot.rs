//! The rows of a table at one moment.

use std::fmt;
use std::sync::Arc;

use flott_record::hash::key_group;

use super::block::Block;
use super::directory::Division;
use super::segments::SharedBlocks;

/// The rows of a [`KeyedTable`](crate::KeyedTable) at one moment, for another thread to read while
/// the table goes on changing. Cheap to clone.
///
/// ```
/// use flott_record::hash::stable_hash;
/// use flott_state::KeyedTable;
///
/// let mut table = KeyedTable::<u32, u32>::new();
/// table.insert(stable_hash(&1), 1, 10);
/// let snapshot = table.snapshot();
/// table.insert(stable_hash(&1), 1, 11);
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(snapshot.iter().next(), Some((stable_hash(&1), &1, &10))));
/// });
/// let rolled_back = KeyedTable::from_snapshot(&snapshot);
/// assert_eq!(rolled_back.get(stable_hash(&1), &1), Some(&10));
/// ```
pub struct TableSnapshot<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    len: usize,
    division: Division,
    /// In the order of the hashes of their rows.
    blocks: SharedBlocks<K, V>,
}

impl<K, V> Clone for TableSnapshot<K, V> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K, V> fmt::Debug for TableSnapshot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSnapshot")
            .field("rows", &self.len())
            .finish()
    }
}

impl<K, V> TableSnapshot<K, V> {
    pub(super) fn new(len: usize, division: Division, blocks: SharedBlocks<K, V>) -> Self {
        Self {
            inner: Arc::new(Inner {
                len,
                division,
                blocks,
            }),
        }
    }

    pub(super) fn shared(&self) -> (Division, &SharedBlocks<K, V>) {
        (self.inner.division, &self.inner.blocks)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn blocks(&self) -> impl Iterator<Item = &Block<K, V>> {
        self.inner.blocks.iter().map(|(block, _)| &**block)
    }

    /// Bytes of the segments it holds, without what keys and values point to. What the table or other
    /// snapshots hold too counts.
    pub fn allocated_bytes(&self) -> usize {
        self.blocks().map(Block::bytes).sum()
    }

    /// All rows with the hash of their key.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        self.blocks().flat_map(Block::iter)
    }

    /// All rows by ascending key group: group, hash, key, value. Needs no memory but for one block.
    pub fn by_group(&self, max_parallelism: u32) -> impl Iterator<Item = (u32, u64, &K, &V)> {
        // Blocks follow each other in the order of the hashes of their rows.
        self.blocks().flat_map(move |block| {
            let order = block.sorted_slots(|hash| key_group(hash, max_parallelism));
            order.into_iter().filter_map(|(group, slot)| {
                let (hash, key, value) = block.get(slot as usize)?;
                Some((group, hash, key, value))
            })
        })
    }
}
