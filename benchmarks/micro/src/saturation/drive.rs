//! Two ways to run the same tasks: on the scheduler's few threads, or on a thread each.

use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};

use anyhow::{Context, Result, ensure};
use flott_network::Wake;
use flott_runtime::scheduler::{Poll, Scheduler, TaskExit};

use super::tasks::Task;

/// Runs the tasks on the engine's scheduler.
pub(super) fn scheduled(threads: usize, tasks: Vec<Task>) -> Result<()> {
    let scheduler = Scheduler::start(threads).context("starting the scheduler")?;
    let (exits, ended) = mpsc::channel();
    let count = tasks.len();
    for (waker, tasklet) in tasks {
        let exits = exits.clone();
        // The receiver outlives the tasks.
        let on_exit = Box::new(move |exit| _ = exits.send(exit));
        scheduler.spawn(tasklet, &waker, on_exit);
    }
    for _ in 0..count {
        let exit = ended.recv().context("the scheduler lost a task")?;
        ensure!(exit == TaskExit::Finished, "a task ended as {exit:?}");
    }
    Ok(())
}

/// Wakes a thread that waits for it.
#[derive(Default)]
struct Doorbell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Doorbell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            rung = self.ring.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }
}

impl Wake for Doorbell {
    fn wake(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *rung, true) {
            self.ring.notify_one();
        }
    }
}

/// Runs each task on a thread of its own, which sleeps while the task has nothing to do.
pub(super) fn threaded(tasks: Vec<Task>) -> Result<()> {
    let mut threads = Vec::with_capacity(tasks.len());
    for (waker, mut tasklet) in tasks {
        let bell = Arc::new(Doorbell::default());
        waker.bind(Arc::clone(&bell) as Arc<dyn Wake>);
        let body = move || -> Result<()> {
            loop {
                match tasklet.poll()? {
                    Poll::Ready => (),
                    Poll::Done => return Ok(()),
                    Poll::Pending | Poll::PendingUntil(_) => bell.wait(),
                }
            }
        };
        let builder = std::thread::Builder::new().stack_size(128 << 10);
        threads.push(builder.spawn(body).context("starting a thread")?);
    }
    for thread in threads {
        let ended = thread.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    Ok(())
}
