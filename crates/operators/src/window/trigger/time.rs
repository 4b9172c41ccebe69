//! The triggers of time windows, and the trigger of global windows.

use super::{Trigger, TriggerContext, TriggerResult};
use crate::window::Window;

/// Fires when the watermark passes the end of the window, and again for each late record.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTimeTrigger;

impl<T, W: Window> Trigger<T, W> for EventTimeTrigger {
    type State = ();

    fn on_element(
        &self,
        _: &T,
        _: i64,
        window: &W,
        (): &mut (),
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if window.max_timestamp() <= cx.current_watermark() {
            return TriggerResult::Fire;
        }
        cx.register_event_time_timer(window.max_timestamp());
        TriggerResult::Continue
    }

    fn on_event_time(
        &self,
        time: i64,
        window: &W,
        (): &mut (),
        _: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if time == window.max_timestamp() {
            TriggerResult::Fire
        } else {
            TriggerResult::Continue
        }
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(&self, window: &W, (): &mut (), _: &[()], cx: &mut TriggerContext<'_>) {
        // A window that is complete already fires with the record that made it.
        if window.max_timestamp() > cx.current_watermark() {
            cx.register_event_time_timer(window.max_timestamp());
        }
    }

    fn clear(&self, window: &W, (): &mut (), cx: &mut TriggerContext<'_>) {
        cx.delete_event_time_timer(window.max_timestamp());
    }
}

/// Fires when the clock of the machine passes the end of the window.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessingTimeTrigger;

impl<T, W: Window> Trigger<T, W> for ProcessingTimeTrigger {
    type State = ();

    fn on_element(
        &self,
        _: &T,
        _: i64,
        window: &W,
        (): &mut (),
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        cx.register_processing_time_timer(window.max_timestamp());
        TriggerResult::Continue
    }

    fn on_processing_time(
        &self,
        _: i64,
        _: &W,
        (): &mut (),
        _: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Fire
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(&self, window: &W, (): &mut (), _: &[()], cx: &mut TriggerContext<'_>) {
        if window.max_timestamp() > cx.current_processing_time() {
            cx.register_processing_time_timer(window.max_timestamp());
        }
    }

    fn clear(&self, window: &W, (): &mut (), cx: &mut TriggerContext<'_>) {
        cx.delete_processing_time_timer(window.max_timestamp());
    }
}

/// Never fires.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverTrigger;

impl<T, W: Window> Trigger<T, W> for NeverTrigger {
    type State = ();

    fn on_element(
        &self,
        _: &T,
        _: i64,
        _: &W,
        (): &mut (),
        _: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Continue
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn clear(&self, _: &W, (): &mut (), _: &mut TriggerContext<'_>) {}
}
