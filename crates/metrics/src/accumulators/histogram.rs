//! How often each number was added.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{Accumulator, AccumulatorError};

const ENTRY: usize = 4 + 8;

/// Counts how often each number was added; it grows with the numbers that differ.
///
/// ```
/// use flott_metrics::accumulators::{Accumulators, Histogram};
///
/// let accumulators = Accumulators::default();
/// let lengths = accumulators.get::<Histogram>("word lengths")?;
/// for length in [3, 5, 3] {
///     lengths.add(length);
/// }
/// assert_eq!(lengths.result(), [(3, 2), (5, 1)].into());
/// # Ok::<(), flott_metrics::accumulators::AccumulatorError>(())
/// ```
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Histogram(BTreeMap<i32, u64>);

impl Accumulator for Histogram {
    type Value = i32;
    type Result = BTreeMap<i32, u64>;
    type Cell = Mutex<Self>;

    fn kind() -> String {
        "Histogram".to_owned()
    }

    fn add(&mut self, value: i32) {
        *self.0.entry(value).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        for (value, count) in other.0 {
            *self.0.entry(value).or_default() += count;
        }
    }

    fn result(&self) -> BTreeMap<i32, u64> {
        self.0.clone()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError> {
        out.reserve(self.0.len() * ENTRY);
        for (value, count) in &self.0 {
            out.extend_from_slice(&value.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, AccumulatorError> {
        let wrong = || AccumulatorError::bytes::<Self>("not pairs of a number and a count");
        let entry = |bytes: &[u8]| {
            let (value, count) = bytes.split_at_checked(4)?;
            let value = i32::from_le_bytes(value.try_into().ok()?);
            Some((value, u64::from_le_bytes(count.try_into().ok()?)))
        };
        let entries = bytes.chunks(ENTRY).map(entry);
        let entries: Option<BTreeMap<i32, u64>> = entries.collect();
        entries.map(Self).ok_or_else(wrong)
    }

    /// As Java writes a map.
    fn text(&self) -> String {
        let entries = self
            .0
            .iter()
            .map(|(value, count)| format!("{value}={count}"));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
    }
}
