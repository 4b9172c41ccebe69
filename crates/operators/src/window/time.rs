//! What a window is, and the two kinds that come with the engine.

use std::fmt::Debug;
use std::hash::Hash;

use flott_record::Record;
use serde::{Deserialize, Serialize};

/// A group of records of one key. Windows of a key are kept in their `Ord` order.
pub trait Window: Record + Ord + Hash + Debug {
    /// The largest event time that belongs to the window, in milliseconds since the epoch: results
    /// carry it, and the window is complete when the watermark reaches it. `i64::MAX`: never.
    fn max_timestamp(&self) -> i64;
}

/// The window of all times from `start` until just before `end`.
///
/// ```
/// use flott_operators::window::{TimeWindow, Window};
///
/// let minute = TimeWindow::new(60_000, 120_000);
/// assert_eq!((minute.start(), minute.end()), (60_000, 120_000));
/// assert_eq!(minute.max_timestamp(), 119_999);
/// assert!(minute.intersects(&TimeWindow::new(120_000, 130_000)), "they touch");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    start: i64,
    end: i64,
}

impl TimeWindow {
    /// The window from `start` (inclusive) to `end` (exclusive), in milliseconds since the epoch.
    pub fn new(start: i64, end: i64) -> Self {
        Self { start, end }
    }

    /// The first time in the window.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The first time behind the window.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Whether the windows overlap or touch: such sessions are one.
    pub fn intersects(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest window that covers both.
    #[must_use]
    pub fn cover(&self, other: &Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

impl Window for TimeWindow {
    fn max_timestamp(&self) -> i64 {
        self.end.saturating_sub(1)
    }
}

/// The one window of everything.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct GlobalWindow;

impl Window for GlobalWindow {
    fn max_timestamp(&self) -> i64 {
        i64::MAX
    }
}
