//! The share of time spent in something, in milliseconds per second: busy, idle, back-pressured.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::meter::{UPDATE_INTERVAL_MS, Window};

/// Shorter than a meter's minute, so that back pressure shows while it lasts.
const SPAN_MS: i64 = 10_000;
const SLOTS: usize = (SPAN_MS / UPDATE_INTERVAL_MS) as usize + 1;
const MOST: i64 = 1_000;

struct Inner {
    /// Accumulated milliseconds.
    read: Box<dyn Fn() -> i64 + Send + Sync>,
    // A std mutex: held by a reporter for the time of an update.
    window: Mutex<Window<SLOTS>>,
    per_second: AtomicI64,
}

/// Milliseconds per second over the last 10 s, or over the life of the task if that is shorter.
#[derive(Clone)]
pub(crate) struct TimeShare(Arc<Inner>);

impl fmt::Debug for TimeShare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("TimeShare")
            .field(&self.per_second())
            .finish()
    }
}

impl TimeShare {
    pub(crate) fn over(read: Box<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self(Arc::new(Inner {
            read,
            window: Mutex::new(Window::new()),
            per_second: AtomicI64::new(0),
        }))
    }

    pub(crate) fn per_second(&self) -> i64 {
        self.0.per_second.load(Ordering::Relaxed)
    }

    pub(crate) fn update(&self, now_ms: i64) {
        let spent = (self.0.read)();
        let mut window = self.0.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.update(now_ms, spent) {
            let seconds = window.intervals() as i64 * UPDATE_INTERVAL_MS / 1000;
            let per_second = window.growth() / seconds.max(1);
            self.0
                .per_second
                .store(per_second.clamp(0, MOST), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;

    #[test]
    fn a_share_is_of_the_time_there_was() {
        let spent = Counter::default();
        let read = spent.clone();
        let share = TimeShare::over(Box::new(move || read.count()));
        spent.inc_by(2_500);
        share.update(5_000);
        assert_eq!(share.per_second(), 500, "of five seconds");
        spent.inc_by(5_000);
        share.update(10_000);
        assert_eq!(share.per_second(), 750, "of ten seconds");
        share.update(15_000);
        share.update(20_000);
        assert_eq!(share.per_second(), 0);
        spent.inc_by(50_000);
        share.update(25_000);
        assert_eq!(share.per_second(), 1_000, "never more than all of it");
    }
}
