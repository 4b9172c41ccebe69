//! A fused run at its place in a chain: in front of another link, or ending in an exchange.

use std::collections::VecDeque;
use std::sync::Arc;

use flott_network::{Batch, Control, NO_TIMESTAMP};
use flott_record::{Data, Record};

use super::{Pipe, RunCounts};
use crate::blame::Site;
use crate::{BatchSink, Collect, Output, SubtaskContext, TaskError};

/// A run with what it needs to stop in the middle of a batch.
struct Run<P: Pipe<In>, In> {
    pipe: P,
    state: P::State,
    site: Site,
    /// Rows behind an expansion that waits for room.
    rest: VecDeque<(In, i64)>,
    counts: Arc<RunCounts>,
}

impl<In: Data, P: Pipe<In>> Run<P, In> {
    fn new(pipe: P, context: &SubtaskContext) -> Self {
        Self {
            pipe,
            state: P::State::default(),
            site: context.site(),
            rest: VecDeque::new(),
            counts: Arc::clone(&context.run),
        }
    }

    #[inline(always)]
    fn feed<C: Collect<P::Out>>(&mut self, batch: &mut Batch<In>, out: &mut C) {
        self.pass(batch, out);
        self.publish();
    }

    #[inline(always)]
    fn pass<C: Collect<P::Out>>(&mut self, batch: &mut Batch<In>, out: &mut C) {
        if batch.timestamps.is_empty() && self.rest.is_empty() {
            // The same without event time: the constant is worth as much as a cheap operator.
            batch.hashes.clear();
            let mut rows = batch.rows.drain(..);
            let mut scope = self.site.scope();
            for row in rows.by_ref() {
                scope.next();
                self.pipe.each(&mut self.state, row, NO_TIMESTAMP, out);
                if out.is_full() && (P::is_parked(&self.state) || out.has_failed()) {
                    break;
                }
            }
            self.rest.extend(rows.map(|row| (row, NO_TIMESTAMP)));
            return;
        }
        let mut rows = batch.drain();
        if self.rest.is_empty() {
            let mut scope = self.site.scope();
            for (row, timestamp) in rows.by_ref() {
                scope.next();
                self.pipe.each(&mut self.state, row, timestamp, out);
                if out.is_full() && (P::is_parked(&self.state) || out.has_failed()) {
                    break;
                }
            }
        }
        self.rest.extend(rows);
    }

    /// Goes on with what waits for room, until nothing does or there is none.
    fn resume<C: Collect<P::Out>>(&mut self, out: &mut C) {
        self.go_on(out);
        self.publish();
    }

    fn go_on<C: Collect<P::Out>>(&mut self, out: &mut C) {
        let mut scope = self.site.scope();
        loop {
            if P::is_parked(&self.state) {
                self.pipe.resume(&mut self.state, out);
                if P::is_parked(&self.state) {
                    return;
                }
            }
            if out.is_full() && !self.rest.is_empty() {
                return;
            }
            let Some((row, timestamp)) = self.rest.pop_front() else {
                return;
            };
            scope.next();
            self.pipe.each(&mut self.state, row, timestamp, out);
        }
    }

    // Apart from the loop over the rows, which needs the registers.
    #[inline(never)]
    fn publish(&self) {
        let entered = self.site.records();
        self.counts.publish::<In, P>(&self.state, entered);
    }

    fn is_idle(&self) -> bool {
        self.rest.is_empty() && !P::is_parked(&self.state)
    }
}

/// A run in front of the rest of a chain.
pub struct PipeLink<P: Pipe<In>, In> {
    run: Run<P, In>,
    output: Output<P::Out>,
}

impl<In: Data, P: Pipe<In>> PipeLink<P, In> {
    /// The run, followed by `output`.
    pub fn new(pipe: P, output: Output<P::Out>, context: &SubtaskContext) -> Self {
        Self {
            run: Run::new(pipe, context),
            output,
        }
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        let result = self.output.hand_on();
        result.map_err(|error| self.run.site.locate(error))
    }
}

impl<In: Data, P: Pipe<In>> BatchSink<In> for PipeLink<P, In> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        self.run.feed(batch, &mut self.output);
        self.finish()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.output.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        loop {
            if !self.output.settle()? {
                return Ok(false);
            }
            if self.run.is_idle() {
                return Ok(true);
            }
            self.run.resume(&mut self.output);
            self.finish()?;
        }
    }
}

/// The writing end of an exchange, as a fused run sees it: it collects rows directly.
pub trait Writer<T>: Collect<T> + Send {
    /// An error met while collecting, if any; asked once per batch.
    fn check(&mut self) -> Result<(), TaskError>;
    /// Sends a control element to every target.
    fn control(&mut self, control: Control) -> Result<(), TaskError>;
    /// Sends what is buffered on its way.
    fn flush(&mut self) -> Result<(), TaskError>;
    /// Whether there is room for another batch.
    fn settle(&mut self) -> Result<bool, TaskError>;
}

/// A run that ends directly in the buffers of an exchange: no batch in between.
pub struct PipeTo<P: Pipe<In>, In, W> {
    run: Run<P, In>,
    writer: W,
}

impl<In: Record, P: Pipe<In>, W: Writer<P::Out>> PipeTo<P, In, W> {
    /// The run, followed by the writer.
    pub fn new(pipe: P, writer: W, context: &SubtaskContext) -> Self {
        Self {
            run: Run::new(pipe, context),
            writer,
        }
    }

    fn check(&mut self) -> Result<(), TaskError> {
        let result = self.writer.check();
        result.map_err(|error| self.run.site.locate(error))
    }
}

impl<In: Record, P: Pipe<In>, W: Writer<P::Out>> BatchSink<In> for PipeTo<P, In, W> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        self.run.feed(batch, &mut self.writer);
        self.check()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.writer.control(control)
    }

    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.writer.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        loop {
            if !self.writer.settle()? {
                return Ok(false);
            }
            if self.run.is_idle() {
                return Ok(true);
            }
            self.run.resume(&mut self.writer);
            self.check()?;
        }
    }
}
