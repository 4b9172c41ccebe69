//! The threads: each with a queue of its own, timers of its own, and a place to sleep. A thread
//! without work takes what has waited at another one.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::order::{RunQueue, Why};
use super::task::TaskCell;

/// Taking a task to another thread costs that thread the cache misses of all the task touches,
/// and waking the thread costs more: what is about to run where it is stays there.
const WORTH_STEALING: u64 = Duration::from_micros(50).as_nanos() as u64;
/// A thread expects long polls, so that what it queues need not wait to be stolen, when more than one
/// of its last turns took longer than [`WORTH_STEALING`]: each counts for so many short ones. A
/// single one says nothing, the system may have given the core to somebody else.
const SLOW_TURN: u32 = 16;
const SLOW_TURNS_MOST: u32 = 4 * SLOW_TURN;

/// A thread that sleeps looks around so often: a poll that blocks, against the rules, must not hold
/// up for ever what it woke before, or what waits for a timer of its thread.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// A timer that is late by so much fires at another thread: its own is in a long poll.
const LATE: u64 = Duration::from_millis(5).as_nanos() as u64;

/// When a task is to be woken.
struct Timer {
    at: u64,
    task: Arc<TaskCell>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// A thread of a scheduler, as the code that it runs sees it.
#[derive(Clone, Copy)]
struct Here {
    /// The address of its [`Queues`]: a process may have several schedulers.
    scheduler: usize,
    thread: usize,
    /// When its present turn began.
    now: u64,
}

thread_local! {
    static HERE: Cell<Option<Here>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Local {
    ready: RunQueue<Arc<TaskCell>>,
    timers: BinaryHeap<Reverse<Timer>>,
    parked: bool,
    /// Somebody has more than it can do.
    called: bool,
}

#[derive(Default)]
struct ThreadQueue {
    // A std mutex: held for a push or a pop, never across a poll.
    local: Mutex<Local>,
    wake: Condvar,
    /// How many tasks are ready, so that nobody locks an empty queue.
    len: AtomicUsize,
    /// Its polls take long.
    slow: AtomicBool,
    /// When its first timer is due; 0: it has none.
    first_timer: AtomicU64,
}

impl ThreadQueue {
    /// How long a task must have waited here before another thread should take it.
    fn worth_stealing(&self) -> u64 {
        if self.slow.load(Ordering::Relaxed) {
            0
        } else {
            WORTH_STEALING
        }
    }

    fn note_first_timer(&self, local: &Local) {
        let first = local.timers.peek();
        let at = first.map_or(0, |Reverse(timer)| timer.at.max(1));
        self.first_timer.store(at, Ordering::Relaxed);
    }

    /// Wakes the tasks whose time has come by then.
    fn fire_timers(&self, until: u64) {
        let first = self.first_timer.load(Ordering::Relaxed);
        if first == 0 || first > until {
            return;
        }
        loop {
            let mut local = lock(self);
            let is_due = |Reverse(timer): &Reverse<Timer>| timer.at <= until;
            let timer = local.timers.peek().is_some_and(is_due);
            let timer = timer.then(|| local.timers.pop()).flatten();
            self.note_first_timer(&local);
            // Waking takes the lock.
            drop(local);
            match timer {
                Some(Reverse(timer)) => timer.task.wake_cell(),
                None => return,
            }
        }
    }
}

/// The queues of all threads.
pub(super) struct Queues {
    threads: Vec<ThreadQueue>,
    parked: AtomicUsize,
    stopped: AtomicBool,
    start: Instant,
}

fn lock(thread: &ThreadQueue) -> MutexGuard<'_, Local> {
    // Nothing panics while one of these is held.
    thread.local.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: (0..threads).map(|_| ThreadQueue::default()).collect(),
            parked: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            start: Instant::now(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// The scheduler's clock: nanoseconds.
    fn time_of(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        self.time_of(Instant::now())
    }

    /// The thread of this scheduler that calls, if one does.
    fn here(&self) -> Option<Here> {
        HERE.get()
            .filter(|here| here.scheduler == std::ptr::from_ref(self).addr())
    }

    /// Queues a task: at the thread that wakes it, in whose cache its input is; from outside, at
    /// the thread that ran it last.
    pub(super) fn push(&self, task: Arc<TaskCell>, why: Why) {
        let (thread, now) = match (self.here(), why) {
            (Some(here), Why::Woken) => (&self.threads[here.thread], here.now),
            // It waits from now on: a turn that took long must not make it the oldest of all, or nobody
            // else ever has one.
            (Some(here), Why::Again) => (&self.threads[here.thread], self.now()),
            (None, _) => (&self.threads[task.home()], self.now()),
        };
        let is_source = task.is_source();
        let mut local = lock(thread);
        local.ready.push(task, is_source, why, now);
        thread.len.store(local.ready.len(), Ordering::Relaxed);
        if local.parked {
            thread.wake.notify_one();
            return;
        }
        drop(local);
        // A task that has had its turn is queued when the turn ends: the thread is free for it.
        if why == Why::Woken && thread.slow.load(Ordering::Relaxed) {
            self.call_for_help();
        }
    }

    /// Wakes a thread that sleeps, if there is one, so that it takes over what waits here.
    fn call_for_help(&self) {
        if self.parked.load(Ordering::SeqCst) == 0 {
            return;
        }
        for thread in &self.threads {
            let mut local = lock(thread);
            if local.parked && !local.called {
                local.called = true;
                thread.wake.notify_one();
                return;
            }
        }
    }

    /// Wakes a task at a time, unless it is woken (harmlessly) before. Called where it ran.
    pub(super) fn wake_at(&self, at: Instant, task: Arc<TaskCell>) {
        let thread = self.here().map_or(task.home(), |here| here.thread);
        let at = self.time_of(at);
        let thread = &self.threads[thread];
        let mut local = lock(thread);
        local.timers.push(Reverse(Timer { at, task }));
        thread.note_first_timer(&local);
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for thread in &self.threads {
            let _local = lock(thread);
            thread.wake.notify_one();
        }
    }

    /// The life of a thread.
    pub(super) fn work(&self, thread: usize) {
        let own = &self.threads[thread];
        let mut slow_turns = 0_u32;
        let mut before = self.now();
        while !self.stopped.load(Ordering::SeqCst) {
            let now = self.now();
            slow_turns = if now - before > WORTH_STEALING {
                (slow_turns + SLOW_TURN).min(SLOW_TURNS_MOST)
            } else {
                slow_turns.saturating_sub(1)
            };
            own.slow.store(slow_turns > SLOW_TURN, Ordering::Relaxed);
            HERE.set(Some(Here {
                scheduler: std::ptr::from_ref(self).addr(),
                thread,
                now,
            }));
            let task = self.next(thread, now).or_else(|| self.steal(thread, now));
            before = match task {
                Some(task) => {
                    task.run(thread);
                    now
                }
                None => {
                    self.park(own);
                    self.now()
                }
            };
        }
        HERE.set(None);
        let mut local = lock(own);
        local.ready.clear();
        local.timers.clear();
    }

    /// The next task of the thread's own.
    fn next(&self, thread: usize, now: u64) -> Option<Arc<TaskCell>> {
        let own = &self.threads[thread];
        own.fire_timers(now);
        let mut local = lock(own);
        let task = local.ready.pop(now)?;
        own.len.store(local.ready.len(), Ordering::Relaxed);
        let too_much = local.ready.has_waited(now, own.worth_stealing());
        drop(local);
        if too_much {
            self.call_for_help();
        }
        Some(task)
    }

    /// A task that another thread will not run soon.
    fn steal(&self, thief: usize, now: u64) -> Option<Arc<TaskCell>> {
        let count = self.threads.len();
        (1..count).find_map(|step| {
            let victim = &self.threads[(thief + step) % count];
            victim.fire_timers(now.saturating_sub(LATE));
            if victim.len.load(Ordering::Relaxed) == 0 {
                return None;
            }
            let mut local = lock(victim);
            let task = local.ready.steal(now, victim.worth_stealing());
            victim.len.store(local.ready.len(), Ordering::Relaxed);
            task
        })
    }

    /// Sleeps until there is something to do, or perhaps something to take over.
    fn park(&self, own: &ThreadQueue) {
        let mut local = lock(own);
        // Counted before it looks again: who stops, or calls, looks in the other order.
        self.parked.fetch_add(1, Ordering::SeqCst);
        if local.ready.is_empty() && !self.stopped.load(Ordering::SeqCst) {
            let now = self.now();
            let next = local.timers.peek();
            let wait = next.map_or(LOOK_AROUND, |Reverse(timer)| {
                LOOK_AROUND.min(Duration::from_nanos(timer.at.saturating_sub(now)))
            });
            if !wait.is_zero() {
                local.parked = true;
                let woken = own.wake.wait_timeout(local, wait);
                local = woken.unwrap_or_else(PoisonError::into_inner).0;
                local.parked = false;
                local.called = false;
            }
        }
        self.parked.fetch_sub(1, Ordering::SeqCst);
    }
}
