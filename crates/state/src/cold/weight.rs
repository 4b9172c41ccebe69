//! How much memory rows take, as far as that can be said without asking each of them.

use std::marker::PhantomData;

use flott_record::Record;
use flott_record::codec::encode;

use crate::KeyedTable;

/// Tables are full to four sevenths in the mean: blocks are divided when they are full.
const SLOTS_FOR_FOUR_ROWS: u64 = 7;
/// A tag and a hash.
const PER_SLOT: u64 = 9;
/// What an allocation costs beside its content, for key and value.
const PER_ALLOCATIONS: u64 = 32;
/// So many rows are encoded to see how long they are.
const SAMPLED: usize = 16;
/// They are looked at again after so many questions.
const QUESTIONS: u32 = 256;

/// The mean weight of the rows of a table.
pub(super) struct Weight<K, V> {
    /// Encoded bytes of a row in the mean, in sixteenths.
    encoded: u64,
    /// Where the next rows are sampled.
    cursor: usize,
    /// How many rows there were when rows were sampled.
    rows: usize,
    questions: u32,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> Default for Weight<K, V> {
    fn default() -> Self {
        Self {
            encoded: 0,
            cursor: 0,
            rows: 0,
            questions: 0,
            types: PhantomData,
        }
    }
}

impl<K, V> Weight<K, V> {
    /// Bytes of a row.
    pub(super) fn row(&self) -> u64 {
        let slot = size_of::<(K, V)>() as u64 + PER_SLOT;
        let own = slot * SLOTS_FOR_FOUR_ROWS / 4;
        if std::mem::needs_drop::<(K, V)>() {
            // What rows point to is about as long as what is written of them.
            own + PER_ALLOCATIONS + self.encoded / 16
        } else {
            own
        }
    }

    /// So many rows have so many bytes together.
    pub(super) fn weigh(&mut self, bytes: usize, rows: usize) {
        if rows == 0 {
            return;
        }
        let mean = bytes as u64 * 16 / rows as u64;
        self.encoded = if self.encoded == 0 {
            mean
        } else {
            (self.encoded * 3 + mean) / 4
        };
    }
}

impl<K: Record, V: Record> Weight<K, V> {
    /// Bytes of all rows of a table.
    pub(super) fn of(&mut self, table: &KeyedTable<K, V>) -> u64 {
        if std::mem::needs_drop::<(K, V)>() {
            self.questions += 1;
            let changed = table.len().abs_diff(self.rows) > self.rows / 8;
            if changed || self.questions >= QUESTIONS {
                self.sample(table);
            }
        }
        table.len() as u64 * self.row()
    }

    #[cold]
    fn sample(&mut self, table: &KeyedTable<K, V>) {
        self.questions = 0;
        self.rows = table.len();
        let mut bytes = Vec::new();
        let mut seen = 0;
        while seen < SAMPLED.min(table.len()) {
            let Some((at, _, key, value)) = table.row_from(self.cursor) else {
                self.cursor = 0;
                continue;
            };
            self.cursor = at + 1;
            seen += 1;
            // A row that cannot be encoded is found when it goes.
            let _ = encode(key, &mut bytes).and_then(|()| encode(value, &mut bytes));
        }
        self.weigh(bytes.len(), seen);
    }
}
