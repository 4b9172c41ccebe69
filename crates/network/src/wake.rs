//! Waking a task from wherever data or room appears, before the task itself exists.

use std::sync::{Arc, OnceLock};

/// Something that can be made to run again: a task of the scheduler.
pub trait Wake: Send + Sync {
    /// Called after every change the sleeper may wait for; cheap when it is awake already.
    fn wake(&self);
}

/// A handle to a task that may not exist yet: channels are made before the tasks at their ends.
/// Wake-ups before [`Waker::bind`] are not lost, because a bound task starts awake.
#[derive(Clone, Default)]
pub struct Waker(Arc<OnceLock<Arc<dyn Wake>>>);

impl Waker {
    /// Connects the handle to its task. Only the first call has an effect.
    pub fn bind(&self, task: Arc<dyn Wake>) {
        let _ = self.0.set(task);
    }

    /// Wakes the task, if it exists already.
    #[inline]
    pub fn wake(&self) {
        if let Some(task) = self.0.get() {
            task.wake();
        }
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waker(bound: {})", self.0.get().is_some())
    }
}
