//! Combines the rows of each key into one, and emits it after every row (STREAMING).

use flott_network::{Batch, Control};
use flott_record::Record;
use flott_record::hash::stable_hash;
use hashbrown::HashTable;

use super::KeySelector;
use crate::{BatchSink, Collect, Output, TaskError};

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
    output: Output<T>,
}

impl<T: Record, S: KeySelector<T>, F: FnMut(&mut T, T) + Send> KeyedReduce<T, S, F> {
    /// Combines by `function(accumulated, row)`.
    pub fn new(selector: S, function: F, output: Output<T>) -> Self {
        Self {
            selector,
            function,
            table: HashTable::new(),
            output,
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
            self.output.collect(value, timestamp);
        }
        hashes.clear();
        batch.hashes = hashes;
        self.output.hand_on()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.output.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.output.settle()
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
            Output::to(Box::new(keep.clone())),
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
            Output::to(Box::new(keep.clone())),
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
