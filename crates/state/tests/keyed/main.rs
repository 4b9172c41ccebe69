//! Keyed states against naive maps, with and without time to live, on a manual clock.

mod oracle;
mod single;

use flott_state::AggregateFunction;

/// Keeps the count and the sum.
pub(crate) struct Mean;

impl AggregateFunction<u32> for Mean {
    type Accumulator = (u64, u64);
    type Output = u64;

    fn create_accumulator(&self) -> (u64, u64) {
        (0, 0)
    }
    fn add(&self, accumulator: &mut (u64, u64), value: u32) {
        accumulator.0 += 1;
        accumulator.1 += u64::from(value);
    }
    fn get_result(&self, accumulator: &(u64, u64)) -> u64 {
        accumulator.1 / accumulator.0
    }
    fn merge(&self, accumulator: &mut (u64, u64), other: (u64, u64)) {
        accumulator.0 += other.0;
        accumulator.1 += other.1;
    }
}
