//! The task of a source: fills batches and drives the chain behind it.

use std::sync::Arc;
use std::time::Instant;

use flott_network::{Batch, Control, batch_rows};
use flott_operators::source::{Progress, Reader};
use flott_operators::{BatchSink, TaskCounters, TaskError};

use crate::pacer::{BufferTimeout, Pacer, Waiting};
use crate::pieces::Pieces;
use crate::scheduler::{Poll, Tasklet};

/// A reader in front of its chain.
pub struct SourceTask<R: Reader> {
    reader: R,
    head: Box<dyn BatchSink<R::Out>>,
    pieces: Pieces<R::Out>,
    /// What the reader said when it filled what is in `pieces`.
    progress: Progress,
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
        Self {
            reader,
            head,
            pieces: Pieces::new(Batch::with_capacity(batch_rows::<R::Out>())),
            progress: Progress::More,
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
        if self.pieces.is_empty() {
            self.progress = self.reader.fill(self.pieces.batch())?;
        }
        if !self.pieces.is_empty() {
            self.pacer.processed_rows();
            self.pieces.feed(self.head.as_mut())?;
        }
        if !self.pieces.is_empty() {
            return self.go_on();
        }
        match self.progress {
            Progress::More => self.go_on(),
            Progress::Pending => self.rest(),
            Progress::End => {
                self.ended = true;
                self.head.control(Control::Watermark(i64::MAX))?;
                self.head.control(Control::End)?;
                Ok((Poll::Ready, Waiting::Idle))
            }
        }
    }

    fn go_on(&mut self) -> Result<(Poll, Waiting), TaskError> {
        if self.pacer.flush_is_due() {
            self.head.flush()?;
            self.pacer.flushed();
        }
        Ok((Poll::Ready, Waiting::Idle))
    }

    fn rest(&mut self) -> Result<(Poll, Waiting), TaskError> {
        match self.pacer.idle_flush_at() {
            None => Ok((Poll::Pending, Waiting::Idle)),
            Some(at) if at > Instant::now() => Ok((Poll::PendingUntil(at), Waiting::Idle)),
            Some(_) => {
                self.head.flush()?;
                self.pacer.flushed();
                // What did not fit must be announced, or nobody wakes this task when there is room.
                let waiting = if self.head.settle()? {
                    Waiting::Idle
                } else {
                    Waiting::Backpressured
                };
                Ok((Poll::Pending, waiting))
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use flott_network::{Message, NO_TIMESTAMP, Wake, Waker, local_channel};
    use flott_operators::pipe::{Identity, PipeTo};

    use super::*;
    use crate::exchange::{ExchangeWriter, FirstRouter, OutputHalf, Ports};

    /// Rows by fill; then nothing, for the time being.
    struct Bursts(VecDeque<u64>);

    impl Reader for Bursts {
        type Out = u64;

        fn fill(&mut self, out: &mut Batch<u64>) -> Result<Progress, TaskError> {
            let Some(rows) = self.0.pop_front() else {
                return Ok(Progress::Pending);
            };
            (0..rows).for_each(|row| out.push(row, NO_TIMESTAMP));
            Ok(Progress::Pending)
        }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_source_that_waits_is_woken_for_what_did_not_fit() {
        let (own, woken) = (Waker::default(), Arc::new(Woken::default()));
        own.bind(Arc::clone(&woken) as Arc<dyn Wake>);
        let (sender, mut receiver) = local_channel::<u64>(1, own, Waker::default());
        let ports = Ports::new(vec![OutputHalf::Local(Box::new(sender))]);
        let writer = ExchangeWriter::new(ports, FirstRouter, Arc::default());
        // A full batch fills the ring; the rest is flushed when the source rests.
        let full = batch_rows::<u64>() as u64;
        let mut task = SourceTask::new(
            Bursts(VecDeque::from([full + 1])),
            Box::new(PipeTo::new(Identity, writer)),
            BufferTimeout::After(Duration::from_secs(3_600)),
            Arc::default(),
        );
        // It rests for a millisecond before it flushes.
        while task.poll().unwrap() != Poll::Pending {}
        assert!(matches!(receiver.receive(), Some(Message::Rows(_))));
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            1,
            "there is room for the last row"
        );
        let _ = task.poll().unwrap();
        let Some(Message::Rows(last)) = receiver.receive() else {
            panic!("the last row stays behind");
        };
        assert_eq!(last.rows, [full]);
    }
}
