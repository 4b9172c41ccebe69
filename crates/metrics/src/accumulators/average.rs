//! The mean of numbers.

use std::sync::Mutex;

use super::{Accumulator, AccumulatorError};

/// Averages floating-point numbers; 0 without any.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct AverageAccumulator {
    count: u64,
    sum: f64,
}

impl Accumulator for AverageAccumulator {
    type Value = f64;
    type Result = f64;
    type Cell = Mutex<Self>;

    fn kind() -> String {
        "AverageAccumulator".to_owned()
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
    }

    fn result(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum / self.count as f64
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError> {
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.sum.to_le_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, AccumulatorError> {
        let read = || {
            let (count, sum) = bytes.split_at_checked(8)?;
            Some(Self {
                count: u64::from_le_bytes(count.try_into().ok()?),
                sum: f64::from_le_bytes(sum.try_into().ok()?),
            })
        };
        read().ok_or_else(|| AccumulatorError::bytes::<Self>("not a count and a sum"))
    }

    fn text(&self) -> String {
        format!("{:?}", self.result())
    }
}
