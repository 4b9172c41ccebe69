//! The input side of a task: merges channels, aligns barriers, tracks the watermark, and drives the
//! chain behind it.

use std::sync::Arc;
use std::time::Instant;

use flott_network::{
    Batch, Control, DataFrame, LocalReceiver, Message, RemoteMessage, RemoteReceiver,
};
use flott_operators::{BatchSink, TaskCounters, TaskError};
use flott_record::{Record, codec};

use super::{InputHalf, unbox};
use crate::pacer::{BufferTimeout, Pacer, Waiting};
use crate::pieces::Pieces;
use crate::scheduler::{Poll, Tasklet};

/// Batches per poll, at most.
const BATCHES_PER_POLL: u32 = 16;

/// One incoming channel.
pub enum InputChannel<T> {
    /// From a task of this process.
    Local(LocalReceiver<T>),
    /// From a task of another process.
    Remote(RemoteReceiver),
}

impl<T: 'static> InputChannel<T> {
    /// The typed channel of a half.
    pub fn new(half: InputHalf) -> Self {
        match half {
            InputHalf::Local(boxed) => Self::Local(unbox(boxed)),
            InputHalf::Remote(receiver) => Self::Remote(receiver),
        }
    }
}

struct Input<T> {
    channel: InputChannel<T>,
    ended: bool,
    /// Its barrier has come, those of others have not.
    blocked: bool,
    watermark: i64,
}

enum Received<T> {
    Rows(Batch<T>),
    Bytes(DataFrame),
    Control(Control),
}

/// Merges the channels of a task in front of its chain.
pub struct Gate<T> {
    inputs: Vec<Input<T>>,
    head: Box<dyn BatchSink<T>>,
    next: usize,
    live: usize,
    blocked: usize,
    barrier: u64,
    watermark: i64,
    /// Rows that were received and not processed yet.
    pieces: Pieces<T>,
    /// The local channel that gets the emptied batch back.
    origin: Option<usize>,
    /// The gate's own batch, for rows from other processes, while a channel's is in `pieces`.
    own: Batch<T>,
    pacer: Pacer,
    counters: Arc<TaskCounters>,
}

impl<T: Record> Gate<T> {
    /// The channels in front of `head`.
    pub fn new(
        channels: Vec<InputChannel<T>>,
        head: Box<dyn BatchSink<T>>,
        timeout: BufferTimeout,
        counters: Arc<TaskCounters>,
    ) -> Self {
        let live = channels.len();
        let inputs = channels
            .into_iter()
            .map(|channel| Input {
                channel,
                ended: false,
                blocked: false,
                watermark: i64::MIN,
            })
            .collect();
        let pacer = Pacer::new(timeout, Arc::clone(&counters));
        Self {
            inputs,
            head,
            next: 0,
            live,
            blocked: 0,
            barrier: 0,
            watermark: i64::MIN,
            pieces: Pieces::new(Batch::default()),
            origin: None,
            own: Batch::default(),
            pacer,
            counters,
        }
    }

    /// The next element of any channel that may deliver, round robin.
    fn receive(&mut self) -> Result<Option<(usize, Received<T>)>, TaskError> {
        for _ in 0..self.inputs.len() {
            let index = self.next;
            self.next = if index + 1 == self.inputs.len() {
                0
            } else {
                index + 1
            };
            let input = &mut self.inputs[index];
            if input.blocked || input.ended {
                continue;
            }
            let received = match &mut input.channel {
                InputChannel::Local(receiver) => receiver.receive().map(|message| match message {
                    Message::Rows(batch) => Received::Rows(batch),
                    Message::Control(control) => Received::Control(control),
                }),
                InputChannel::Remote(receiver) => receiver
                    .receive()
                    .map_err(|error| TaskError::transient(format!("receiving failed: {error}")))?
                    .map(|message| match message {
                        RemoteMessage::Data(frame) => Received::Bytes(frame),
                        RemoteMessage::Control(control) => Received::Control(control),
                    }),
            };
            if let Some(received) = received {
                return Ok(Some((index, received)));
            }
        }
        Ok(None)
    }

    /// Takes what was received: control elements act at once, rows wait in `pieces`.
    fn take(&mut self, index: usize, received: Received<T>) -> Result<(), TaskError> {
        match received {
            Received::Rows(batch) => {
                TaskCounters::add(&self.counters.records_in, batch.len() as u64);
                self.own = std::mem::replace(self.pieces.batch(), batch);
                self.origin = Some(index);
                Ok(())
            }
            Received::Bytes(frame) => {
                let batch = self.pieces.batch();
                decode(&frame, batch)?;
                TaskCounters::add(&self.counters.records_in, batch.len() as u64);
                TaskCounters::add(&self.counters.bytes_in, frame.payload.len() as u64);
                if let InputChannel::Remote(receiver) = &mut self.inputs[index].channel {
                    receiver.recycle(frame.payload);
                }
                Ok(())
            }
            Received::Control(control) => self.control(index, control),
        }
    }

