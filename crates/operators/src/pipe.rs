//! Stateless operators, fused at compile time: all calls per row are static and inlined, the
//! dynamic call happens once per batch at either end.

mod filter;
mod flat_map;
mod map;

pub use filter::Filter;
pub use flat_map::FlatMap;
pub use map::Map;

use std::marker::PhantomData;

use flott_network::{Batch, Control, batch_rows};
use flott_record::Data;

use crate::{BatchSink, Collect, TaskError};

/// A run of stateless operators: `In` enters, `Out` leaves. Cloned once per subtask.
pub trait Pipe<In>: Clone + Send + Sync + 'static {
    /// What leaves.
    type Out: Data;

    /// Processes one row.
    fn each<C: Collect<Self::Out>>(&mut self, row: In, timestamp: i64, out: &mut C);
}

/// The empty run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl<T: Data> Pipe<T> for Identity {
    type Out = T;

    #[inline(always)]
    fn each<C: Collect<T>>(&mut self, row: T, timestamp: i64, out: &mut C) {
        out.collect(row, timestamp);
    }
}

/// A run whose last operator can be taken off, to give it settings of its own.
pub trait Detach<In>: Pipe<In> {
    /// What is before the last operator.
    type Before: Pipe<In, Out = Self::Between>;
    /// What flows between the two.
    type Between: Data;
    /// The last operator alone.
    type Last: Pipe<Self::Between, Out = Self::Out>;

    /// Takes the last operator off.
    fn detach(self) -> (Self::Before, Self::Last);
}

/// An empty run has no last operator: what is set then belongs to the operator before the run.
impl<T: Data> Detach<T> for Identity {
    type Before = Identity;
    type Between = T;
    type Last = Identity;

    fn detach(self) -> (Identity, Identity) {
        (Identity, Identity)
    }
}

/// A run in front of the rest of a chain.
pub struct PipeLink<P, In, Out> {
    pipe: P,
    buffer: Batch<Out>,
    next: Box<dyn BatchSink<Out>>,
    input: PhantomData<fn(In)>,
}

impl<In: Data, P: Pipe<In>> PipeLink<P, In, P::Out> {
    /// The run, followed by `next`.
    pub fn new(pipe: P, next: Box<dyn BatchSink<P::Out>>) -> Self {
        let buffer = Batch::with_capacity(batch_rows::<P::Out>());
        Self {
            pipe,
            buffer,
            next,
            input: PhantomData,
        }
    }
}

/// Fills a batch and hands it on when it is full.
struct Into<'a, T> {
    buffer: &'a mut Batch<T>,
    next: &'a mut dyn BatchSink<T>,
    result: Result<(), TaskError>,
}

impl<T: Data> Collect<T> for Into<'_, T> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        self.buffer.push(row, timestamp);
        if self.buffer.len() >= batch_rows::<T>() {
            self.hand_on();
        }
    }
}

impl<T: Data> Into<'_, T> {
    #[inline(never)]
    fn hand_on(&mut self) {
        if self.result.is_ok() {
            self.result = self.next.batch(self.buffer);
        }
        self.buffer.clear();
    }
}

impl<In: Data, P: Pipe<In>> BatchSink<In> for PipeLink<P, In, P::Out> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        let mut out = Into {
            buffer: &mut self.buffer,
            next: self.next.as_mut(),
            result: Ok(()),
        };
        for (row, timestamp) in batch.drain() {
            self.pipe.each(row, timestamp, &mut out);
        }
        if !out.buffer.is_empty() {
            out.hand_on();
        }
        out.result
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.next.control(control)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.next.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.next.settle()
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
pub struct PipeTo<P, In, W> {
    pipe: P,
    writer: W,
    input: PhantomData<fn(In)>,
}

impl<In: Data, P: Pipe<In>, W: Writer<P::Out>> PipeTo<P, In, W> {
    /// The run, followed by the writer.
    pub fn new(pipe: P, writer: W) -> Self {
        Self {
            pipe,
            writer,
            input: PhantomData,
        }
    }
}

impl<In: Data, P: Pipe<In>, W: Writer<P::Out>> BatchSink<In> for PipeTo<P, In, W> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        for (row, timestamp) in batch.drain() {
            self.pipe.each(row, timestamp, &mut self.writer);
        }
        self.writer.check()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.writer.control(control)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.writer.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.writer.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::Keep;

    #[test]
    fn a_fused_run_equals_its_parts() {
        let keep = Keep::default();
        let pipe = Filter::new(
            Map::new(
                FlatMap::new(Identity, |text: String| {
                    text.split(' ').map(str::to_owned).collect::<Vec<_>>()
                }),
                |word: String| word.len(),
            ),
            |length: &usize| *length > 1,
        );
        let mut link = PipeLink::new(pipe, Box::new(keep.clone()));
        let mut batch = Batch::default();
        for at in 0..10_000 {
            batch.push("a bb ccc".to_owned(), at);
        }
        link.batch(&mut batch).unwrap();
        assert_eq!(keep.rows().len(), 20_000);
        assert_eq!(keep.0.lock().unwrap()[19_999], (3, 9_999));
    }

    #[test]
    fn the_last_operator_can_be_detached() {
        let pipe = Map::new(Map::new(Identity, |x: i64| x + 1), |x: i64| x * 10);
        let (mut before, mut last) = pipe.detach();
        let mut between = Vec::new();
        before.each(1, 5, &mut Push(&mut between));
        let mut out = Vec::new();
        last.each(between[0], 5, &mut Push(&mut out));
        assert_eq!(out, [20]);
    }

    struct Push<'a>(&'a mut Vec<i64>);
    impl Collect<i64> for Push<'_> {
        fn collect(&mut self, row: i64, _: i64) {
            self.0.push(row);
        }
    }
}
