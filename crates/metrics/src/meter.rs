//! Rates per second over the last minute, as Flink's meter views have them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Counter;

/// How often a view looks at its count.
const UPDATE_INTERVAL_MS: i64 = 5_000;
/// The time that rates are averaged over. A meter that is younger counts the missing time as silence, as Flink's does.
const SPAN_SECONDS: i64 = 60;
const SLOTS: usize = (SPAN_SECONDS * 1000 / UPDATE_INTERVAL_MS) as usize + 1;

/// The counts of the last minute, one for each update.
#[derive(Debug)]
struct Window<const N: usize> {
    counts: [i64; N],
    newest: usize,
    /// Number of the update interval of the newest count; `None` before the first.
    interval: Option<i64>,
}

impl<const N: usize> Window<N> {
    fn new() -> Self {
        Self {
            counts: [0; N],
            newest: 0,
            interval: None,
        }
    }

    /// Takes the count at `now`, once per update interval; intervals that were missed get it too. Whether anything moved.
    fn update(&mut self, now_ms: i64, count: i64) -> bool {
        let current = now_ms.div_euclid(UPDATE_INTERVAL_MS);
        // A clock that goes back is waited for.
        let missed = match self.interval {
            None => 1,
            Some(last) => current.saturating_sub(last).clamp(0, N as i64),
        };
        for _ in 0..missed {
            self.newest = (self.newest + 1) % N;
            self.counts[self.newest] = count;
        }
        if missed > 0 {
            self.interval = Some(current);
        }
        missed > 0
    }

    /// By how much the count grew over the window.
    fn growth(&self) -> i64 {
        let oldest = self.counts[(self.newest + 1) % N];
        self.counts[self.newest].wrapping_sub(oldest)
    }
}

pub(crate) enum Source {
    Counter(Counter),
    Read(Box<dyn Fn() -> i64 + Send + Sync>),
}

struct Inner {
    source: Source,
    // A std mutex: held by a reporter for the time of an update.
    window: Mutex<Window<SLOTS>>,
    rate_bits: AtomicU64,
}

/// Events per second over the last 60 s. Clones are the same meter.
///
/// The rate changes when the reporter looks, every 5 s.
///
/// ```
/// use flott_metrics::MetricRegistry;
///
/// let registry = MetricRegistry::new();
/// let orders = registry.operator("orders").meter("ordersPerSecond");
/// orders.mark();
/// orders.mark_by(59);
/// registry.update(5_000);
/// assert_eq!(orders.rate(), 1.0);
/// assert_eq!(orders.count(), 60);
/// ```
#[derive(Clone)]
pub struct Meter(Arc<Inner>);

impl fmt::Debug for Meter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Meter")
            .field("count", &self.count())
            .field("rate", &self.rate())
            .finish()
    }
}

impl Meter {
    /// A meter of its own, which belongs to no group.
    pub fn new() -> Self {
        Self::over(Source::Counter(Counter::default()))
    }

    pub(crate) fn over(source: Source) -> Self {
        Self(Arc::new(Inner {
            source,
            window: Mutex::new(Window::new()),
            rate_bits: AtomicU64::new(0),
        }))
    }

    /// An event happened.
    #[inline]
    pub fn mark(&self) {
        self.mark_by(1);
    }

    /// So many events happened. Without effect on a meter over somebody else's count.
    #[inline]
    pub fn mark_by(&self, events: i64) {
        if let Source::Counter(counter) = &self.0.source {
            counter.inc_by(events);
        }
    }

    /// Events so far.
    pub fn count(&self) -> i64 {
        match &self.0.source {
            Source::Counter(counter) => counter.count(),
            Source::Read(read) => read(),
        }
    }

    /// Events per second, as of the last update.
    pub fn rate(&self) -> f64 {
        f64::from_bits(self.0.rate_bits.load(Ordering::Relaxed))
    }

    /// Tells the time, in milliseconds of any clock that does not go back.
    pub fn update(&self, now_ms: i64) {
        let count = self.count();
        let mut window = self.0.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.update(now_ms, count) {
            let rate = window.growth() as f64 / SPAN_SECONDS as f64;
            self.0.rate_bits.store(rate.to_bits(), Ordering::Relaxed);
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let meter = Meter::new();
        meter.update(0);
        // 20 events per second for 30 s.
        for second in 1..=30 {
            meter.mark_by(20);
            meter.update(second * 1000);
        }
        assert_eq!(meter.rate(), 10.0, "half of the minute was silent");
        for second in 31..=120 {
            meter.mark_by(20);
            meter.update(second * 1000);
        }
        assert_eq!(meter.rate(), 20.0);
        for second in 121..=181 {
            meter.update(second * 1000);
        }
        assert_eq!((meter.rate(), meter.count()), (0.0, 2_400));
    }

    #[test]
    fn the_rate_moves_every_five_seconds_only() {
        let meter = Meter::new();
        meter.update(10_000);
        meter.mark_by(600);
        meter.update(14_999);
        assert_eq!(meter.rate(), 0.0);
        meter.update(15_000);
        assert_eq!(meter.rate(), 10.0);
        meter.update(3_000);
        assert_eq!(meter.rate(), 10.0, "a clock that goes back changes nothing");
    }

    #[test]
    fn a_reporter_that_slept_does_not_stretch_the_minute() {
        let meter = Meter::new();
        meter.update(0);
        meter.mark_by(600);
        meter.update(600_000);
        assert_eq!(meter.rate(), 0.0, "the events may be ten minutes old");
        meter.mark_by(120);
        meter.update(605_000);
        assert_eq!(meter.rate(), 2.0);
    }

    #[test]
    fn a_meter_over_a_count_reads_it() {
        let counter = Counter::default();
        let read = counter.clone();
        let meter = Meter::over(Source::Read(Box::new(move || read.count())));
        counter.inc_by(120);
        meter.mark_by(7);
        meter.update(5_000);
        assert_eq!((meter.count(), meter.rate()), (120, 2.0));
    }
}
