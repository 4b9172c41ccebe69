//! Fires when a window has so many records.

use super::{Trigger, TriggerContext, TriggerResult};
use crate::window::Window;

/// Fires at every so many-th record of a window.
///
/// ```
/// use flott_operators::window::{CountTrigger, PurgingTrigger};
///
/// let hundreds = PurgingTrigger::of(CountTrigger::of(100));
/// # let _ = hundreds;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CountTrigger {
    most: u64,
}

impl CountTrigger {
    /// Fires at every `most`-th record; 0 counts as 1.
    pub fn of(most: u64) -> Self {
        Self { most: most.max(1) }
    }
}

impl<T, W: Window> Trigger<T, W> for CountTrigger {
    type State = u64;

    fn on_element(
        &self,
        _: &T,
        _: i64,
        _: &W,
        count: &mut u64,
        _: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        *count += 1;
        if *count < self.most {
            return TriggerResult::Continue;
        }
        *count = 0;
        TriggerResult::Fire
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(&self, _: &W, count: &mut u64, merged: &[u64], _: &mut TriggerContext<'_>) {
        *count += merged.iter().sum::<u64>();
    }

    fn clear(&self, _: &W, _: &mut u64, _: &mut TriggerContext<'_>) {}
}
