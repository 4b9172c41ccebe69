//! Session windows: records of a key that are at most a gap apart.

use std::sync::Arc;
use std::time::Duration;

use super::assigner::{Merge, WindowAssigner, WindowAssignerContext};
use super::periods::millis;
use super::trigger::{EventTimeTrigger, ProcessingTimeTrigger};
use super::{BoxError, TimeWindow};

/// How long after a record its session ends, if no other comes.
enum Gap<T> {
    Fixed(Duration),
    Dynamic(Arc<dyn Fn(&T) -> Duration + Send + Sync>),
}

impl<T> Clone for Gap<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Fixed(gap) => Self::Fixed(*gap),
            Self::Dynamic(gap) => Self::Dynamic(Arc::clone(gap)),
        }
    }
}

impl<T> Gap<T> {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Fixed(gap) => millis("gap", *gap).map(|_| ()),
            Self::Dynamic(_) => Ok(()),
        }
    }

    fn session(&self, element: &T, time: i64) -> Result<TimeWindow, BoxError> {
        let gap = match self {
            Self::Fixed(gap) => *gap,
            Self::Dynamic(gap) => gap(element),
        };
        Ok(TimeWindow::new(
            time,
            time.saturating_add(millis("gap", gap)?),
        ))
    }
}

/// Windows, in order, that overlap or touch become one.
fn merge_overlapping(windows: &[TimeWindow], merges: &mut Vec<Merge<TimeWindow>>) {
    let mut rest = windows;
    while let Some((first, behind)) = rest.split_first() {
        let (mut into, mut taken) = (*first, 1);
        for window in behind {
            if window.start() > into.end() {
                break;
            }
            into = into.cover(window);
            taken += 1;
        }
        let (together, others) = rest.split_at(taken);
        if taken > 1 {
            let windows = together.to_vec();
            merges.push(Merge { into, windows });
        }
        rest = others;
    }
}

macro_rules! sessions {
    (
        $(#[$doc:meta])*
        $name:ident, $trigger:ident, event_time: $event_time:literal,
        time($timestamp:ident, $cx:ident): $time:expr
    ) => {
        $(#[$doc])*
        pub struct $name<T> {
            gap: Gap<T>,
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self { gap: self.gap.clone() }
            }
        }

        impl<T> $name<T> {
            /// Sessions that end when nothing comes for `gap`, in whole milliseconds.
            pub fn with_gap(gap: Duration) -> Self {
                Self { gap: Gap::Fixed(gap) }
            }

            /// Sessions to each of whose records the gap behind it is computed. A gap that is not
            /// at least a millisecond, in whole milliseconds, fails the job.
            pub fn with_dynamic_gap(gap: impl Fn(&T) -> Duration + Send + Sync + 'static) -> Self {
                Self { gap: Gap::Dynamic(Arc::new(gap)) }
            }
        }

        impl<T: 'static> WindowAssigner<T> for $name<T> {
            type Window = TimeWindow;
            type DefaultTrigger = $trigger;

            fn assign_windows(
                &self,
                element: &T,
                $timestamp: i64,
                $cx: &WindowAssignerContext,
                windows: &mut Vec<TimeWindow>,
            ) -> Result<(), BoxError> {
                windows.push(self.gap.session(element, $time)?);
                Ok(())
            }
            fn default_trigger(&self) -> $trigger {
                $trigger
            }
            fn is_event_time(&self) -> bool {
                $event_time
            }
            fn is_merging(&self) -> bool {
                true
            }
            fn merge_windows(&self, windows: &[TimeWindow], merges: &mut Vec<Merge<TimeWindow>>) {
                merge_overlapping(windows, merges);
            }
            fn check(&self) -> Result<(), String> {
                self.gap.check()
            }
        }
    };
}

sessions! {
    /// Sessions by event time: a record within the gap behind (or before) another of its key belongs
    /// to the same window.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flott_operators::window::EventTimeSessionWindows;
    ///
    /// let visits = EventTimeSessionWindows::<String>::with_gap(Duration::from_secs(1_800));
    /// let by_length = EventTimeSessionWindows::with_dynamic_gap(|page: &String| {
    ///     Duration::from_secs(60 + page.len() as u64)
    /// });
    /// # let _ = (visits, by_length);
    /// ```
    EventTimeSessionWindows, EventTimeTrigger, event_time: true, time(timestamp, _cx): timestamp
}
sessions! {
    /// Sessions by the time of the machine.
    ProcessingTimeSessionWindows, ProcessingTimeTrigger, event_time: false,
    time(_timestamp, cx): cx.processing_time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(windows: &[(i64, i64)]) -> Vec<(TimeWindow, usize)> {
        let windows: Vec<_> = windows
            .iter()
            .map(|(start, end)| TimeWindow::new(*start, *end))
            .collect();
        let mut merges = Vec::new();
        merge_overlapping(&windows, &mut merges);
        merges
            .into_iter()
            .map(|merge| (merge.into, merge.windows.len()))
            .collect()
    }

    #[test]
    fn windows_that_overlap_or_touch_merge() {
        assert_eq!(merged(&[(0, 5), (6, 9)]), []);
        assert_eq!(merged(&[(0, 5), (5, 9)]), [(TimeWindow::new(0, 9), 2)]);
        let chain = [(0, 20), (3, 9), (20, 25), (26, 30), (28, 31)];
        let expected = [(TimeWindow::new(0, 25), 3), (TimeWindow::new(26, 31), 2)];
        assert_eq!(merged(&chain), expected);
        assert_eq!(merged(&[]), []);
    }

    #[test]
    fn a_gap_of_nothing_is_refused() {
        let assigner = EventTimeSessionWindows::<u8>::with_gap(Duration::ZERO);
        assert!(assigner.check().unwrap_err().contains("gap"));
        let assigner =
            EventTimeSessionWindows::with_dynamic_gap(|n: &u64| Duration::from_millis(*n));
        let cx = WindowAssignerContext { processing_time: 0 };
        let mut windows = Vec::new();
        assigner.assign_windows(&7, 10, &cx, &mut windows).unwrap();
        assert_eq!(windows, [TimeWindow::new(10, 17)]);
        assert!(assigner.assign_windows(&0, 10, &cx, &mut windows).is_err());
    }
}
