//! Combines the rows of each key into one, and emits it after every row (STREAMING).

use flott_network::{Batch, Control, batch_rows};
use flott_record::Record;
use flott_record::hash::stable_hash;
use hashbrown::HashTable;

use super::KeySelector;
use crate::{BatchSink, TaskError};

struct Entry<K, T> {
    hash: u64,
    key: K,
    value: T,
}

/// The running reduction per key.
pub struct KeyedReduce<T, S: KeySelector<T>, F> {
    selector: S,
    function: F,
    table: HashTable<Entry<S::Key, T>>,
    buffer: Batch<T>,
    next: Box<dyn BatchSink<T>>,
}

impl<T: Record, S: KeySelector<T>, F: FnMut(&mut T, T) + Send> KeyedReduce<T, S, F> {
    /// Combines by `function(accumulated, row)`.
    pub fn new(selector: S, function: F, next: Box<dyn BatchSink<T>>) -> Self {
        let buffer = Batch::with_capacity(batch_rows::<T>());
        Self {
            selector,
            function,
            table: HashTable::new(),
            buffer,
            next,
        }
    }

    #[inline(always)]
    fn update(&mut self, hash: u64, row: T) -> T {
        let Self {
            selector,
            function,
            table,
            ..
        } = self;
        let found = selector.with(&row, |key| {
            // The borrow checker cannot see that the entry outlives the key: find the slot first.
            table.find_bucket_index(hash, |entry| entry.hash == hash && entry.key == *key)
        });
        if let Some(entry) = found.and_then(|index| table.get_bucket_mut(index)) {
            function(&mut entry.value, row);
            return entry.value.clone();
        }
        let key = selector.with(&row, Clone::clone);
        let value = row.clone();
        table.insert_unique(
            hash,
            Entry {
                hash,
                key,
                value: row,
            },
            |entry| entry.hash,
        );
        value
    }

    fn hand_on(&mut self) -> Result<(), TaskError> {
        let result = self.next.batch(&mut self.buffer);
        self.buffer.clear();
        result
    }
}

impl<T: Record, S: KeySelector<T>, F: FnMut(&mut T, T) + Send> BatchSink<T>
    for KeyedReduce<T, S, F>
{
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        // The writer sends its hashes along; bytes from another process come without.
        let mut hashes = std::mem::take(&mut batch.hashes);
        if hashes.len() != batch.rows.len() {
            hashes.clear();
            let selector = &self.selector;
            hashes.extend(batch.rows.iter().map(|row| selector.with(row, stable_hash)));
        }
        let mut known = hashes.iter();
        for (row, timestamp) in batch.drain() {
            let Some(hash) = known.next() else { break };
            let value = self.update(*hash, row);
            self.buffer.push(value, timestamp);
            if self.buffer.len() >= batch_rows::<T>() {
                self.hand_on()?;
            }
        }
        hashes.clear();
        batch.hashes = hashes;
        if self.buffer.is_empty() {
            Ok(())
        } else {
            self.hand_on()
        }
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.next.control(control)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.next.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.next.settle()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::chain::testing::Keep;
    use crate::keyed::{ByRef, ByValue};

    #[test]
    fn every_update_is_emitted_and_equals_a_naive_count() {
        let keep = Keep::default();
        let mut reduce = KeyedReduce::new(
            ByRef::new(|row: &(String, u64)| &row.0),
            |sum: &mut (String, u64), row: (String, u64)| sum.1 += row.1,
            Box::new(keep.clone()),
        );
        let mut expected = Vec::new();
        let mut oracle: BTreeMap<String, u64> = BTreeMap::new();
        let mut batch = Batch::default();
        for at in 0..5_000_u64 {
            let key = format!("k{}", at * at % 97);
            let total = oracle.entry(key.clone()).or_default();
            *total += at;
            expected.push((key.clone(), *total));
            batch.push((key, at), 0);
        }
        reduce.batch(&mut batch).unwrap();
        assert_eq!(keep.rows(), expected);
    }

    #[test]
    fn hashes_of_the_writer_are_used_and_collisions_are_told_apart() {
        let keep = Keep::default();
        let mut reduce = KeyedReduce::new(
            ByValue::new(|row: &(u32, u32)| row.0),
            |sum: &mut (u32, u32), row: (u32, u32)| sum.1 += row.1,
            Box::new(keep.clone()),
        );
        let mut batch = Batch::default();
        for key in [1, 2, 1] {
            batch.push((key, 1), 0);
            batch.hashes.push(42);
        }
        reduce.batch(&mut batch).unwrap();
        assert_eq!(keep.rows(), [(1, 1), (2, 1), (1, 2)]);
    }
}
