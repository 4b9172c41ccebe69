//! Scarce memory: sources pause when their task executor says so.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static OF_PROCESS: LazyLock<Pressure> = LazyLock::new(Pressure::new);

/// Until when sources pause.
#[derive(Debug)]
pub(crate) struct Pressure {
    began: Instant,
    /// Milliseconds after that; 0: they do not pause.
    until: AtomicU64,
}

/// Sources of this process read nothing for so long from now.
pub fn pause_sources(pause: Duration) {
    OF_PROCESS.pause(pause);
}

impl Pressure {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            until: AtomicU64::new(0),
        }
    }

    pub(crate) fn of_process() -> &'static Self {
        &OF_PROCESS
    }

    pub(crate) fn pause(&self, pause: Duration) {
        // A part of a millisecond is a whole one.
        let until = (self.began.elapsed() + pause).as_millis() + 1;
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.until.fetch_max(until, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        match self.until.load(Ordering::Relaxed) {
            0 => None,
            until => Some(self.began + Duration::from_millis(until)).filter(|until| *until > now),
        }
    }
}
