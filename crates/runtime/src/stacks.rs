//! Sampled stacks, by task. A thread of the scheduler polls many tasks; while somebody samples, each poll runs below a few
//! functions whose names spell the number of the task, so every stack that is seen says whose it is. Otherwise a poll costs
//! one more load.

mod lanes;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use flott_operators::TaskError;
use pprof::ProfilerGuardBuilder;

use crate::scheduler::{Poll, Tasklet};

/// Whether polls say whose they are.
static MARKING: AtomicBool = AtomicBool::new(false);
/// Tasks of a process that stacks can tell apart; numbers are used again after so many.
const TAGS: u32 = lanes::NUMBERS;
static NEXT_TAG: AtomicU32 = AtomicU32::new(0);

/// The number of a task among those of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StackTag(u32);

impl StackTag {
    /// The next one.
    pub(crate) fn next() -> Self {
        Self(NEXT_TAG.fetch_add(1, Ordering::Relaxed) % TAGS)
    }

    /// The task, with its number on every stack that is sampled.
    pub(crate) fn mark(self, task: Box<dyn Tasklet>) -> Box<dyn Tasklet> {
        Box::new(Marked { tag: self, task })
    }
}

struct Marked {
    tag: StackTag,
    task: Box<dyn Tasklet>,
}

impl Tasklet for Marked {
    #[inline]
    fn poll(&mut self) -> Result<Poll, TaskError> {
        if !MARKING.load(Ordering::Relaxed) {
            return self.task.poll();
        }
        let mut polled = None;
        lanes::run(self.tag.0, &mut || polled = Some(self.task.poll()));
        polled.expect("a lane runs what it is given")
    }

    fn is_source(&self) -> bool {
        self.task.is_source()
    }
}

/// A stack that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whose it is; `None`: no task's.
    pub(crate) tag: Option<StackTag>,
    /// The thread.
    pub(crate) thread: String,
    /// Functions, the outermost first; of a task's those inside its poll.
    pub(crate) frames: Vec<String>,
    /// In how many samples.
    pub(crate) count: u64,
}

/// Why there are no samples.
#[derive(Debug, thiserror::Error)]
#[error("the stacks of this process cannot be sampled: {0}")]
pub(crate) struct SampleError(#[from] pprof::Error);

/// The last samples, and when they were complete.
// Held while sampling: there is one profiling timer for the process. Embedded workers share what they see.
static LAST: Mutex<Option<(Instant, Arc<Vec<Seen>>)>> = Mutex::new(None);

/// Samples the threads of this process that run, once per `interval` of processor time, for that long. Blocks.
pub(crate) fn sample(
    duration: Duration,
    interval: Duration,
) -> Result<Arc<Vec<Seen>>, SampleError> {
    let asked = Instant::now();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((complete, seen)) = &*last
        && *complete >= asked
    {
        return Ok(Arc::clone(seen)); // Somebody sampled while this waited.
    }
    static PREPARED: Once = Once::new();
    PREPARED.call_once(prepare);
    let frequency = (1_000 / interval.as_millis().clamp(1, 1_000)) as i32;
    let guard = ProfilerGuardBuilder::default()
        .frequency(frequency)
        .blocklist(&["vdso"])
        .build()?;
    MARKING.store(true, Ordering::Relaxed);
    std::thread::sleep(duration);
    MARKING.store(false, Ordering::Relaxed);
    let report = guard.report().build()?;
    drop(guard);
    let stacks = report.data.into_iter().map(|(stack, count)| {
        let frames = stack.frames.iter().rev();
        let names = frames.flat_map(|frame| frame.iter().rev().map(pprof::Symbol::name));
        seen(
            names.collect(),
            stack.thread_name,
            count.unsigned_abs() as u64,
        )
    });
    let seen = Arc::new(stacks.collect());
    *last = Some((Instant::now(), Arc::clone(&seen)));
    Ok(seen)
}

/// The unwinder reads the program's tables at its first sample, and allocates: that must not happen in a signal that
/// interrupted an allocation. So the first signal is sent from here, before the timer could.
fn prepare() {
    // One second of processor time must pass before the timer of this one fires.
    if let Ok(_guard) = ProfilerGuardBuilder::default().frequency(1).build() {
        // If it cannot be sent there is no sample, and nothing to be afraid of.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGPROF);
    }
}

fn seen(frames: Vec<String>, thread: String, count: u64) -> Seen {
    match lanes::find(&frames) {
        None => Seen {
            tag: None,
            thread,
            frames,
            count,
        },
        Some((tag, inside)) => Seen {
            tag: Some(StackTag(tag)),
            thread,
            frames: frames.into_iter().skip(inside).collect(),
            count,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    struct Spin(u64);

    #[inline(never)]
    fn spin_for_a_sample(mut value: u64) -> u64 {
        for _ in 0..200_000 {
            value = black_box(value.wrapping_mul(31).rotate_left(7));
        }
        value
    }

    impl Tasklet for Spin {
        fn poll(&mut self) -> Result<Poll, TaskError> {
            self.0 = spin_for_a_sample(self.0);
            Ok(Poll::Ready)
        }
    }

    /// Two tasks take turns on one thread; each stack is the right one's.
    #[test]
    fn a_stack_says_whose_it_is() {
        let tags = [StackTag::next(), StackTag::next()];
        let stop = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut tasks = tags.map(|tag| tag.mark(Box::new(Spin(1))));
                while !stop.load(Ordering::Relaxed) {
                    for task in &mut tasks {
                        task.poll().unwrap();
                    }
                }
            });
            let deadline = Instant::now() + Duration::from_secs(60);
            let of = |seen: &[Seen], tag| {
                let spins = |one: &&Seen| {
                    let last = one.frames.last();
                    one.tag == Some(tag)
                        && last.is_some_and(|name| name.contains("spin_for_a_sample"))
                };
                seen.iter().filter(spins).map(|one| one.count).sum::<u64>()
            };
            let seen = loop {
                let seen = sample(Duration::from_millis(300), Duration::from_millis(5));
                let seen = seen.unwrap();
                if tags.iter().all(|tag| of(&seen, *tag) > 0) || Instant::now() > deadline {
                    break seen;
                }
            };
            stop.store(true, Ordering::Relaxed);
            seen
        });
        let spinning = |one: &&Seen| one.frames.iter().any(|name| name.contains("spin_for"));
        for tag in tags {
            assert!(
                seen.iter().filter(spinning).any(|one| one.tag == Some(tag)),
                "{seen:#?}"
            );
        }
        for one in seen.iter().filter(|one| one.tag.is_some()) {
            assert!(
                !one.frames.iter().any(|name| name.contains("lane_")),
                "{one:?}"
            );
        }
    }
}
