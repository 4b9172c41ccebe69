//! Processing time of a task, and when it wants to be called for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Nothing is asked for.
const NEVER: i64 = i64::MAX;

/// The clock of one task; clones are the same clock. Milliseconds since the epoch.
#[derive(Debug, Clone)]
pub struct TaskClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The earliest time somebody asked to be called at.
    wake: AtomicI64,
    /// The time, if it is not the system's.
    manual: Option<AtomicI64>,
    /// Timers of operators that fired.
    fired: AtomicU64,
}

impl Default for TaskClock {
    fn default() -> Self {
        Self::system()
    }
}

impl TaskClock {
    /// The system's time.
    pub fn system() -> Self {
        Self(Arc::new(Inner {
            wake: AtomicI64::new(NEVER),
            manual: None,
            fired: AtomicU64::new(0),
        }))
    }

    /// A time that only [`TaskClock::set`] changes: for tests.
    pub fn manual(now: i64) -> Self {
        Self(Arc::new(Inner {
            wake: AtomicI64::new(NEVER),
            manual: Some(AtomicI64::new(now)),
            fired: AtomicU64::new(0),
        }))
    }

    /// Sets a manual clock; without effect on the system's.
    pub fn set(&self, now: i64) {
        if let Some(time) = &self.0.manual {
            time.store(now, Ordering::Relaxed);
        }
    }

    /// The time.
    pub fn now(&self) -> i64 {
        match &self.0.manual {
            Some(time) => time.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as i64),
        }
    }

    /// Asks that the operators of the task are told the time at `time` or soon after. Only the
    /// earliest request counts; ask again whenever the time was told.
    pub fn wake_at(&self, time: i64) {
        // Written by the task's own thread only.
        if time < self.0.wake.load(Ordering::Relaxed) {
            self.0.wake.store(time, Ordering::Relaxed);
        }
    }

    /// The earliest request.
    pub fn next_wake(&self) -> Option<i64> {
        Some(self.0.wake.load(Ordering::Relaxed)).filter(|time| *time != NEVER)
    }

    /// Whether a request is due; it counts as met.
    pub fn take_due(&self, now: i64) -> bool {
        let due = self.0.wake.load(Ordering::Relaxed) <= now;
        if due {
            self.0.wake.store(NEVER, Ordering::Relaxed);
        }
        due
    }

    /// So many timers of the task's operators fired, of event time or processing time. Called by the task's thread only.
    pub fn fired(&self, timers: u64) {
        let before = self.0.fired.load(Ordering::Relaxed);
        self.0.fired.store(before + timers, Ordering::Relaxed);
    }

    /// Timers that fired so far.
    pub fn timers_fired(&self) -> u64 {
        self.0.fired.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_request_counts_and_is_met_once() {
        let clock = TaskClock::manual(10);
        clock.wake_at(30);
        clock.wake_at(20);
        clock.wake_at(25);
        assert_eq!(clock.next_wake(), Some(20));
        assert!(!clock.take_due(19));
        assert!(clock.take_due(21));
        assert!(!clock.take_due(100));
        clock.set(11);
        assert_eq!(clock.now(), 11);
    }
}
