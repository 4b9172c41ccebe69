//! A value as it is now.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The value of a metric when it was read.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// Anything else.
    Text(String),
}

impl MetricValue {
    /// The value as a number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

/// As Flink's REST API writes it: numbers with a fraction always show one.
impl fmt::Display for MetricValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(out),
            Self::Float(value) => write!(out, "{value:?}"),
            Self::Bool(value) => value.fmt(out),
            Self::Text(value) => out.write_str(value),
        }
    }
}

impl From<i64> for MetricValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for MetricValue {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for MetricValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for MetricValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<String> for MetricValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for MetricValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// What a settable gauge can hold: `i64`, `u64`, `f64` and `bool`.
pub trait GaugeValue: Copy + Into<MetricValue> + Send + Sync + 'static + sealed::Sealed {
    /// The value as 64 bits.
    #[doc(hidden)]
    fn to_bits(self) -> u64;
    /// The value of 64 bits.
    #[doc(hidden)]
    fn from_bits(bits: u64) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for u64 {}
    impl Sealed for f64 {}
    impl Sealed for bool {}
}

impl GaugeValue for i64 {
    fn to_bits(self) -> u64 {
        self.cast_unsigned()
    }
    fn from_bits(bits: u64) -> Self {
        bits.cast_signed()
    }
}

impl GaugeValue for u64 {
    fn to_bits(self) -> u64 {
        self
    }
    fn from_bits(bits: u64) -> Self {
        bits
    }
}

impl GaugeValue for f64 {
    fn to_bits(self) -> u64 {
        f64::to_bits(self)
    }
    fn from_bits(bits: u64) -> Self {
        f64::from_bits(bits)
    }
}

impl GaugeValue for bool {
    fn to_bits(self) -> u64 {
        u64::from(self)
    }
    fn from_bits(bits: u64) -> Self {
        bits != 0
    }
}

/// Holds the value that was set last. Clones hold the same value.
///
/// ```
/// use flott_metrics::MetricRegistry;
///
/// let group = MetricRegistry::new().operator("enrich");
/// let in_flight = group.gauge("requestsInFlight", 0_i64);
/// in_flight.set(12);
/// assert_eq!(in_flight.get(), 12);
/// ```
#[derive(Debug)]
pub struct Gauge<T> {
    bits: Arc<AtomicU64>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Gauge<T> {
    fn clone(&self) -> Self {
        Self {
            bits: Arc::clone(&self.bits),
            of: PhantomData,
        }
    }
}

impl<T: GaugeValue> Gauge<T> {
    /// Holds that value, and belongs to no group.
    pub fn new(value: T) -> Self {
        Self {
            bits: Arc::new(AtomicU64::new(value.to_bits())),
            of: PhantomData,
        }
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: T) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The value set last.
    pub fn get(&self) -> T {
        T::from_bits(self.bits.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_comes_back() {
        let (int, float, yes) = (Gauge::new(-5_i64), Gauge::new(0.25), Gauge::new(false));
        let count = Gauge::new(u64::MAX);
        assert_eq!((int.get(), count.get()), (-5, u64::MAX));
        float.clone().set(f64::NEG_INFINITY);
        yes.set(true);
        assert!(float.get().is_infinite() && yes.get());
    }

    #[test]
    fn values_are_written_as_flink_does() {
        let text = |value: MetricValue| value.to_string();
        assert_eq!(text(0_i64.into()), "0");
        assert_eq!(text(0.0.into()), "0.0");
        assert_eq!(text(4023.1666666666665.into()), "4023.1666666666665");
        assert_eq!(text(f64::NAN.into()), "NaN");
        assert_eq!(text(false.into()), "false");
        assert_eq!(text("a b".into()), "a b");
        assert_eq!(text(u64::MAX.into()), i64::MAX.to_string());
    }
}
