//! Run queues with stealing, parking, and timers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::task::TaskCell;

/// Where a task enters its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Front,
    Back,
}

/// Every so many pops the back of the queue is served, so that sources are not starved.
const FAIRNESS: u32 = 16;

struct Timer {
    at: Instant,
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

/// The queues of all threads.
pub(super) struct Queues {
    // Std mutexes: held for a push or a pop, never across a poll.
    queues: Vec<Mutex<VecDeque<Arc<TaskCell>>>>,
    parking: Mutex<BinaryHeap<Reverse<Timer>>>,
    parked: Condvar,
    sleepers: AtomicUsize,
    stopped: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            queues: (0..threads).map(|_| Mutex::default()).collect(),
            parking: Mutex::default(),
            parked: Condvar::new(),
            sleepers: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    pub(super) fn push(&self, task: Arc<TaskCell>, place: Place) {
        let mut queue = lock(&self.queues[task.home]);
        match place {
            Place::Front => queue.push_front(task),
            Place::Back => queue.push_back(task),
        }
        drop(queue);
        // Pairs with `park`: the sleeper is counted before it looks at the queues again.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = lock(&self.parking);
            self.parked.notify_one();
        }
    }

    /// Wakes a task at a time, unless it is woken (harmlessly) before.
    pub(super) fn wake_at(&self, at: Instant, task: Arc<TaskCell>) {
        let mut timers = lock(&self.parking);
        let first = timers.peek().is_none_or(|Reverse(timer)| at < timer.at);
        timers.push(Reverse(Timer { at, task }));
        if first {
            self.parked.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let mut timers = lock(&self.parking);
        timers.clear();
        self.parked.notify_all();
    }

    /// The life of a thread.
    pub(super) fn work(&self, home: usize) {
        let mut turn = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            turn += 1;
            if turn % FAIRNESS == 0 {
                self.fire_timers();
            }
            match self.pop(home, turn % FAIRNESS == 0) {
                Some(task) => task.run(),
                None => self.park(),
            }
        }
        for queue in &self.queues {
            lock(queue).clear();
        }
    }

    fn pop(&self, home: usize, from_back: bool) -> Option<Arc<TaskCell>> {
        let mut own = lock(&self.queues[home]);
        let task = if from_back {
            own.pop_back()
        } else {
            own.pop_front()
        };
        drop(own);
        task.or_else(|| {
            (1..self.queues.len())
                .find_map(|step| lock(&self.queues[(home + step) % self.queues.len()]).pop_back())
        })
    }

    fn any_queued(&self) -> bool {
        self.queues.iter().any(|queue| !lock(queue).is_empty())
    }

    fn fire_timers(&self) {
        let due = due_tasks(&mut lock(&self.parking), Instant::now());
        for task in due {
            task.wake_cell();
        }
    }

    fn park(&self) {
        let mut timers = lock(&self.parking);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        if !self.any_queued() && !self.stopped.load(Ordering::SeqCst) {
            let wait = timers
                .peek()
                .map(|Reverse(timer)| timer.at.saturating_duration_since(Instant::now()))
                .unwrap_or(Duration::from_secs(3600));
            if !wait.is_zero() {
                timers = self
                    .parked
                    .wait_timeout(timers, wait)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        let due = due_tasks(&mut timers, Instant::now());
        drop(timers);
        for task in due {
            task.wake_cell();
        }
    }
}

fn due_tasks(timers: &mut BinaryHeap<Reverse<Timer>>, now: Instant) -> Vec<Arc<TaskCell>> {
    let mut due = Vec::new();
    while timers.peek().is_some_and(|Reverse(timer)| timer.at <= now) {
        due.extend(timers.pop().map(|Reverse(timer)| timer.task));
    }
    due
}
