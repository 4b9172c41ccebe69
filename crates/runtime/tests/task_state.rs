//! All interleavings of threads that wake a task and run it, under loom's memory model: no wake-up
//! is lost, never do two threads run the task, nothing runs after its end.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../src/scheduler/state.rs"]
mod state;

/// What the state is made of here.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicU8, Ordering, fence};
}

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use state::TaskState;

/// What the task of the test does in a poll that sees something new.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Rest,
    Again,
    EndWhenAllSeen,
}

const WAKERS: usize = 2;

struct Task {
    state: TaskState,
    then: Then,
    /// What each waker writes before it wakes; relaxed, so that only the state orders it.
    sent: [AtomicBool; WAKERS],
    body: Mutex<Body>,
}

#[derive(Default)]
struct Body {
    seen: [bool; WAKERS],
    ended: bool,
}

impl Task {
    fn new(then: Then) -> Arc<Self> {
        Arc::new(Self {
            state: TaskState::new(),
            then,
            sent: [AtomicBool::new(false), AtomicBool::new(false)],
            body: Mutex::new(Body::default()),
        })
    }

    /// Whoever is told to queue the task is also who takes it from the queue.
    fn send(&self, waker: usize) {
        self.sent[waker].store(true, Ordering::Relaxed);
        if self.state.wake() {
            self.run();
        }
    }

    fn run(&self) {
        loop {
            self.state.begin();
            let news = self.poll();
            let queued = match self.then {
                Then::Again if news => {
                    self.state.again();
                    true
                }
                Then::EndWhenAllSeen if self.body.lock().unwrap().ended => {
                    self.state.end();
                    false
                }
                _ => self.state.rest(),
            };
            if !queued {
                return;
            }
        }
    }

    fn poll(&self) -> bool {
        let mut body = self.body.try_lock().expect("one thread runs the task");
        assert!(!body.ended, "it runs after its end");
        let mut news = false;
        for waker in 0..WAKERS {
            if self.sent[waker].load(Ordering::Relaxed) {
                news |= !std::mem::replace(&mut body.seen[waker], true);
            }
        }
        body.ended = self.then == Then::EndWhenAllSeen && body.seen == [true; WAKERS];
        news
    }
}

fn check(then: Then) {
    loom::model(move || {
        let task = Task::new(then);
        let others: Vec<_> = (0..WAKERS)
            .map(|waker| {
                let task = Arc::clone(&task);
                thread::spawn(move || task.send(waker))
            })
            .collect();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(task.body.lock().unwrap().seen, [true; WAKERS]);
        // Idle, or for ever at its end: a wake-up is answered accordingly.
        assert_eq!(task.state.wake(), then != Then::EndWhenAllSeen);
    });
}

#[test]
fn a_task_that_rests_sees_what_was_sent_before_each_wake_up() {
    check(Then::Rest);
}

#[test]
fn a_task_with_more_to_do_is_polled_again() {
    check(Then::Again);
}

#[test]
fn nothing_runs_after_the_end() {
    check(Then::EndWhenAllSeen);
}
