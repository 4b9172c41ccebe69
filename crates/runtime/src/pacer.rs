//! When a task flushes, and where its time goes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use flott_operators::TaskCounters;

/// A task gives way to others after so long, even if there is more to do.
const TIME_SLICE: Duration = Duration::from_micros(200);
/// An idle task flushes, but not more often than this: batches would become tiny.
const IDLE_FLUSH: Duration = Duration::from_millis(1);

/// `execution.buffer-timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferTimeout {
    /// Only full buffers are sent (-1).
    Never,
    /// Nothing waits longer than this; zero: each batch is sent at once.
    After(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Idle,
    Backpressured,
}

pub(crate) struct Pacer {
    timeout: BufferTimeout,
    last_flush: Instant,
    dirty: bool,
    poll_start: Instant,
    last_end: Instant,
    waiting: Waiting,
    counters: Arc<TaskCounters>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Pacer {
    pub(crate) fn new(timeout: BufferTimeout, counters: Arc<TaskCounters>) -> Self {
        let now = Instant::now();
        Self {
            timeout,
            last_flush: now,
            dirty: false,
            poll_start: now,
            last_end: now,
            waiting: Waiting::Idle,
            counters,
        }
    }

    /// A poll begins: the time since the last one was spent waiting.
    pub(crate) fn begin(&mut self) {
        self.poll_start = Instant::now();
        let counter: &AtomicU64 = match self.waiting {
            Waiting::Idle => &self.counters.idle_ns,
            Waiting::Backpressured => &self.counters.backpressured_ns,
        };
        TaskCounters::add(
            counter,
            nanos(self.poll_start.duration_since(self.last_end)),
        );
    }

    /// A poll ends; what follows is that kind of waiting.
    pub(crate) fn end(&mut self, waiting: Waiting) {
        self.last_end = Instant::now();
        self.waiting = waiting;
        TaskCounters::add(
            &self.counters.busy_ns,
            nanos(self.last_end.duration_since(self.poll_start)),
        );
    }

    pub(crate) fn slice_is_over(&self) -> bool {
        self.poll_start.elapsed() >= TIME_SLICE
    }

    pub(crate) fn processed_rows(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn flushed(&mut self) {
        self.dirty = false;
        self.last_flush = Instant::now();
    }

    /// Whether a busy task must flush now.
    pub(crate) fn flush_is_due(&self) -> bool {
        match self.timeout {
            BufferTimeout::Never => false,
            BufferTimeout::After(timeout) => self.dirty && self.last_flush.elapsed() >= timeout,
        }
    }

    /// When a task without input should flush: `None`: there is nothing to flush.
    pub(crate) fn idle_flush_at(&self) -> Option<Instant> {
        match self.timeout {
            BufferTimeout::After(timeout) if self.dirty => {
                Some(self.last_flush + timeout.min(IDLE_FLUSH))
            }
            BufferTimeout::After(_) | BufferTimeout::Never => None,
        }
    }
}
