//! A fused run at its place in a chain: in front of another link, or ending in an exchange.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::vec::Drain;

use flott_network::{Batch, Control, NO_TIMESTAMP};
use flott_record::{Data, Record};

use super::{Pipe, RunCounts};
use crate::blame::{Records, Site};
use crate::{BatchSink, Collect, Output, SubtaskContext, TaskError};

/// The functions of a run and what they keep between calls.
struct Code<P: Pipe<In>, In> {
    pipe: P,
    state: P::State,
}

impl<In, P: Pipe<In>> Code<P, In> {
    #[inline(always)]
    fn each<C: Collect<P::Out>>(&mut self, row: In, timestamp: i64, out: &mut C) {
        self.pipe.each(&mut self.state, row, timestamp, out);
    }

    /// The row that a row becomes.
    #[inline(always)]
    fn one(&mut self, row: In) -> P::Out {
        let mut slot = Slot(None);
        self.each(row, NO_TIMESTAMP, &mut slot);
        slot.0
            .expect("a run that is one to one gives a row for each row")
    }
}

/// Where [`Code::one`] finds its row.
struct Slot<T>(Option<T>);

impl<T> Collect<T> for Slot<T> {
    #[inline(always)]
    fn collect(&mut self, row: T, _: i64) {
        self.0 = Some(row);
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        false
    }

    fn fail(&mut self, _: TaskError) {}

    fn has_failed(&self) -> bool {
        false
    }
}

/// What a run that is one to one makes of rows.
struct Results<'a, 's, 'r, P: Pipe<In>, In> {
    rows: &'a mut Drain<'r, In>,
    code: &'a mut Code<P, In>,
    records: &'a mut Records<'s>,
}

impl<In, P: Pipe<In>> Iterator for Results<'_, '_, '_, P, In> {
    type Item = P::Out;

    #[inline(always)]
    fn next(&mut self) -> Option<P::Out> {
        let row = self.rows.next()?;
        self.records.next();
        Some(self.code.one(row))
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl<In, P: Pipe<In>> ExactSizeIterator for Results<'_, '_, '_, P, In> {}

/// Something that belongs to the task, on the stack for as long as a batch takes. The compiler then
/// keeps the counters of the user's closures in registers, which it cannot behind a pointer: another
/// pointer might lead to the same place. It goes back whatever happens.
struct Lent<'a, T> {
    home: &'a mut Option<T>,
    /// Its destructor never runs here.
    value: Option<ManuallyDrop<T>>,
}

impl<'a, T> Lent<'a, T> {
    #[inline(always)]
    fn new(home: &'a mut Option<T>) -> Self {
        let value = home.take().map(ManuallyDrop::new);
        Self { home, value }
    }

    #[inline(always)]
    fn get(&mut self) -> &mut T {
        self.value.as_mut().expect("it goes back at the end only")
    }
}

impl<T> Drop for Lent<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            let empty = self.home.replace(ManuallyDrop::into_inner(value));
            std::mem::forget(empty);
        }
    }
}

/// A run with what it needs to stop in the middle of a batch.
struct Run<P: Pipe<In>, In> {
    /// Always there between two calls.
    code: Option<Code<P, In>>,
    site: Site,
    /// Rows behind an expansion that waits for room.
    rest: VecDeque<(In, i64)>,
    counts: Arc<RunCounts>,
}

impl<In: Data, P: Pipe<In>> Run<P, In> {
    fn new(pipe: P, context: &SubtaskContext) -> Self {
        Self {
            code: Some(Code {
                pipe,
                state: P::State::default(),
            }),
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
        let mut lent = Lent::new(&mut self.code);
        let code = lent.get();
        if P::ONE_TO_ONE && self.rest.is_empty() {
            let mut records = self.site.records();
            let mut rows = batch.rows.drain(..);
            let mut results = Results {
                rows: &mut rows,
                code,
                records: &mut records,
            };
            out.collect_all(&mut results, &batch.timestamps);
            records.end();
            drop(rows);
            batch.clear();
            return;
        }
        if batch.timestamps.is_empty() && self.rest.is_empty() {
            // The same without event time: the constant is worth as much as a cheap operator.
            batch.hashes.clear();
            let mut rows = batch.rows.drain(..);
            let mut scope = self.site.scope();
            for row in rows.by_ref() {
                scope.next();
                code.each(row, NO_TIMESTAMP, out);
                if out.is_full() && (P::is_parked(&code.state) || out.has_failed()) {
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
                code.each(row, timestamp, out);
                if out.is_full() && (P::is_parked(&code.state) || out.has_failed()) {
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
        let mut lent = Lent::new(&mut self.code);
        let code = lent.get();
        loop {
            if P::is_parked(&code.state) {
                code.pipe.resume(&mut code.state, out);
                if P::is_parked(&code.state) {
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
            code.each(row, timestamp, out);
        }
    }

    // Apart from the loop over the rows, which needs the registers.
    #[inline(never)]
    fn publish(&self) {
        if let Some(code) = &self.code {
            let entered = self.site.count();
            self.counts.publish::<In, P>(&code.state, entered);
        }
    }

    fn take_back(&mut self, batch: &mut Batch<In>) {
        if self.rest.is_empty() {
            return;
        }
        let mut all = Batch::with_capacity(self.rest.len() + batch.len());
        for (row, timestamp) in self.rest.drain(..).chain(batch.drain()) {
            all.push(row, timestamp);
        }
        *batch = all;
    }

    fn is_idle(&self) -> bool {
        let parked = |code: &Code<P, In>| P::is_parked(&code.state);
        self.rest.is_empty() && !self.code.as_ref().is_some_and(parked)
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

    fn take_back(&mut self, batch: &mut Batch<In>) {
        self.run.take_back(batch);
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

    fn take_back(&mut self, batch: &mut Batch<In>) {
        self.run.take_back(batch);
    }
}
