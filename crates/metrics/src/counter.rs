//! A number that goes up and down by amounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts. Clones count into the same number, from any thread.
///
/// ```
/// use flott_metrics::MetricRegistry;
///
/// let group = MetricRegistry::new().operator("parse");
/// let malformed = group.counter("malformed");
/// malformed.inc();
/// malformed.inc_by(2);
/// assert_eq!(malformed.count(), 3);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicI64>);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds so many.
    #[inline]
    pub fn inc_by(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes one away.
    #[inline]
    pub fn dec(&self) {
        self.inc_by(-1);
    }

    /// Takes so many away.
    #[inline]
    pub fn dec_by(&self, amount: i64) {
        self.inc_by(amount.wrapping_neg());
    }

    /// The number now.
    pub fn count(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together_up_and_down() {
        let counter = Counter::default();
        let clone = counter.clone();
        counter.inc_by(10);
        clone.dec();
        clone.dec_by(4);
        counter.inc();
        assert_eq!((counter.count(), clone.count()), (6, 6));
    }
}
