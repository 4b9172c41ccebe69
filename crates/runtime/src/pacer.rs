//! When a task flushes, and where its time goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_operators::{Doing, TaskClock, TaskCounters};

use crate::scheduler::Poll;

/// A task gives way to others after so long, even if there is more to do.
const TIME_SLICE: Duration = Duration::from_micros(200);
/// An idle task flushes, but not more often than this: batches would become tiny.
const IDLE_FLUSH: Duration = Duration::from_millis(1);

/// About thirty years.
const LONGEST_MS: u64 = 1_000_000_000_000;

/// `execution.buffer-timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BufferTimeout {
    /// Nothing waits longer than this; zero: each batch is sent at once.
    After(Duration),
    /// Only full buffers are sent (-1).
    Never,
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
    counters: Arc<TaskCounters>,
}

impl Pacer {
    pub(crate) fn new(timeout: BufferTimeout, counters: Arc<TaskCounters>) -> Self {
        let now = Instant::now();
        Self {
            timeout,
            last_flush: now,
            dirty: false,
            poll_start: now,
            counters,
        }
    }

    /// A poll begins.
    pub(crate) fn begin(&mut self) {
        self.poll_start = Instant::now();
        self.counters.does(Doing::Busy, self.poll_start);
    }

    /// A poll ends; what follows is that kind of waiting. A task with more to do waits for a thread, which is not its fault:
    /// it counts as busy.
    pub(crate) fn end(&mut self, poll: Poll, waiting: Waiting) {
        let doing = match (poll, waiting) {
            (Poll::Ready, _) => Doing::Busy,
            (_, Waiting::Idle) => Doing::Idle,
            (_, Waiting::Backpressured) => Doing::Backpressured,
        };
        self.counters.does(doing, Instant::now());
    }

    /// When the poll began.
    pub(crate) fn now(&self) -> Instant {
        self.poll_start
    }

    pub(crate) fn slice_is_over(&self) -> bool {
        self.poll_start.elapsed() >= TIME_SLICE
    }

    /// Something was given to the chain: there may be something to flush.
    pub(crate) fn processed(&mut self) {
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

    /// What a task without input should do.
    pub(crate) fn rest(&self) -> Rest {
        match self.timeout {
            BufferTimeout::After(timeout) if self.dirty => {
                let at = self.last_flush + timeout.min(IDLE_FLUSH);
                if at > Instant::now() {
                    Rest::FlushAt(at)
                } else {
                    Rest::Flush
                }
            }
            BufferTimeout::After(_) | BufferTimeout::Never => Rest::Nothing,
        }
    }
}

/// What a task without input should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There is nothing to flush.
    Nothing,
    /// Flush now.
    Flush,
    /// Flush then, if nothing comes before.
    FlushAt(Instant),
}

/// Wakes a task for its clock and its flush, with few timers in the scheduler: one that is set
/// already and comes early enough is not set again.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set: Option<Instant>,
}

impl Alarm {
    /// The processing time, if an operator asked for it.
    pub(crate) fn take_due(&mut self, clock: &TaskClock) -> Option<i64> {
        clock.next_wake()?;
        let now = clock.now();
        clock.take_due(now).then_some(now)
    }

    /// Waits for what comes, until the earlier of `until` and the clock's request.
    pub(crate) fn wait(&mut self, clock: &TaskClock, until: Option<Instant>) -> Poll {
        let now = Instant::now();
        let asked = clock.next_wake().map(|wake| {
            let left = u64::try_from(wake.saturating_sub(clock.now())).unwrap_or(0);
            // A time that no timer can express never comes.
            now + Duration::from_millis(left.min(LONGEST_MS))
        });
        match until.into_iter().chain(asked).min() {
            Some(at) => self.at(at, now),
            None => Poll::Pending,
        }
    }

    /// A task that rests or waits for room wakes at that time, if not before.
    pub(crate) fn no_later_than(&mut self, at: Option<Instant>, poll: Poll) -> Poll {
        let Some(at) = at else { return poll };
        match poll {
            Poll::Pending | Poll::PendingUntil(_) => match self.at(at, Instant::now()) {
                Poll::Pending => poll,
                earlier => earlier,
            },
            Poll::Ready | Poll::Done => poll,
        }
    }

    fn at(&mut self, at: Instant, now: Instant) -> Poll {
        match self.set {
            Some(set) if set > now && set <= at => Poll::Pending,
            _ => {
                self.set = Some(at);
                Poll::PendingUntil(at)
            }
        }
    }
}
