//! Fires when records have moved far enough.

use std::sync::Arc;

use flott_record::Record;

use super::{Trigger, TriggerContext, TriggerResult};
use crate::window::Window;

/// Fires at a record that is further than a threshold from the one at which it fired last (or the
/// window's first).
///
/// ```
/// use flott_operators::window::DeltaTrigger;
///
/// // Every 50 metres.
/// let metres = DeltaTrigger::of(50.0, |old: &(u32, f64), new: &(u32, f64)| new.1 - old.1);
/// # let _ = metres;
/// ```
pub struct DeltaTrigger<T> {
    threshold: f64,
    delta: Arc<dyn Fn(&T, &T) -> f64 + Send + Sync>,
}

impl<T> Clone for DeltaTrigger<T> {
    fn clone(&self) -> Self {
        Self {
            threshold: self.threshold,
            delta: Arc::clone(&self.delta),
        }
    }
}

impl<T> DeltaTrigger<T> {
    /// Fires when `delta(old, new)` is larger than `threshold`.
    pub fn of(threshold: f64, delta: impl Fn(&T, &T) -> f64 + Send + Sync + 'static) -> Self {
        Self {
            threshold,
            delta: Arc::new(delta),
        }
    }
}

/// The record at which a [`DeltaTrigger`] fired last.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Last<T>(Option<T>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// Equal if neither has a record: that is all that is asked of it.
impl<T> PartialEq for Last<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_none() && other.0.is_none()
    }
}

impl<T: Record, W: Window> Trigger<T, W> for DeltaTrigger<T> {
    type State = Last<T>;

    fn on_element(
        &self,
        element: &T,
        _: i64,
        _: &W,
        last: &mut Last<T>,
        _: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let result = match &last.0 {
            Some(last) if (self.delta)(last, element) > self.threshold => TriggerResult::Fire,
            Some(_) => return TriggerResult::Continue,
            None => TriggerResult::Continue,
        };
        last.0 = Some(element.clone());
        result
    }

    fn clear(&self, _: &W, last: &mut Last<T>, _: &mut TriggerContext<'_>) {
        last.0 = None;
    }
}
