//! The task of a source: fills batches and drives the chain behind it.

use std::sync::Arc;
use std::time::Instant;

use flott_network::{Batch, Control, batch_rows};
use flott_operators::source::{Progress, Reader};
use flott_operators::{BatchSink, TaskCounters, TaskError};

use crate::pacer::{BufferTimeout, Pacer, Waiting};
use crate::scheduler::{Poll, Tasklet};

/// A reader in front of its chain.
pub struct SourceTask<R: Reader> {
    reader: R,
    head: Box<dyn BatchSink<R::Out>>,
    buffer: Batch<R::Out>,
    ended: bool,
    pacer: Pacer,
}

impl<R: Reader> SourceTask<R> {
    /// The reader in front of `head`.
    pub fn new(
        reader: R,
        head: Box<dyn BatchSink<R::Out>>,
        timeout: BufferTimeout,
        counters: Arc<TaskCounters>,
    ) -> Self {
        let buffer = Batch::with_capacity(batch_rows::<R::Out>());
        Self {
            reader,
            head,
            buffer,
            ended: false,
            pacer: Pacer::new(timeout, counters),
        }
    }

    fn run(&mut self) -> Result<(Poll, Waiting), TaskError> {
        if !self.head.settle()? {
            return Ok((Poll::Pending, Waiting::Backpressured));
        }
        if self.ended {
            return Ok((Poll::Done, Waiting::Idle));
        }
        let progress = self.reader.fill(&mut self.buffer)?;
        if !self.buffer.is_empty() {
            self.pacer.processed_rows();
            self.head.batch(&mut self.buffer)?;
            self.buffer.clear();
        }
        match progress {
            Progress::More => {
                if self.pacer.flush_is_due() {
                    self.head.flush()?;
                    self.pacer.flushed();
                }
                Ok((Poll::Ready, Waiting::Idle))
            }
            Progress::Pending => self.rest(),
            Progress::End => {
                self.ended = true;
                self.head.control(Control::Watermark(i64::MAX))?;
                self.head.control(Control::End)?;
                Ok((Poll::Ready, Waiting::Idle))
            }
        }
    }

    fn rest(&mut self) -> Result<(Poll, Waiting), TaskError> {
        match self.pacer.idle_flush_at() {
            None => Ok((Poll::Pending, Waiting::Idle)),
            Some(at) if at > Instant::now() => Ok((Poll::PendingUntil(at), Waiting::Idle)),
            Some(_) => {
                self.head.flush()?;
                self.pacer.flushed();
                Ok((Poll::Pending, Waiting::Idle))
            }
        }
    }
}

impl<R: Reader> Tasklet for SourceTask<R> {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        self.pacer.begin();
        let (poll, waiting) = self.run()?;
        self.pacer.end(waiting);
        Ok(poll)
    }

    fn is_source(&self) -> bool {
        true
    }
}
