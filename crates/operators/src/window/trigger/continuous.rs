//! Fire again and again while a window is open.

use std::time::Duration;

use super::{Trigger, TriggerContext, TriggerResult};
use crate::window::Window;

fn interval(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}

/// The first multiple of the interval after `time`.
fn next_multiple(time: i64, interval: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(interval))
        .saturating_add(interval)
}

/// Fires whenever the watermark passes a multiple of an interval, and at the end of the window.
#[derive(Debug, Clone, Copy)]
pub struct ContinuousEventTimeTrigger {
    interval: i64,
}

impl ContinuousEventTimeTrigger {
    /// Fires every `interval`, in whole milliseconds and at least one.
    pub fn of(duration: Duration) -> Self {
        Self {
            interval: interval(duration),
        }
    }
}

impl<T, W: Window> Trigger<T, W> for ContinuousEventTimeTrigger {
    /// The next time at which it fires.
    type State = Option<i64>;

    fn on_element(
        &self,
        _: &T,
        timestamp: i64,
        window: &W,
        next: &mut Option<i64>,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if window.max_timestamp() <= cx.current_watermark() {
            return TriggerResult::Fire;
        }
        cx.register_event_time_timer(window.max_timestamp());
        if next.is_none() {
            let at = next_multiple(timestamp, self.interval).min(window.max_timestamp());
            *next = Some(at);
            cx.register_event_time_timer(at);
        }
        TriggerResult::Continue
    }

    fn on_event_time(
        &self,
        time: i64,
        window: &W,
        next: &mut Option<i64>,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if time == window.max_timestamp() {
            return TriggerResult::Fire;
        }
        if *next != Some(time) {
            return TriggerResult::Continue;
        }
        // At the end of time a window without end would fire for ever.
        let endless = cx.current_watermark() == i64::MAX && window.max_timestamp() == i64::MAX;
        let at = time
            .saturating_add(self.interval)
            .min(window.max_timestamp());
        *next = (!endless).then_some(at);
        if !endless {
            cx.register_event_time_timer(at);
        }
        TriggerResult::Fire
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &self,
        window: &W,
        next: &mut Option<i64>,
        merged: &[Option<i64>],
        cx: &mut TriggerContext<'_>,
    ) {
        *next = merged.iter().flatten().min().copied();
        if let Some(at) = *next {
            cx.register_event_time_timer(at);
        }
        if window.max_timestamp() > cx.current_watermark() {
            cx.register_event_time_timer(window.max_timestamp());
        }
    }

    fn clear(&self, window: &W, next: &mut Option<i64>, cx: &mut TriggerContext<'_>) {
        cx.delete_event_time_timer(window.max_timestamp());
        if let Some(at) = next.take() {
            cx.delete_event_time_timer(at);
        }
    }
}

/// Fires whenever the clock of the machine passes a multiple of an interval, as long as the window
/// has records. It does not fire at the end of an event-time window.
#[derive(Debug, Clone, Copy)]
pub struct ContinuousProcessingTimeTrigger {
    interval: i64,
}

impl ContinuousProcessingTimeTrigger {
    /// Fires every `interval`, in whole milliseconds and at least one.
    pub fn of(duration: Duration) -> Self {
        Self {
            interval: interval(duration),
        }
    }

    /// The time to fire at after `time`: not behind the end of a window that ends by the clock too.
    fn after(self, time: i64, end: i64) -> i64 {
        let next = next_multiple(time, self.interval);
        if end > time { next.min(end) } else { next }
    }
}

impl<T, W: Window> Trigger<T, W> for ContinuousProcessingTimeTrigger {
    /// The next time at which it fires.
    type State = Option<i64>;

    fn on_element(
        &self,
        _: &T,
        _: i64,
        window: &W,
        next: &mut Option<i64>,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if next.is_none() {
            let at = self.after(cx.current_processing_time(), window.max_timestamp());
            *next = Some(at);
            cx.register_processing_time_timer(at);
        }
        TriggerResult::Continue
    }

    fn on_processing_time(
        &self,
        time: i64,
        window: &W,
        next: &mut Option<i64>,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if *next != Some(time) {
            return TriggerResult::Continue;
        }
        let at = self.after(time, window.max_timestamp());
        *next = Some(at);
        cx.register_processing_time_timer(at);
        TriggerResult::Fire
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &self,
        _: &W,
        next: &mut Option<i64>,
        merged: &[Option<i64>],
        cx: &mut TriggerContext<'_>,
    ) {
        *next = merged.iter().flatten().min().copied();
        if let Some(at) = *next {
            cx.register_processing_time_timer(at);
        }
    }

    fn clear(&self, _: &W, next: &mut Option<i64>, cx: &mut TriggerContext<'_>) {
        if let Some(at) = next.take() {
            cx.delete_processing_time_timer(at);
        }
    }
}
