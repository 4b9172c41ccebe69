//! The distribution of the last values.

use std::sync::{Arc, Mutex, PoisonError};

/// Values kept if nobody says otherwise.
const DEFAULT_WINDOW: usize = 1_024;

#[derive(Debug)]
struct Ring {
    values: Vec<i64>,
    window: usize,
    next: usize,
    count: u64,
}

/// Keeps the last values and describes them. Clones are the same histogram; memory is bounded by its window.
///
/// ```
/// use flott_metrics::MetricRegistry;
///
/// let sizes = MetricRegistry::new().operator("parse").histogram("lineLength");
/// for length in 1..=100 {
///     sizes.update(length);
/// }
/// let seen = sizes.statistics();
/// assert_eq!((seen.count, seen.min, seen.max), (100, 1, 100));
/// assert_eq!(seen.quantile(0.5), 50.5);
/// ```
#[derive(Debug, Clone)]
// A std mutex: held for one update, or for a copy when a reporter reads.
pub struct Histogram(Arc<Mutex<Ring>>);

impl Histogram {
    /// Keeps the last 1,024 values, and belongs to no group.
    pub fn new() -> Self {
        Self::with_window(DEFAULT_WINDOW)
    }

    /// Keeps so many values, at least one.
    pub fn with_window(window: usize) -> Self {
        let window = window.max(1);
        Self(Arc::new(Mutex::new(Ring {
            values: Vec::new(),
            window,
            next: 0,
            count: 0,
        })))
    }

    /// Adds a value; the oldest is forgotten when the window is full.
    pub fn update(&self, value: i64) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.count += 1;
        if ring.values.len() < ring.window {
            ring.values.push(value);
            return;
        }
        let next = ring.next;
        ring.values[next] = value;
        ring.next = (next + 1) % ring.window;
    }

    /// Values added so far, also those that are forgotten.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Describes the values of the window.
    pub fn statistics(&self) -> HistogramStatistics {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (values, count) = (ring.values.clone(), ring.count);
        drop(ring);
        HistogramStatistics::of(values, count)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// A description of values. Without any, all figures are 0.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramStatistics {
    /// Values ever added.
    pub count: u64,
    /// The smallest of the window.
    pub min: i64,
    /// The largest of the window.
    pub max: i64,
    /// The mean of the window.
    pub mean: f64,
    /// The standard deviation of a sample that the window is.
    pub stddev: f64,
    sorted: Vec<i64>,
}

impl HistogramStatistics {
    /// Describes values; `count` is how many there ever were.
    pub fn of(mut values: Vec<i64>, count: u64) -> Self {
        values.sort_unstable();
        let size = values.len() as f64;
        let mean = if values.is_empty() {
            0.0
        } else {
            values.iter().map(|value| *value as f64).sum::<f64>() / size
        };
        let squares: f64 = values
            .iter()
            .map(|value| (*value as f64 - mean).powi(2))
            .sum();
        let stddev = if values.len() < 2 {
            0.0
        } else {
            (squares / (size - 1.0)).sqrt()
        };
        Self {
            count,
            min: values.first().copied().unwrap_or_default(),
            max: values.last().copied().unwrap_or_default(),
            mean,
            stddev,
            sorted: values,
        }
    }

    /// The value that the share `q` (0 to 1) of the values does not exceed, interpolated between neighbours at position
    /// `q · (n + 1)`, as Flink does.
    pub fn quantile(&self, q: f64) -> f64 {
        let size = self.sorted.len();
        let position = q.clamp(0.0, 1.0) * (size as f64 + 1.0);
        let below = position.floor();
        if size == 0 || below < 1.0 {
            return self.min as f64;
        }
        if below >= size as f64 {
            return self.max as f64;
        }
        let (lower, upper) = (
            self.sorted[below as usize - 1] as f64,
            self.sorted[below as usize] as f64,
        );
        lower + (position - below) * (upper - lower)
    }

    /// The figures under the names that Flink appends to a histogram's own.
    pub(crate) fn named(&self) -> [(&'static str, crate::MetricValue); 12] {
        [
            ("count", self.count.into()),
            ("min", self.min.into()),
            ("max", self.max.into()),
            ("mean", self.mean.into()),
            ("stddev", self.stddev.into()),
            ("median", self.quantile(0.5).into()),
            ("p75", self.quantile(0.75).into()),
            ("p90", self.quantile(0.9).into()),
            ("p95", self.quantile(0.95).into()),
            ("p98", self.quantile(0.98).into()),
            ("p99", self.quantile(0.99).into()),
            ("p999", self.quantile(0.999).into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest() {
        let histogram = Histogram::with_window(3);
        for value in 1..=5 {
            histogram.update(value);
        }
        let seen = histogram.statistics();
        assert_eq!((seen.count, seen.min, seen.max), (5, 3, 5));
        assert_eq!((seen.mean, seen.stddev), (4.0, 1.0));
    }

    #[test]
    fn nothing_is_zero() {
        let seen = Histogram::new().statistics();
        assert_eq!((seen.count, seen.min, seen.max), (0, 0, 0));
        assert_eq!(
            (seen.mean, seen.stddev, seen.quantile(0.99)),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let seen = HistogramStatistics::of(vec![40, 10, 30, 20], 4);
        assert_eq!(seen.quantile(0.0), 10.0);
        assert_eq!(seen.quantile(0.5), 25.0);
        assert_eq!(seen.quantile(0.75), 37.5);
        assert_eq!(seen.quantile(0.99), 40.0);
        assert_eq!(HistogramStatistics::of(vec![7], 1).quantile(0.5), 7.0);
    }
}
