//! Waking a task from wherever data or room appears, before the task itself exists.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Something that can be made to run again: a task of the scheduler.
pub trait Wake: Send + Sync {
    /// Called after every change the sleeper may wait for; cheap when it is awake already.
    fn wake(&self);
}

/// A handle to a task that may not exist yet: channels are made before the tasks at their ends.
/// Wake-ups before [`Waker::bind`] are not lost, because a bound task starts awake.
#[derive(Clone, Default)]
pub struct Waker(Arc<Inner>);

#[derive(Default)]
struct Inner {
    task: OnceLock<Arc<dyn Wake>>,
    /// A channel has something to tell beside its rows.
    called: AtomicBool,
}

impl Waker {
    /// Connects the handle to its task. Only the first call has an effect.
    pub fn bind(&self, task: Arc<dyn Wake>) {
        let _ = self.0.task.set(task);
    }

    /// Wakes the task, if it exists already.
    #[inline]
    pub fn wake(&self) {
        if let Some(task) = self.0.task.get() {
            task.wake();
        }
    }

    /// Wakes the task to look at its channels, even if it waits for room: a barrier has come that does
    /// not wait for the rows in front of it, or is on its way behind them.
    pub fn call(&self) {
        self.0.called.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether somebody called since the last time; the caller then looks at all of its channels.
    #[inline]
    pub fn take_call(&self) -> bool {
        self.0.called.load(Ordering::Relaxed) && self.0.called.swap(false, Ordering::Acquire)
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waker(bound: {})", self.0.task.get().is_some())
    }
}
