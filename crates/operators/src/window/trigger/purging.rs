//! Makes another trigger forget what has fired.

use super::{Trigger, TriggerContext, TriggerResult};
use crate::window::Window;

/// Fires when another trigger does, and drops the contents of the window then.
#[derive(Debug, Clone, Copy)]
pub struct PurgingTrigger<I> {
    inner: I,
}

impl<I> PurgingTrigger<I> {
    /// Fires and purges when `inner` fires.
    pub fn of(inner: I) -> Self {
        Self { inner }
    }
}

fn purging(result: TriggerResult) -> TriggerResult {
    if result.is_fire() {
        TriggerResult::FireAndPurge
    } else {
        result
    }
}

impl<T, W: Window, I: Trigger<T, W>> Trigger<T, W> for PurgingTrigger<I> {
    type State = I::State;

    fn on_element(
        &self,
        element: &T,
        timestamp: i64,
        window: &W,
        state: &mut I::State,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.inner.on_element(element, timestamp, window, state, cx))
    }

    fn on_event_time(
        &self,
        time: i64,
        window: &W,
        state: &mut I::State,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.inner.on_event_time(time, window, state, cx))
    }

    fn on_processing_time(
        &self,
        time: i64,
        window: &W,
        state: &mut I::State,
        cx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.inner.on_processing_time(time, window, state, cx))
    }

    fn can_merge(&self) -> bool {
        self.inner.can_merge()
    }

    fn on_merge(
        &self,
        window: &W,
        state: &mut I::State,
        merged: &[I::State],
        cx: &mut TriggerContext<'_>,
    ) {
        self.inner.on_merge(window, state, merged, cx);
    }

    fn clear(&self, window: &W, state: &mut I::State, cx: &mut TriggerContext<'_>) {
        self.inner.clear(window, state, cx);
    }
}
