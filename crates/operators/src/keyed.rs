//! Operators that keep state per key.

pub mod extremes;
mod fold;
mod functions;
mod selector;

use flott_network::Batch;
use flott_record::Record;
use flott_record::hash::stable_hash;
use flott_state::KeyedTable;
use flott_state::cold::TieredTable;

pub use fold::{FinalFold, RunningFold, keyed_fold};
pub use functions::{Aggregate, Fold, Reduce};
pub use selector::{ByRef, ByValue, KeySelector};

use crate::TaskError;
use crate::checkpoint::unmoved;

/// So many rows before a row is looked for, its memory is asked for: the time in which it comes is
/// spent on others.
const AHEAD: usize = 32;

/// Asks for the memory of the first rows that will be looked for in a table; the hashes returned
/// are to be asked for one by one, each when a row was taken: none, if the table is small.
#[inline]
pub(crate) fn prefetch_first<'h, K, V>(
    table: &KeyedTable<K, V>,
    hashes: &'h [u64],
) -> std::slice::Iter<'h, u64> {
    if !table.is_large() {
        return [].iter();
    }
    let (first, rest) = hashes.split_at(hashes.len().min(AHEAD));
    for hash in first {
        table.prefetch(*hash);
    }
    rest.iter()
}

/// Brings the rows of a batch's keys into memory, where the others may be elsewhere.
#[inline]
pub(crate) fn fetch_rows<T, S: KeySelector<T>, V: Record>(
    table: &mut TieredTable<S::Key, V>,
    selector: &S,
    rows: &[T],
    hashes: &[u64],
) -> Result<(), TaskError> {
    if !table.is_tiered() {
        return Ok(());
    }
    for (row, hash) in rows.iter().zip(hashes) {
        let wanted = selector.with(row, |key| table.want(*hash, key));
        wanted.map_err(unmoved)?;
    }
    table.fetch().map_err(unmoved)
}

/// Takes the stable hash of each row's key out of a batch, or computes them: the local writer sends
/// its hashes along, bytes from another process come without. Give the vector back to the batch when
/// done, so that its memory is used again.
pub fn take_hashes<T, S: KeySelector<T>>(batch: &mut Batch<T>, selector: &S) -> Vec<u64> {
    let mut hashes = std::mem::take(&mut batch.hashes);
    if hashes.len() != batch.rows.len() {
        hashes.clear();
        hashes.extend(batch.rows.iter().map(|row| selector.with(row, stable_hash)));
    }
    hashes
}
