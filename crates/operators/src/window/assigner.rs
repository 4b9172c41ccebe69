//! Assigners: which windows a record belongs to.

use std::time::Duration;

use super::periods::Periods;
use super::trigger::{EventTimeTrigger, NeverTrigger, ProcessingTimeTrigger, Trigger};
use super::{BoxError, GlobalWindow, TimeWindow, Window};

/// What an assigner may ask.
#[derive(Debug, Clone, Copy)]
pub struct WindowAssignerContext {
    pub(super) processing_time: i64,
}

impl WindowAssignerContext {
    /// The processing time, in milliseconds since the epoch.
    pub fn current_processing_time(&self) -> i64 {
        self.processing_time
    }
}

/// Windows that become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge<W> {
    /// What they become.
    pub into: W,
    /// What they were.
    pub windows: Vec<W>,
}

/// Says which windows a record belongs to.
///
/// An assigner of the user's own: windows between round numbers of a counter in the record.
///
/// ```
/// use flott_operators::window::{
///     BoxError, EventTimeTrigger, TimeWindow, WindowAssigner, WindowAssignerContext,
/// };
///
/// #[derive(Clone)]
/// struct Laps;
///
/// impl WindowAssigner<(u32, i64)> for Laps {
///     type Window = TimeWindow;
///     type DefaultTrigger = EventTimeTrigger;
///
///     fn assign_windows(
///         &self,
///         (_, metres): &(u32, i64),
///         _timestamp: i64,
///         _cx: &WindowAssignerContext,
///         windows: &mut Vec<TimeWindow>,
///     ) -> Result<(), BoxError> {
///         let lap = metres / 400;
///         windows.push(TimeWindow::new(lap * 400, (lap + 1) * 400));
///         Ok(())
///     }
///     fn default_trigger(&self) -> EventTimeTrigger {
///         EventTimeTrigger
///     }
///     fn is_event_time(&self) -> bool {
///         true
///     }
/// }
/// ```
pub trait WindowAssigner<T>: Clone + Send + Sync + 'static {
    /// What it assigns.
    type Window: Window;
    /// When windows fire if nothing else is said.
    type DefaultTrigger: Trigger<T, Self::Window>;

    /// Whether windows can be kept as panes; see [`WindowAssigner::periods`].
    #[doc(hidden)]
    const PERIODIC: bool = false;

    /// Appends the windows of a record with that event time (`i64::MIN`: it has none).
    fn assign_windows(
        &self,
        element: &T,
        timestamp: i64,
        cx: &WindowAssignerContext,
        windows: &mut Vec<Self::Window>,
    ) -> Result<(), BoxError>;

    /// When windows fire if nothing else is said.
    fn default_trigger(&self) -> Self::DefaultTrigger;

    /// Whether windows end by event time: records may then be late, and must have an event time.
    fn is_event_time(&self) -> bool;

    /// Whether windows of a key merge.
    fn is_merging(&self) -> bool {
        false
    }

    /// Of the windows of a key, in order, finds those that must merge. Windows that stay as they are
    /// are not mentioned.
    fn merge_windows(&self, windows: &[Self::Window], merges: &mut Vec<Merge<Self::Window>>) {
        let _ = (windows, merges);
    }

    /// Says what is wrong with the settings, if something is: the job is then not started.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The windows, if they follow each other in equal steps.
    #[doc(hidden)]
    fn periods(&self) -> Option<Periods> {
        None
    }

    /// The window that begins there, of those of [`WindowAssigner::periods`].
    #[doc(hidden)]
    fn period(&self, start: i64) -> Option<Self::Window> {
        let _ = start;
        None
    }
}

