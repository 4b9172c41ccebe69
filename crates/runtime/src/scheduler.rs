//! Cooperative tasklets on a few threads (ENGINE 2). A task is in one of five states kept in one
//! atomic byte, so waking a queued task is one load.
//!
//! What a task wakes runs next, on the same thread, so rows are in its cache; sources run when
//! nothing else is left to do; what has waited for 5 ms goes first. A thread without work takes
//! over what would have to wait elsewhere.

mod order;
mod queue;
mod state;
mod task;

/// The atomics of the task state; the test of its interleavings has others.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU8, Ordering, fence};
}

pub(crate) use task::describe_panic;
pub use task::{Poll, TaskExit, TaskHandle, Tasklet};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use flott_network::Waker;
use queue::Queues;
use task::{TaskCell, WakeCell};

/// Threads that poll tasks.
pub struct Scheduler {
    queues: Arc<Queues>,
    /// Sources and other tasks are spread apart from each other: sources are where work comes from.
    next_home: [AtomicUsize; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Scheduler {
    /// Starts so many threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let count = threads.max(1);
        let queues = Arc::new(Queues::new(count));
        let mut running = Vec::with_capacity(count);
        for home in 0..count {
            let queues = Arc::clone(&queues);
            let thread = std::thread::Builder::new()
                .name(format!("flott-task-{home}"))
                // Small enough that virtual memory stays bounded, large enough for user code.
                .stack_size(4 << 20)
                .spawn(move || queues.work(home))?;
            running.push(thread);
        }
        Ok(Self {
            queues,
            next_home: Default::default(),
            threads: running,
        })
    }

    /// Adds a task and wakes it. `waker` is bound to it; `on_exit` is called once, on the thread
    /// that saw the end.
    pub fn spawn(
        &self,
        tasklet: Box<dyn Tasklet>,
        waker: &Waker,
        on_exit: Box<dyn FnOnce(TaskExit) + Send>,
    ) -> TaskHandle {
        let next = &self.next_home[usize::from(tasklet.is_source())];
        let home = next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let cell = Arc::new(TaskCell::new(
            tasklet,
            on_exit,
            home,
            Arc::clone(&self.queues),
        ));
        waker.bind(Arc::new(WakeCell(Arc::clone(&cell))));
        cell.wake_cell();
        TaskHandle::new(cell)
    }

    /// Ends the threads after their current poll; tasks that are left are dropped.
    pub fn shutdown(&mut self) {
        self.queues.stop();
        for thread in self.threads.drain(..) {
            // A task's panic is caught in its poll; this thread cannot have panicked.
            let _ = thread.join();
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[cfg(test)]
mod tests;
