//! Sums of numbers, kept in atomics.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};

use super::{Accumulator, AccumulatorError, Cell};

/// Sums 32-bit numbers. Past the ends of the range it wraps, as Flink's does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct IntCounter(i32);

/// Sums 64-bit numbers. Past the ends of the range it wraps, as Flink's does.
///
/// ```
/// use flott_metrics::accumulators::{Accumulators, LongCounter};
///
/// let accumulators = Accumulators::default();
/// let rows = accumulators.get::<LongCounter>("rows")?;
/// rows.add(2);
/// rows.add(40);
/// assert_eq!(rows.result(), 42);
/// # Ok::<(), flott_metrics::accumulators::AccumulatorError>(())
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LongCounter(i64);

/// Sums floating-point numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct DoubleCounter(f64);

macro_rules! accumulator {
    ($name:ident, $number:ty, $cell:ty, $add:expr) => {
        impl Accumulator for $name {
            type Value = $number;
            type Result = $number;
            type Cell = $cell;

            fn kind() -> String {
                stringify!($name).to_owned()
            }

            fn add(&mut self, value: $number) {
                self.0 = $add(self.0, value);
            }

            fn merge(&mut self, other: Self) {
                self.add(other.0);
            }

            fn result(&self) -> $number {
                self.0
            }

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError> {
                out.extend_from_slice(&self.0.to_le_bytes());
                Ok(())
            }

            fn decode(bytes: &[u8]) -> Result<Self, AccumulatorError> {
                let length = bytes.len();
                let bytes = bytes.try_into().map_err(|_| {
                    AccumulatorError::bytes::<Self>(format!(
                        "{length} bytes are too few or too many"
                    ))
                })?;
                Ok(Self(<$number>::from_le_bytes(bytes)))
            }

            fn text(&self) -> String {
                format!("{:?}", self.0)
            }
        }
    };
}

accumulator!(IntCounter, i32, AtomicI32, i32::wrapping_add);
accumulator!(LongCounter, i64, AtomicI64, i64::wrapping_add);
accumulator!(DoubleCounter, f64, AtomicU64, |sum: f64, value: f64| sum
    + value);

impl Cell<IntCounter> for AtomicI32 {
    #[inline]
    fn add(&self, value: i32) {
        self.fetch_add(value, Ordering::Relaxed);
    }

    fn merge(&self, other: IntCounter) {
        Cell::<IntCounter>::add(self, other.0);
    }

    fn load(&self) -> IntCounter {
        IntCounter(AtomicI32::load(self, Ordering::Relaxed))
    }
}

impl Cell<LongCounter> for AtomicI64 {
    #[inline]
    fn add(&self, value: i64) {
        self.fetch_add(value, Ordering::Relaxed);
    }

    fn merge(&self, other: LongCounter) {
        Cell::<LongCounter>::add(self, other.0);
    }

    fn load(&self) -> LongCounter {
        LongCounter(AtomicI64::load(self, Ordering::Relaxed))
    }
}

/// The number's bits. All of them 0 is 0.0.
impl Cell<DoubleCounter> for AtomicU64 {
    #[inline]
    fn add(&self, value: f64) {
        // Always succeeds: the closure never refuses.
        let _ = self.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + value).to_bits())
        });
    }

    fn merge(&self, other: DoubleCounter) {
        Cell::<DoubleCounter>::add(self, other.0);
    }

    fn load(&self) -> DoubleCounter {
        DoubleCounter(f64::from_bits(AtomicU64::load(self, Ordering::Relaxed)))
    }
}