    /// Processes a piece of the rows that wait, if any do.
    fn process(&mut self) -> Result<(), TaskError> {
        if !self.pieces.is_empty() {
            self.pacer.processed_rows();
            self.pieces.feed(self.head.as_mut())?;
        }
        if self.pieces.is_empty()
            && let Some(index) = self.origin.take()
            && let InputChannel::Local(receiver) = &mut self.inputs[index].channel
        {
            let own = std::mem::take(&mut self.own);
            receiver.recycle(std::mem::replace(self.pieces.batch(), own));
        }
        Ok(())
    }

    fn control(&mut self, index: usize, control: Control) -> Result<(), TaskError> {
        match control {
            Control::Watermark(watermark) => {
                self.inputs[index].watermark = watermark;
                self.advance_watermark()
            }
            Control::Barrier(id) => {
                self.barrier = id;
                self.inputs[index].blocked = true;
                self.blocked += 1;
                self.align()
            }
            Control::End => {
                self.inputs[index].ended = true;
                self.live -= 1;
                // A channel that ends counts as aligned, or its peers' barrier would wait for ever.
                self.align()?;
                self.advance_watermark()?;
                if self.live == 0 {
                    self.head.control(Control::End)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn advance_watermark(&mut self) -> Result<(), TaskError> {
        let open = self.inputs.iter().filter(|input| !input.ended);
        let watermark = open.map(|input| input.watermark).min().unwrap_or(i64::MAX);
        if watermark > self.watermark {
            self.watermark = watermark;
            self.head.control(Control::Watermark(watermark))?;
        }
        Ok(())
    }

    fn align(&mut self) -> Result<(), TaskError> {
        if self.blocked == 0 || self.blocked < self.live {
            return Ok(());
        }
        self.blocked = 0;
        for input in &mut self.inputs {
            input.blocked = false;
        }
        self.head.control(Control::Barrier(self.barrier))
    }

    fn run(&mut self) -> Result<(Poll, Waiting), TaskError> {
        if !self.head.settle()? {
            return Ok((Poll::Pending, Waiting::Backpressured));
        }
        if self.live == 0 {
            return Ok((Poll::Done, Waiting::Idle));
        }
        for _ in 0..BATCHES_PER_POLL {
            if self.pieces.is_empty() {
                let Some((index, received)) = self.receive()? else {
                    return self.rest();
                };
                self.take(index, received)?;
            }
            self.process()?;
            if !self.head.settle()? {
                return Ok((Poll::Pending, Waiting::Backpressured));
            }
            if self.live == 0 {
                return Ok((Poll::Done, Waiting::Idle));
            }
            if self.pacer.slice_is_over() {
                break;
            }
        }
        if self.pacer.flush_is_due() {
            self.head.flush()?;
            self.pacer.flushed();
        }
        Ok((Poll::Ready, Waiting::Idle))
    }

    /// Nothing to read: flush now or soon.
    fn rest(&mut self) -> Result<(Poll, Waiting), TaskError> {
        let Some(at) = self.pacer.idle_flush_at() else {
            return Ok((Poll::Pending, Waiting::Idle));
        };
        if at > Instant::now() {
            return Ok((Poll::PendingUntil(at), Waiting::Idle));
        }
        self.head.flush()?;
        self.pacer.flushed();
        let waiting = if self.head.settle()? {
            Waiting::Idle
        } else {
            Waiting::Backpressured
        };
        Ok((Poll::Pending, waiting))
    }
}

impl<T: Record> Tasklet for Gate<T> {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        self.pacer.begin();
        let (poll, waiting) = self.run()?;
        self.pacer.end(waiting);
        Ok(poll)
    }
}

/// Decodes the rows of a frame, each after its event time if it has one.
fn decode<T: Record>(frame: &DataFrame, into: &mut Batch<T>) -> Result<(), TaskError> {
    let mut input = frame.payload.as_slice();
    let undecodable = |error: &dyn std::fmt::Display| {
        TaskError::user(format!("a record cannot be read: {error}"))
    };
    // A row of zero bytes is possible; memory is bounded by the frame's row count.
    into.rows.reserve(frame.rows as usize);
    for _ in 0..frame.rows {
        if frame.has_timestamps {
            let timestamp: i64 = codec::decode(&mut input).map_err(|error| undecodable(&error))?;
            into.timestamps.push(timestamp);
        }
        into.rows
            .push(codec::decode(&mut input).map_err(|error| undecodable(&error))?);
    }
    if input.is_empty() {
        Ok(())
    } else {
        Err(undecodable(&format!("{} bytes are left over", input.len())))
    }
}

#[cfg(test)]
mod tests;
