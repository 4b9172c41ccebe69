//! Where an operator puts what it emits.

/// Takes rows one by one. Implemented by batches, writers and closures, so that a fused run of
/// operators ends directly in the buffer of its target.
pub trait Collect<T> {
    /// Takes one row; `NO_TIMESTAMP` if it has no event time.
    fn collect(&mut self, row: T, timestamp: i64);
}
