//! Whether a task is queued, running, or neither, in one atomic byte. Shared with a test that tries
//! all interleavings (`tests/task_state.rs`), which brings its own atomics.

use super::sync::{AtomicU8, Ordering, fence};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// Woken while running: must be polled once more.
const RERUN: u8 = 3;
const DONE: u8 = 4;

/// The state of a task. At any time at most one queue entry of a task exists, and at most one
/// thread runs it; what was written before a wake-up is seen by a poll that begins after it.
#[derive(Debug)]
pub(super) struct TaskState(AtomicU8);

impl TaskState {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(IDLE))
    }

    /// Something came for the task. True: the caller must queue it.
    #[must_use]
    pub(super) fn wake(&self) -> bool {
        // Pairs with the fence in `begin`: if this finds the task queued, the poll that follows
        // sees what the caller wrote before. Without it the write could still be on its way.
        fence(Ordering::SeqCst);
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let next = match state {
                IDLE => QUEUED,
                RUNNING => RERUN,
                _ => return false,
            };
            match self
                .0
                .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return state == IDLE,
                Err(other) => state = other,
            }
        }
    }

    /// A thread took the task from its queue and polls it now.
    pub(super) fn begin(&self) {
        self.0.store(RUNNING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The poll ended with more to do: the caller queues the task.
    pub(super) fn again(&self) {
        // A swap, so that it follows a wake-up that came meanwhile.
        self.0.swap(QUEUED, Ordering::AcqRel);
    }

    /// The poll ended with nothing to do. True: it was woken meanwhile, the caller must queue it.
    #[must_use]
    pub(super) fn rest(&self) -> bool {
        let woken = self
            .0
            .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Relaxed)
            .is_err();
        if woken {
            self.again();
        }
        woken
    }

    /// The task has ended: waking it has no effect any more.
    pub(super) fn end(&self) {
        self.0.store(DONE, Ordering::Release);
    }
}