macro_rules! periodic {
    (
        $(#[$doc:meta])*
        $name:ident, $trigger:ident, event_time: $event_time:literal,
        time($timestamp:ident, $cx:ident): $time:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            size: Duration,
            slide: Duration,
            periods: Result<Periods, String>,
        }

        impl $name {
            fn made(size: Duration, slide: Duration, offset: Duration) -> Self {
                let periods = Periods::new(size, slide, offset);
                Self { size, slide, periods }
            }

            /// Shifts all windows. With days as windows, 16 hours make them begin at midnight in a
            /// time zone 8 hours behind UTC. What exceeds the distance of two windows is left out.
            #[must_use]
            pub fn with_offset(self, offset: Duration) -> Self {
                Self::made(self.size, self.slide, offset)
            }
        }

        impl<T> WindowAssigner<T> for $name {
            type Window = TimeWindow;
            type DefaultTrigger = $trigger;
            const PERIODIC: bool = true;

            fn assign_windows(
                &self,
                _: &T,
                $timestamp: i64,
                $cx: &WindowAssignerContext,
                windows: &mut Vec<TimeWindow>,
            ) -> Result<(), BoxError> {
                let periods = self.periods.as_ref().map_err(Clone::clone)?;
                windows.extend(periods.windows_of($time));
                Ok(())
            }
            fn default_trigger(&self) -> $trigger {
                $trigger
            }
            fn is_event_time(&self) -> bool {
                $event_time
            }
            fn check(&self) -> Result<(), String> {
                self.periods.clone().map(|_| ())
            }
            fn periods(&self) -> Option<Periods> {
                self.periods.clone().ok()
            }
            fn period(&self, start: i64) -> Option<TimeWindow> {
                Some(self.periods.as_ref().ok()?.window(start))
            }
        }
    };
}

macro_rules! tumbling {
    ($name:ident) => {
        impl $name {
            /// Windows of that size, in whole milliseconds, one after the other.
            pub fn of(size: Duration) -> Self {
                Self::made(size, size, Duration::ZERO)
            }
        }
    };
}

macro_rules! sliding {
    ($name:ident) => {
        impl $name {
            /// Windows of `size` of which one begins every `slide`, both in whole milliseconds. With
            /// a slide larger than the size, records between windows belong to none.
            pub fn of(size: Duration, slide: Duration) -> Self {
                Self::made(size, slide, Duration::ZERO)
            }
        }
    };
}

periodic! {
    /// Windows of equal size, one after the other, by event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flott_operators::window::TumblingEventTimeWindows;
    ///
    /// let hours = TumblingEventTimeWindows::of(Duration::from_secs(3_600));
    /// # let _ = hours.with_offset(Duration::from_secs(900));
    /// ```
    TumblingEventTimeWindows, EventTimeTrigger, event_time: true, time(timestamp, _cx): timestamp
}
periodic! {
    /// Windows of equal size, one after the other, by the time of the machine.
    TumblingProcessingTimeWindows, ProcessingTimeTrigger, event_time: false,
    time(_timestamp, cx): cx.processing_time
}
periodic! {
    /// Windows of equal size that begin at equal distances and may overlap, by event time. Records
    /// are kept once, not once per window: overlapping windows share their parts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flott_operators::window::SlidingEventTimeWindows;
    ///
    /// let last_hour = SlidingEventTimeWindows::of(Duration::from_secs(3_600), Duration::from_secs(60));
    /// # let _ = last_hour;
    /// ```
    SlidingEventTimeWindows, EventTimeTrigger, event_time: true, time(timestamp, _cx): timestamp
}
periodic! {
    /// Windows of equal size that begin at equal distances and may overlap, by the time of the
    /// machine.
    SlidingProcessingTimeWindows, ProcessingTimeTrigger, event_time: false,
    time(_timestamp, cx): cx.processing_time
}
tumbling!(TumblingEventTimeWindows);
tumbling!(TumblingProcessingTimeWindows);
sliding!(SlidingEventTimeWindows);
sliding!(SlidingProcessingTimeWindows);

/// One window for all records of a key. It never ends, so it needs a trigger.
#[derive(Debug, Clone, Copy, Default)]
pub struct GlobalWindows;

impl GlobalWindows {
    /// One window per key, which fires when its trigger says so.
    pub fn create() -> Self {
        Self
    }
}

impl<T> WindowAssigner<T> for GlobalWindows {
    type Window = GlobalWindow;
    type DefaultTrigger = NeverTrigger;

    fn assign_windows(
        &self,
        _: &T,
        _: i64,
        _: &WindowAssignerContext,
        windows: &mut Vec<GlobalWindow>,
    ) -> Result<(), BoxError> {
        windows.push(GlobalWindow);
        Ok(())
    }
    fn default_trigger(&self) -> NeverTrigger {
        NeverTrigger
    }
    fn is_event_time(&self) -> bool {
        false
    }
}
