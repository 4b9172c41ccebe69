//! One task: its state byte, its body, its end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use flott_network::Wake;
use flott_operators::TaskError;

use super::order::Why;
use super::queue::Queues;
use super::state::TaskState;

/// What a poll achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// There is more to do.
    Ready,
    /// Nothing to do until woken.
    Pending,
    /// Nothing to do until woken or until then.
    PendingUntil(Instant),
    /// The task has ended.
    Done,
}

/// A state machine that is polled when woken. One poll takes about 200 µs at most.
pub trait Tasklet: Send {
    /// Makes progress.
    fn poll(&mut self) -> Result<Poll, TaskError>;

    /// Sources go to the back of the queue: what is in flight is consumed first.
    fn is_source(&self) -> bool {
        false
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskExit {
    /// By itself.
    Finished,
    /// On demand.
    Canceled,
    /// By an error or a panic of its code.
    Failed(TaskError),
}

type OnExit = Box<dyn FnOnce(TaskExit) + Send>;

pub(super) struct TaskCell {
    state: TaskState,
    cancelled: AtomicBool,
    // A std mutex: only the thread that moved the state to RUNNING locks it, so it never waits.
    body: Mutex<Option<(Box<dyn Tasklet>, OnExit)>>,
    /// The thread that ran it last.
    home: AtomicUsize,
    source: bool,
    queues: Arc<Queues>,
}

impl TaskCell {
    pub(super) fn new(
        tasklet: Box<dyn Tasklet>,
        on_exit: OnExit,
        home: usize,
        queues: Arc<Queues>,
    ) -> Self {
        Self {
            state: TaskState::new(),
            cancelled: AtomicBool::new(false),
            source: tasklet.is_source(),
            body: Mutex::new(Some((tasklet, on_exit))),
            home: AtomicUsize::new(home),
            queues,
        }
    }

    pub(super) fn home(&self) -> usize {
        self.home.load(Ordering::Relaxed)
    }

    pub(super) fn is_source(&self) -> bool {
        self.source
    }

    /// Polls the task once; called by a scheduler thread that popped it.
    pub(super) fn run(self: Arc<Self>, thread: usize) {
        self.home.store(thread, Ordering::Relaxed);
        self.state.begin();
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((tasklet, _)) = body.as_mut() else {
            return;
        };
        let polled = if self.cancelled.load(Ordering::SeqCst) {
            Err(TaskExit::Canceled)
        } else {
            match catch_unwind(AssertUnwindSafe(|| tasklet.poll())) {
                Ok(Ok(Poll::Done)) => Err(TaskExit::Finished),
                Ok(Ok(poll)) => Ok(poll),
                Ok(Err(error)) => Err(TaskExit::Failed(error)),
                Err(panic) => Err(TaskExit::Failed(TaskError::user(describe_panic(&*panic)))),
            }
        };
        match polled {
            Ok(poll) => {
                drop(body);
                self.after(poll);
            }
            Err(exit) => {
                let ended = body.take();
                drop(body);
                self.state.end();
                if let Some((tasklet, on_exit)) = ended {
                    // User code may panic in a destructor too.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(tasklet)));
                    on_exit(exit);
                }
            }
        }
    }

    fn after(self: Arc<Self>, poll: Poll) {
        if let Poll::PendingUntil(at) = poll {
            self.queues.wake_at(at, Arc::clone(&self));
        }
        let queue = if poll == Poll::Ready {
            self.state.again();
            true
        } else {
            self.state.rest()
        };
        if queue {
            let queues = Arc::clone(&self.queues);
            queues.push(self, Why::Again);
        }
    }

    pub(super) fn wake_cell(self: &Arc<Self>) {
        if self.state.wake() {
            self.queues.push(Arc::clone(self), Why::Woken);
        }
    }
}

/// What a panic said, with the place the hook recorded if there is one.
pub(crate) fn describe_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned());
    match flott_operators::blame::take_place() {
        Some(place) => format!("{place}: user code panicked: {text}"),
        None => format!("user code panicked: {text}"),
    }
}

/// A task as the outside sees it.
#[derive(Clone)]
pub struct TaskHandle(Arc<TaskCell>);

impl TaskHandle {
    pub(super) fn new(cell: Arc<TaskCell>) -> Self {
        Self(cell)
    }

    /// Ends the task at its next poll, which is brought about now.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        self.0.wake_cell();
    }
}

/// What a [`flott_network::Waker`] is bound to.
pub(super) struct WakeCell(pub(super) Arc<TaskCell>);

impl Wake for WakeCell {
    fn wake(&self) {
        self.0.wake_cell();
    }
}
