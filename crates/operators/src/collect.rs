//! Where an operator puts what it emits.

use flott_network::NO_TIMESTAMP;

use crate::TaskError;

/// Takes rows one by one. Implemented by batches and writers, so that a fused run of operators ends
/// directly in the buffer of its target.
pub trait Collect<T> {
    /// Takes one row; `NO_TIMESTAMP` if it has no event time.
    fn collect(&mut self, row: T, timestamp: i64);

    /// Takes the row if `keep`. A buffer does without the branch, which no processor foresees when
    /// the rows that are kept are not regular.
    #[inline(always)]
    fn collect_if(&mut self, row: T, timestamp: i64, keep: bool) {
        if keep {
            self.collect(row, timestamp);
        }
    }

    /// Takes rows one after the other, as long as none fails; `timestamps` is empty, or has one for
    /// each of them. A buffer looks at its room once for all of them.
    ///
    /// What the iterator does ends up in the loop of the buffer if `next` is `#[inline(always)]`. Its
    /// counters are in registers then, unless something in it has a destructor.
    #[inline(always)]
    fn collect_all(&mut self, rows: &mut impl ExactSizeIterator<Item = T>, timestamps: &[i64])
    where
        Self: Sized,
    {
        let mut timestamps = timestamps.iter();
        for row in rows.by_ref() {
            let timestamp = timestamps.next().copied().unwrap_or(NO_TIMESTAMP);
            self.collect(row, timestamp);
            if self.has_failed() {
                return;
            }
        }
    }

    /// Whether there is no room for more: who can stop in the middle should, and go on later. Rows
    /// that come all the same are kept.
    fn is_full(&self) -> bool;

    /// The user's code failed: nothing more is wanted.
    fn fail(&mut self, error: TaskError);

    /// Whether [`Collect::fail`] was called and the error not returned yet.
    fn has_failed(&self) -> bool;
}
