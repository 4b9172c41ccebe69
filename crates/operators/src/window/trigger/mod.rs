//! Triggers: when a window fires, and when its contents go.

mod continuous;
mod count;
mod delta;
mod purging;
mod time;

pub use continuous::{ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger};
pub use count::CountTrigger;
pub use delta::DeltaTrigger;
pub use purging::PurgingTrigger;
pub use time::{EventTimeTrigger, NeverTrigger, ProcessingTimeTrigger};

use flott_record::Record;

use super::Window;

/// What happens to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing.
    Continue,
    /// The function is called with the contents, which stay.
    Fire,
    /// The contents go; the window and the state of its trigger stay.
    Purge,
    /// The function is called with the contents, which then go.
    FireAndPurge,
}

impl TriggerResult {
    /// Whether the function is called.
    pub fn is_fire(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    /// Whether the contents go.
    pub fn is_purge(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// Registers timers for one window of one key.
pub(super) trait WindowTimers {
    fn register_event_time(&mut self, timestamp: i64);
    fn register_processing_time(&mut self, timestamp: i64);
    fn delete_event_time(&mut self, timestamp: i64);
    fn delete_processing_time(&mut self, timestamp: i64);
}

/// What a trigger may ask and do. Times are milliseconds since the epoch.
pub struct TriggerContext<'a> {
    pub(super) timers: &'a mut dyn WindowTimers,
    pub(super) watermark: i64,
    pub(super) processing_time: i64,
}

impl TriggerContext<'_> {
    /// The event time up to which all records have come; `i64::MIN` before the first watermark.
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// The time of the machine.
    pub fn current_processing_time(&self) -> i64 {
        self.processing_time
    }

    /// Asks for [`Trigger::on_event_time`] when the watermark reaches `time`.
    pub fn register_event_time_timer(&mut self, time: i64) {
        self.timers.register_event_time(time);
    }

    /// Asks for [`Trigger::on_processing_time`] when the clock has passed `time`.
    pub fn register_processing_time_timer(&mut self, time: i64) {
        self.timers.register_processing_time(time);
    }

    /// Takes back [`TriggerContext::register_event_time_timer`].
    pub fn delete_event_time_timer(&mut self, time: i64) {
        self.timers.delete_event_time(time);
    }

    /// Takes back [`TriggerContext::register_processing_time_timer`].
    pub fn delete_processing_time_timer(&mut self, time: i64) {
        self.timers.delete_processing_time(time);
    }
}

/// Decides when a window fires. Its state per key and window is its [`Trigger::State`].
///
/// A trigger of the user's own: fires when a record says so, and at the end.
///
/// ```
/// use flott_operators::window::{Trigger, TriggerContext, TriggerResult, Window};
///
/// #[derive(Clone)]
/// struct OnPayment;
///
/// impl<W: Window> Trigger<(String, bool), W> for OnPayment {
///     type State = ();
///
///     fn on_element(
///         &self,
///         (_, paid): &(String, bool),
///         _timestamp: i64,
///         window: &W,
///         _state: &mut (),
///         cx: &mut TriggerContext<'_>,
///     ) -> TriggerResult {
///         if *paid {
///             return TriggerResult::FireAndPurge;
///         }
///         cx.register_event_time_timer(window.max_timestamp());
///         TriggerResult::Continue
///     }
///     fn on_event_time(
///         &self,
///         time: i64,
///         window: &W,
///         _state: &mut (),
///         _cx: &mut TriggerContext<'_>,
///     ) -> TriggerResult {
///         if time == window.max_timestamp() {
///             TriggerResult::Fire
///         } else {
///             TriggerResult::Continue
///         }
///     }
///     fn clear(&self, window: &W, _state: &mut (), cx: &mut TriggerContext<'_>) {
///         cx.delete_event_time_timer(window.max_timestamp());
///     }
/// }
/// ```
pub trait Trigger<T, W: Window>: Clone + Send + Sync + 'static {
    /// What is remembered per key and window; begins as the default. A global window without
    /// contents whose trigger is in this state again is forgotten.
    type State: Record + Default + PartialEq;

    /// A record is added to the window. `timestamp` is its event time, `i64::MIN` if it has none.
    fn on_element(
        &self,
        element: &T,
        timestamp: i64,
        window: &W,
        state: &mut Self::State,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult;

    /// The watermark has reached a timer of the window.
    fn on_event_time(
        &self,
        time: i64,
        window: &W,
        state: &mut Self::State,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let _ = (time, window, state, cx);
        TriggerResult::Continue
    }

    /// The clock has passed a timer of the window.
    fn on_processing_time(
        &self,
        time: i64,
        window: &W,
        state: &mut Self::State,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let _ = (time, window, state, cx);
        TriggerResult::Continue
    }

    /// Whether it can be used with windows that merge.
    fn can_merge(&self) -> bool {
        false
    }

    /// Windows with the states `merged` have become `window`, whose `state` is new: takes them over
    /// and registers the timers of `window`. Those of the merged windows are cleared afterwards.
    fn on_merge(
        &self,
        window: &W,
        state: &mut Self::State,
        merged: &[Self::State],
        cx: &mut TriggerContext<'_>,
    ) {
        let _ = (window, state, merged, cx);
    }

    /// The window goes: deletes the timers that the trigger has registered for it.
    fn clear(&self, window: &W, state: &mut Self::State, cx: &mut TriggerContext<'_>);
}
