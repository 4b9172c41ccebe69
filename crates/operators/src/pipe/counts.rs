//! How many rows the operators of a fused run took and gave, for whoever looks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Pipe;

/// Rows that entered a run, and rows that left each of its operators. Written by the task's thread once per batch, read by a
/// reporter; what waits inside the run for room has not entered the operator that it waits for.
#[derive(Debug, Default)]
pub struct RunCounts {
    entered: AtomicU64,
    left: Box<[AtomicU64]>,
}

impl RunCounts {
    /// Of a run of so many operators through which nothing has passed.
    pub fn new(operators: usize) -> Self {
        Self {
            entered: AtomicU64::new(0),
            left: (0..operators).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Rows that the operator at that position, from 0, has taken.
    pub fn rows_in(&self, operator: usize) -> u64 {
        match operator.checked_sub(1) {
            None => self.entered.load(Ordering::Relaxed),
            Some(before) => self.rows_out(before),
        }
    }

    /// Rows that the operator at that position, from 0, has given.
    pub fn rows_out(&self, operator: usize) -> u64 {
        let left = self.left.get(operator);
        left.map_or(0, |left| left.load(Ordering::Relaxed))
    }

    /// So many rows have entered the run, and this is its state.
    #[inline]
    pub(super) fn publish<In, P: Pipe<In>>(&self, state: &P::State, entered: u64) {
        self.entered.store(entered, Ordering::Relaxed);
        P::report(state, entered, &mut |operator, rows| {
            // Positions are counted from 1.
            if let Some(left) = self.left.get(operator as usize - 1) {
                left.store(rows, Ordering::Relaxed);
            }
        });
    }
}
