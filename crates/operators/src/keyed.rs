//! Operators that keep state per key.

pub mod extremes;
mod fold;
mod functions;
mod selector;

use flott_network::Batch;
use flott_record::hash::stable_hash;

pub use fold::{FinalFold, RunningFold, keyed_fold};
pub use functions::{Aggregate, Fold, Reduce};
pub use selector::{ByRef, ByValue, KeySelector};

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
