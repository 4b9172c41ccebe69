//! Windows that follow each other in equal steps: where they start, and into which panes they fall.

use std::time::Duration;

use super::TimeWindow;

/// More panes than this in a window cost more than one entry per window and record.
const MOST_PANES: i64 = 1_000;

/// Windows of one size that begin every `slide` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    size: i64,
    slide: i64,
    offset: i64,
}

impl Periods {
    /// Windows of `size` that begin every `slide`, `offset` after the epoch; or why that cannot be.
    pub fn new(size: Duration, slide: Duration, offset: Duration) -> Result<Self, String> {
        let (size, slide) = (millis("size", size)?, millis("slide", slide)?);
        let offset = i64::try_from(offset.as_millis() % slide.cast_unsigned() as u128)
            .map_err(|_| format!("the offset of a window is {offset:?}: make it smaller"))?;
        Ok(Self {
            size,
            slide,
            offset,
        })
    }

    /// The start of the last window that begins at `timestamp` or before.
    #[inline]
    pub fn last_start(&self, timestamp: i64) -> i64 {
        floor(timestamp, self.offset, self.slide)
    }

    /// The window that begins there.
    pub fn window(&self, start: i64) -> TimeWindow {
        TimeWindow::new(start, start.saturating_add(self.size))
    }

    /// The windows that contain `timestamp`, the last one first.
    pub fn windows_of(&self, timestamp: i64) -> impl Iterator<Item = TimeWindow> {
        let mut next = Some(self.last_start(timestamp));
        let periods = *self;
        std::iter::from_fn(move || {
            let start = next?;
            next = start.checked_sub(periods.slide);
            let window = periods.window(start);
            (window.end() > timestamp).then_some(window)
        })
    }

    /// Whether a window is one pane.
    pub(super) fn is_tumbling(&self) -> bool {
        self.size == self.slide
    }

    /// Milliseconds between two starts.
    pub(super) fn slide(&self) -> i64 {
        self.slide
    }

    /// The largest time of the window that begins there.
    #[inline]
    pub(super) fn max_timestamp(&self, start: i64) -> i64 {
        start.saturating_add(self.size - 1)
    }

    /// The start of the first window that contains a time after `timestamp`.
    pub(super) fn first_start_reaching(&self, timestamp: i64) -> i64 {
        // The window must begin after `timestamp + 1 - size`.
        let before = timestamp.saturating_add(1).saturating_sub(self.size);
        self.last_start(before).saturating_add(self.slide)
    }

    /// The longest stretch of time of which each window has a whole number; `None` if windows leave
    /// gaps, or are made of too many.
    pub fn pane(&self) -> Option<i64> {
        let pane = greatest_common_divisor(self.size, self.slide);
        (self.slide <= self.size && self.size / pane <= MOST_PANES).then_some(pane)
    }

    /// The start of the pane of that length in which `timestamp` is.
    pub(super) fn pane_start(&self, pane: i64, timestamp: i64) -> i64 {
        floor(timestamp, self.offset % pane, pane)
    }
}

/// A positive number of whole milliseconds.
pub(super) fn millis(what: &str, duration: Duration) -> Result<i64, String> {
    let millis = i64::try_from(duration.as_millis()).ok();
    millis
        .filter(|millis| *millis > 0 && duration.subsec_nanos().is_multiple_of(1_000_000))
        .ok_or_else(|| {
            format!(
                "the {what} of a window is {duration:?}: it must be at least one millisecond, in \
                 whole milliseconds"
            )
        })
}

#[inline]
fn floor(timestamp: i64, offset: i64, step: i64) -> i64 {
    let rest = timestamp.saturating_sub(offset).rem_euclid(step);
    timestamp.saturating_sub(rest)
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(size: u64, slide: u64, offset: u64) -> Periods {
        let [size, slide, offset] = [size, slide, offset].map(Duration::from_millis);
        Periods::new(size, slide, offset).unwrap()
    }

    #[test]
    fn the_windows_of_a_time_are_those_that_contain_it() {
        for (size, slide, offset) in [(10, 10, 0), (10, 4, 3), (3, 10, 7), (7, 1, 0), (6, 4, 13)] {
            let periods = periods(size, slide, offset);
            let starts = (-200..200_i64)
                .filter(|start| (start - offset as i64).rem_euclid(slide as i64) == 0);
            let all: Vec<_> = starts.map(|start| periods.window(start)).collect();
            for timestamp in -100..100 {
                let mut expected: Vec<_> = all
                    .iter()
                    .copied()
                    .filter(|window| window.start() <= timestamp && timestamp < window.end())
                    .collect();
                expected.reverse();
                let found: Vec<_> = periods.windows_of(timestamp).collect();
                assert_eq!(found, expected, "{periods:?} at {timestamp}");
                let first = all.iter().find(|window| window.end() - 1 > timestamp);
                let reaching = periods.first_start_reaching(timestamp);
                assert_eq!(Some(reaching), first.map(TimeWindow::start));
            }
        }
    }

    #[test]
    fn windows_are_made_of_whole_panes() {
        assert_eq!(periods(60, 60, 0).pane(), Some(60));
        assert_eq!(periods(60, 40, 50).pane(), Some(20));
        assert_eq!(periods(40, 60, 0).pane(), None, "there are gaps");
        assert_eq!(periods(3_600_000, 7, 0).pane(), None, "too many");
        assert_eq!(periods(60, 40, 50).pane_start(20, 29), 10);
        assert_eq!(periods(60, 40, 50).pane_start(20, 30), 30);
    }

    #[test]
    fn what_is_no_window_is_refused() {
        let millis = Duration::from_millis;
        let refused = Periods::new(Duration::ZERO, millis(1), millis(0)).unwrap_err();
        assert!(
            refused.contains("size") && refused.contains("0ns"),
            "{refused}"
        );
        let refused = Periods::new(millis(1), Duration::from_micros(1_500), millis(0));
        assert!(refused.unwrap_err().contains("slide"));
        assert!(Periods::new(Duration::MAX, millis(1), millis(0)).is_err());
        assert_eq!(
            periods(10, 10, 23).windows_of(24).next(),
            Some(TimeWindow::new(23, 33)),
            "of an offset only the rest counts"
        );
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let periods = periods(10, 4, 3);
        for timestamp in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            assert!(periods.windows_of(timestamp).count() <= 3);
            periods.first_start_reaching(timestamp);
        }
    }
}
