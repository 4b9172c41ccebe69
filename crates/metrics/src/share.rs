//! The share of time spent in something, in milliseconds per second: busy, idle, back-pressured.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shorter than a meter's minute, so that back pressure shows while it lasts.
const SPAN_MS: i64 = 10_000;
/// Looks that are closer together than this count as one.
const STEP_MS: i64 = 500;
const MOST: i64 = 1_000;

struct Inner {
    /// Accumulated milliseconds.
    read: Box<dyn Fn() -> i64 + Send + Sync>,
    /// When the count was looked at during the span, and what it was.
    // A std mutex: held by a reporter for the time of an update.
    seen: Mutex<VecDeque<(i64, i64)>>,
    per_second: AtomicI64,
}

/// Milliseconds per second over the last 10 s, or since the first look if that is shorter.
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
            seen: Mutex::default(),
            per_second: AtomicI64::new(0),
        }))
    }

    pub(crate) fn per_second(&self) -> i64 {
        self.0.per_second.load(Ordering::Relaxed)
    }

    pub(crate) fn update(&self, now_ms: i64) {
        let spent = (self.0.read)();
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that goes back is waited for.
        if seen.back().is_some_and(|(last, _)| now_ms - last < STEP_MS) {
            return;
        }
        seen.push_back((now_ms, spent));
        while seen.len() > 2
            && seen
                .front()
                .is_some_and(|(when, _)| now_ms - when > SPAN_MS)
        {
            seen.pop_front();
        }
        if let Some((when, before)) = seen.front()
            && now_ms > *when
        {
            let per_second = spent.saturating_sub(*before).saturating_mul(1_000) / (now_ms - when);
            let per_second = per_second.clamp(0, MOST);
            self.0.per_second.store(per_second, Ordering::Relaxed);
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
        spent.inc_by(700);
        share.update(5_000);
        assert_eq!(share.per_second(), 0, "nobody knows in what time");
        spent.inc_by(500);
        share.update(6_000);
        assert_eq!(share.per_second(), 500, "of a second");
        spent.inc_by(3_000);
        share.update(6_200);
        assert_eq!(share.per_second(), 500, "too soon");
        share.update(10_000);
        assert_eq!(share.per_second(), 700, "of five seconds");
        for second in 11..=25 {
            share.update(second * 1_000);
        }
        assert_eq!(share.per_second(), 0, "ten seconds ago is long ago");
        spent.inc_by(50_000);
        share.update(26_000);
        assert_eq!(share.per_second(), 1_000, "never more than all of it");
        share.update(1_000);
        assert_eq!(
            share.per_second(),
            1_000,
            "a clock that goes back changes nothing"
        );
    }
}
