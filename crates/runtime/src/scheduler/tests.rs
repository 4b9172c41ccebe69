//! The scheduler under many tasks, wake-ups, timers, panics and cancellation.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flott_network::{LocalReceiver, LocalSender, Message, NO_TIMESTAMP, local_channel};
use flott_operators::TaskError;

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

struct Produce {
    out: LocalSender<u64>,
    next: u64,
    end: u64,
}
impl Tasklet for Produce {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        if !self.out.settle() {
            return Ok(Poll::Pending);
        }
        if self.next == self.end {
            return Ok(Poll::Done);
        }
        let mut batch = self.out.buffer(10);
        for _ in 0..10 {
            batch.push(self.next, NO_TIMESTAMP);
            self.next += 1;
        }
        self.out.send(Message::Rows(batch));
        Ok(Poll::Ready)
    }
    fn is_source(&self) -> bool {
        true
    }
}

struct Sum {
    input: LocalReceiver<u64>,
    total: Arc<AtomicU64>,
}
impl Tasklet for Sum {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        while let Some(message) = self.input.receive() {
            if let Message::Rows(batch) = message {
                let sum: u64 = batch.rows.iter().sum();
                self.total.fetch_add(sum, Ordering::Relaxed);
                self.input.recycle(batch);
            }
        }
        Ok(if self.input.is_exhausted() {
            Poll::Done
        } else {
            Poll::Pending
        })
    }
}

#[test]
fn many_pipelines_neither_hang_nor_lose_anything() {
    let scheduler = Scheduler::start(2).unwrap();
    let total = Arc::new(AtomicU64::new(0));
    let (done, ended) = mpsc::channel();
    let (pipelines, rows) = (100, 20_000);
    for _ in 0..pipelines {
        let (from, to) = (Waker::default(), Waker::default());
        let (tx, rx) = local_channel(2, from.clone(), to.clone());
        for (waker, task) in [
            (
                &to,
                Box::new(Sum {
                    input: rx,
                    total: Arc::clone(&total),
                }) as Box<dyn Tasklet>,
            ),
            (
                &from,
                Box::new(Produce {
                    out: tx,
                    next: 0,
                    end: rows,
                }),
            ),
        ] {
            let done = done.clone();
            // A consumer that saw nothing yet is woken by the end of its producer.
            let other = to.clone();
            scheduler.spawn(
                task,
                waker,
                Box::new(move |exit| {
                    other.wake();
                    done.send(exit).unwrap();
                }),
            );
        }
    }
    for _ in 0..pipelines * 2 {
        assert_eq!(ended.recv_timeout(DEADLINE).unwrap(), TaskExit::Finished);
    }
    assert_eq!(
        total.load(Ordering::Relaxed),
        pipelines * rows * (rows - 1) / 2
    );
}

struct Run<F>(F);
impl<F: FnMut() -> Result<Poll, TaskError> + Send> Tasklet for Run<F> {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        (self.0)()
    }
}

fn exit_of(
    scheduler: &Scheduler,
    poll: impl FnMut() -> Result<Poll, TaskError> + Send + 'static,
) -> (TaskHandle, mpsc::Receiver<TaskExit>) {
    let (done, ended) = mpsc::channel();
    let handle = scheduler.spawn(
        Box::new(Run(poll)),
        &Waker::default(),
        Box::new(move |exit| done.send(exit).unwrap()),
    );
    (handle, ended)
}

#[test]
fn a_panic_fails_its_task_and_nothing_else() {
    let scheduler = Scheduler::start(1).unwrap();
    let (_, panicked) = exit_of(&scheduler, || panic!("division by {}", 0));
    let (_, fine) = exit_of(&scheduler, || Ok(Poll::Done));
    let TaskExit::Failed(error) = panicked.recv_timeout(DEADLINE).unwrap() else {
        panic!()
    };
    assert_eq!(error.message, "user code panicked: division by 0");
    assert_eq!(fine.recv_timeout(DEADLINE).unwrap(), TaskExit::Finished);
}

