//! A pipeline of tasks joined by local channels: a source, stages that copy each row, a sink that notes how long batches
//! were on their way. Each polls as the tasks of a job do: a source gives one batch, others take up to sixteen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flott_network::{
    Batch, Control, LocalReceiver, LocalSender, Message, NO_TIMESTAMP, Waker, local_channel,
};
use flott_operators::TaskError;
use flott_runtime::scheduler::{Poll, Tasklet};

use crate::jobs::mix;

/// A value, and when its batch was made if it is the first row of it (nanoseconds since the start).
pub(super) type Row = (u64, u64);

/// Many channels: small batches.
pub(super) const BATCH: usize = 256;
const CHANNEL: usize = 4;
const BATCHES_PER_POLL: u32 = 16;
const TIME_SLICE: Duration = Duration::from_micros(200);

/// A task and the handle that wakes it.
pub(super) type Task = (Waker, Box<dyn Tasklet>);

/// What the sinks saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) rows: u64,
    pub(super) latencies: Vec<u64>,
}

/// So many pipelines of so many tasks, that carry so many rows together.
pub(super) fn pipelines(
    count: usize,
    tasks: usize,
    rows: u64,
    seen: &Arc<Mutex<Seen>>,
) -> Vec<Task> {
    let start = Instant::now();
    let mut all: Vec<Task> = Vec::with_capacity(count * tasks);
    for _ in 0..count {
        let wakers: Vec<Waker> = (0..tasks).map(|_| Waker::default()).collect();
        let (out, mut incoming) = channel(&wakers, 0);
        let source = Source {
            out,
            left: rows / count as u64,
            start,
        };
        all.push((wakers[0].clone(), Box::new(source)));
        for at in 1..tasks - 1 {
            let (out, next) = channel(&wakers, at);
            let input = std::mem::replace(&mut incoming, next);
            let stage = Stage {
                input,
                out,
                ended: false,
            };
            all.push((wakers[at].clone(), Box::new(stage)));
        }
        let sink = Sink {
            input: incoming,
            start,
            own: Seen::default(),
            sum: 0,
            seen: Arc::clone(seen),
        };
        all.push((wakers[tasks - 1].clone(), Box::new(sink)));
    }
    all
}

fn channel(wakers: &[Waker], from: usize) -> (LocalSender<Row>, LocalReceiver<Row>) {
    local_channel(CHANNEL, wakers[from].clone(), wakers[from + 1].clone())
}

struct Source {
    out: LocalSender<Row>,
    left: u64,
    start: Instant,
}

impl Tasklet for Source {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        if !self.out.settle() {
            return Ok(Poll::Pending);
        }
        if self.left == 0 {
            return Ok(Poll::Done);
        }
        let mut batch = self.out.buffer(BATCH);
        let rows = self.left.min(BATCH as u64);
        // Never zero, which stands for no time.
        let now = nanos(self.start.elapsed()).max(1);
        for row in 0..rows {
            let value = mix(self.left - row);
            batch.push((value, if row == 0 { now } else { 0 }), NO_TIMESTAMP);
        }
        self.left -= rows;
        self.out.send(Message::Rows(batch));
        if self.left == 0 {
            self.out.send(Message::Control(Control::End));
        }
        Ok(Poll::Ready)
    }

    fn is_source(&self) -> bool {
        true
    }
}

struct Stage {
    input: LocalReceiver<Row>,
    out: LocalSender<Row>,
    ended: bool,
}

impl Stage {
    fn copy(&mut self, mut batch: Batch<Row>) {
        let mut copy = self.out.buffer(BATCH);
        for ((value, born), timestamp) in batch.drain() {
            copy.push((value ^ 1, born), timestamp);
        }
        self.input.recycle(batch);
        self.out.send(Message::Rows(copy));
    }
}

impl Tasklet for Stage {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        let begin = Instant::now();
        if !self.out.settle() {
            return Ok(Poll::Pending);
        }
        if self.ended {
            return Ok(Poll::Done);
        }
        for _ in 0..BATCHES_PER_POLL {
            match self.input.receive() {
                None => return Ok(Poll::Pending),
                Some(Message::Rows(batch)) => self.copy(batch),
                Some(Message::Control(control)) => {
                    self.ended |= control == Control::End;
                    self.out.send(Message::Control(control));
                }
            }
            if !self.out.settle() {
                return Ok(Poll::Pending);
            }
            if self.ended {
                return Ok(Poll::Done);
            }
            if begin.elapsed() >= TIME_SLICE {
                break;
            }
        }
        Ok(Poll::Ready)
    }
}

struct Sink {
    input: LocalReceiver<Row>,
    start: Instant,
    own: Seen,
    sum: u64,
    seen: Arc<Mutex<Seen>>,
}

impl Sink {
    fn take(&mut self, mut batch: Batch<Row>) {
        self.own.rows += batch.len() as u64;
        let now = nanos(self.start.elapsed());
        for ((value, born), _) in batch.drain() {
            self.sum ^= value;
            if born != 0 {
                self.own.latencies.push(now - born);
            }
        }
        self.input.recycle(batch);
    }

    fn finish(&mut self) {
        std::hint::black_box(self.sum);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.rows += self.own.rows;
        seen.latencies.append(&mut self.own.latencies);
    }
}

impl Tasklet for Sink {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        let begin = Instant::now();
        for _ in 0..BATCHES_PER_POLL {
            match self.input.receive() {
                None => return Ok(Poll::Pending),
                Some(Message::Rows(batch)) => self.take(batch),
                Some(Message::Control(Control::End)) => {
                    self.finish();
                    return Ok(Poll::Done);
                }
                Some(Message::Control(_)) => (),
            }
            if begin.elapsed() >= TIME_SLICE {
                break;
            }
        }
        Ok(Poll::Ready)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