#[test]
fn a_sleeping_task_can_be_cancelled_and_its_body_is_dropped() {
    let scheduler = Scheduler::start(1).unwrap();
    let (alive, dropped) = mpsc::channel::<()>();
    let (handle, ended) = exit_of(&scheduler, move || {
        let _keep = &alive;
        Ok(Poll::Pending)
    });
    handle.cancel();
    handle.cancel();
    assert_eq!(ended.recv_timeout(DEADLINE).unwrap(), TaskExit::Canceled);
    assert!(
        dropped
            .recv_timeout(DEADLINE)
            .is_err_and(|e| e == mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn timers_wake_in_order_while_all_threads_are_parked() {
    let scheduler = Scheduler::start(2).unwrap();
    let (order, fired) = mpsc::channel();
    let start = Instant::now();
    let mut exits = Vec::new();
    for ms in [60_u64, 20, 40] {
        let order = order.clone();
        let at = start + Duration::from_millis(ms);
        exits.push(exit_of(&scheduler, move || {
            if Instant::now() < at {
                return Ok(Poll::PendingUntil(at));
            }
            order.send(ms).unwrap();
            Ok(Poll::Done)
        }));
    }
    let seen: Vec<u64> = (0..3)
        .map(|_| fired.recv_timeout(DEADLINE).unwrap())
        .collect();
    assert_eq!(seen, [20, 40, 60]);
}

#[test]
fn a_busy_consumer_chain_does_not_starve_a_source() {
    let scheduler = Scheduler::start(1).unwrap();
    // Wakes itself for ever, at the front of the queue.
    let (spin, other) = (Waker::default(), Waker::default());
    let again = spin.clone();
    let spinner = scheduler.spawn(
        Box::new(Run(move || {
            again.wake();
            Ok(Poll::Pending)
        })),
        &spin,
        Box::new(|_| ()),
    );
    let (done, ended) = mpsc::channel();
    let (tx, _rx) = local_channel(64, other.clone(), Waker::default());
    scheduler.spawn(
        Box::new(Produce {
            out: tx,
            next: 0,
            end: 100,
        }),
        &other,
        Box::new(move |exit| done.send(exit).unwrap()),
    );
    assert_eq!(ended.recv_timeout(DEADLINE).unwrap(), TaskExit::Finished);
    spinner.cancel();
}

#[test]
fn what_a_blocked_poll_woke_is_taken_over_by_another_thread() {
    let scheduler = Scheduler::start(2).unwrap();
    let waiting = Waker::default();
    let (go, gone) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    let exit = |done: &mpsc::Sender<TaskExit>| -> Box<dyn FnOnce(TaskExit) + Send> {
        let done = done.clone();
        Box::new(move |exit| done.send(exit).unwrap())
    };
    // Rests in its first poll, then lets the other one go on.
    let (rested, first_poll) = mpsc::channel();
    let mut polls = 0;
    let consumer = Run(move || {
        polls += 1;
        if polls == 1 {
            rested.send(()).unwrap();
            return Ok(Poll::Pending);
        }
        go.send(()).unwrap();
        Ok(Poll::Done)
    });
    scheduler.spawn(Box::new(consumer), &waiting, exit(&done));
    first_poll.recv_timeout(DEADLINE).unwrap();
    // Blocks until what it woke, which was queued behind it, has run.
    let producer = Run(move || {
        waiting.wake();
        let woken = gone.recv_timeout(DEADLINE);
        woken.map_err(|_| TaskError::user("nobody took it over"))?;
        Ok(Poll::Done)
    });
    scheduler.spawn(Box::new(producer), &Waker::default(), exit(&done));
    for _ in 0..2 {
        assert_eq!(ended.recv_timeout(DEADLINE).unwrap(), TaskExit::Finished);
    }
}

#[test]
fn threads_share_the_work_of_one_thread_that_has_too_much() {
    let scheduler = Scheduler::start(2).unwrap();
    let (ran, who) = mpsc::channel();
    let (rested, first_polls) = mpsc::channel();
    // All are queued at the thread that polls this one.
    let start = Waker::default();
    let others: Vec<Waker> = (0..64).map(|_| Waker::default()).collect();
    for waker in &others {
        let (ran, rested) = (ran.clone(), rested.clone());
        let mut polls = 0;
        let task = Run(move || {
            polls += 1;
            if polls == 1 {
                rested.send(()).unwrap();
                return Ok(Poll::Pending);
            }
            let until = Instant::now() + Duration::from_millis(1);
            while Instant::now() < until {}
            ran.send(std::thread::current().id()).unwrap();
            Ok(Poll::Done)
        });
        scheduler.spawn(Box::new(task), waker, Box::new(|_| ()));
    }
    for _ in &others {
        first_polls.recv_timeout(DEADLINE).unwrap();
    }
    let all = others.clone();
    let starter = Run(move || {
        all.iter().for_each(Waker::wake);
        Ok(Poll::Done)
    });
    scheduler.spawn(Box::new(starter), &start, Box::new(|_| ()));
    let threads: std::collections::BTreeSet<String> = others
        .iter()
        .map(|_| format!("{:?}", who.recv_timeout(DEADLINE).unwrap()))
        .collect();
    assert_eq!(threads.len(), 2);
}

#[test]
fn the_timer_of_a_thread_whose_poll_blocks_fires_at_another() {
    let scheduler = Scheduler::start(2).unwrap();
    let (fired, woken) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    let blocked = Waker::default();
    let next = blocked.clone();
    // Its timer is the thread's that polls the other one next.
    let mut at = None;
    let sleeper = Run(move || match at {
        None => {
            next.wake();
            let later = Instant::now() + Duration::from_millis(20);
            at = Some(later);
            Ok(Poll::PendingUntil(later))
        }
        Some(at) if Instant::now() < at => Ok(Poll::PendingUntil(at)),
        Some(_) => {
            fired.send(()).unwrap();
            Ok(Poll::Done)
        }
    });
    let (rested, first_poll) = mpsc::channel();
    let mut polls = 0;
    let blocker = Run(move || {
        polls += 1;
        if polls == 1 {
            rested.send(()).unwrap();
            return Ok(Poll::Pending);
        }
        let woken = woken.recv_timeout(DEADLINE);
        woken.map_err(|_| TaskError::user("the timer did not fire"))?;
        Ok(Poll::Done)
    });
    let exit = |done: &mpsc::Sender<TaskExit>| -> Box<dyn FnOnce(TaskExit) + Send> {
        let done = done.clone();
        Box::new(move |exit| done.send(exit).unwrap())
    };
    scheduler.spawn(Box::new(blocker), &blocked, exit(&done));
    first_poll.recv_timeout(DEADLINE).unwrap();
    scheduler.spawn(Box::new(sleeper), &Waker::default(), exit(&done));
    for _ in 0..2 {
        assert_eq!(ended.recv_timeout(DEADLINE).unwrap(), TaskExit::Finished);
    }
}
