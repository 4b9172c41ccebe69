//! One row in, any number out. An expansion that finds no room downstream is parked and goes on
//! later, so that a row that becomes millions of rows needs no more memory than any other.

use std::collections::VecDeque;
use std::fmt::Display;

use flott_record::Data;

use super::{Detach, Identity, Pipe, Report};
use crate::blame::Function;
use crate::{Collect, TaskError};

/// What a flat map keeps between calls.
pub struct Expansion<S, I> {
    before: S,
    /// Iterators that are not at their end, with the event time of their row, oldest first.
    parked: VecDeque<(I, i64)>,
    emitted: u64,
}

impl<S: Default, I> Default for Expansion<S, I> {
    fn default() -> Self {
        Self {
            before: S::default(),
            parked: VecDeque::new(),
            emitted: 0,
        }
    }
}

struct Expand<'a, F, I, C> {
    function: &'a mut F,
    parked: &'a mut VecDeque<(I, i64)>,
    emitted: &'a mut u64,
    out: &'a mut C,
    index: u32,
}

impl<F, I: Iterator, C: Collect<I::Item>> Expand<'_, F, I, C> {
    /// Emits until the end or until there is no room. Whether the end was reached.
    #[inline(always)]
    fn run(&mut self, iterator: &mut I, timestamp: i64) -> bool {
        loop {
            let function = Function::enter(self.index);
            let item = iterator.next();
            function.leave();
            let Some(item) = item else {
                return true;
            };
            *self.emitted += 1;
            self.out.collect(item, timestamp);
            if self.out.is_full() {
                return false;
            }
        }
    }

    #[inline(always)]
    fn expand(&mut self, mut iterator: I, timestamp: i64) {
        // Whoever cannot stop sends more while there is no room: in order behind what is parked.
        if !self.parked.is_empty() || !self.run(&mut iterator, timestamp) {
            self.parked.push_back((iterator, timestamp));
        }
    }

    fn resume(&mut self) {
        while let Some((mut iterator, timestamp)) = self.parked.pop_front() {
            if !self.run(&mut iterator, timestamp) {
                self.parked.push_front((iterator, timestamp));
                return;
            }
        }
    }
}

/// Replaces each row by the items of an iterator.
#[derive(Clone)]
pub struct FlatMap<P, F> {
    before: P,
    function: F,
}

impl<P, F> FlatMap<P, F> {
    /// `function` after `before`.
    pub fn new(before: P, function: F) -> Self {
        Self { before, function }
    }
}

impl<T, I: IntoIterator, F: FnMut(T) -> I, C: Collect<I::Item>> Collect<T>
    for Expand<'_, F, I::IntoIter, C>
{
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.index);
        let iterator = (self.function)(row).into_iter();
        function.leave();
        self.expand(iterator, timestamp);
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        !self.parked.is_empty() || self.out.is_full()
    }

    fn fail(&mut self, error: TaskError) {
        self.out.fail(error);
    }

    fn has_failed(&self) -> bool {
        self.out.has_failed()
    }
}

impl<In, I, P, F> Pipe<In> for FlatMap<P, F>
where
    I: IntoIterator,
    I::Item: Data,
    I::IntoIter: Send + 'static,
    P: Pipe<In>,
    F: FnMut(P::Out) -> I + Clone + Send + Sync + 'static,
{
    type Out = I::Item;
    type State = Expansion<P::State, I::IntoIter>;
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = false;

    #[inline(always)]
    fn each<C: Collect<I::Item>>(
        &mut self,
        state: &mut Self::State,
        row: In,
        timestamp: i64,
        out: &mut C,
    ) {
        let mut expand = Expand {
            function: &mut self.function,
            parked: &mut state.parked,
            emitted: &mut state.emitted,
            out,
            index: Self::OPERATORS,
        };
        self.before
            .each(&mut state.before, row, timestamp, &mut expand);
    }

    fn resume<C: Collect<I::Item>>(&mut self, state: &mut Self::State, out: &mut C) {
        let mut expand = Expand {
            function: &mut self.function,
            parked: &mut state.parked,
            emitted: &mut state.emitted,
            out,
            index: Self::OPERATORS,
        };
        expand.resume();
        if expand.parked.is_empty() && !expand.out.is_full() {
            self.before.resume(&mut state.before, &mut expand);
        }
    }

    fn is_parked(state: &Self::State) -> bool {
        !state.parked.is_empty() || P::is_parked(&state.before)
    }

    fn report(state: &Self::State, rows: u64, report: Report<'_>) -> u64 {
        P::report(&state.before, rows, report);
        report(Self::OPERATORS, state.emitted);
        state.emitted
    }
}

impl<In, I, P, F> Detach<In> for FlatMap<P, F>
where
    I: IntoIterator,
    I::Item: Data,
    I::IntoIter: Send + 'static,
    P: Pipe<In>,
    F: FnMut(P::Out) -> I + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = FlatMap<Identity, F>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, FlatMap::new(Identity, self.function))
    }
}

/// Replaces each row by the items of an iterator that a function may fail to make.
#[derive(Clone)]
pub struct TryFlatMap<P, F> {
    before: P,
    function: F,
}

impl<P, F> TryFlatMap<P, F> {
    /// `function` after `before`.
    pub fn new(before: P, function: F) -> Self {
        Self { before, function }
    }
}

/// Makes iterators by a function that may fail.
struct TryExpand<'a, F, I, C>(Expand<'a, F, I, C>);

impl<T, I: IntoIterator, E: Display, F: FnMut(T) -> Result<I, E>, C: Collect<I::Item>> Collect<T>
    for TryExpand<'_, F, I::IntoIter, C>
{
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.0.index);
        let made = (self.0.function)(row);
        function.leave();
        match made {
            Ok(items) => self.0.expand(items.into_iter(), timestamp),
            Err(error) => {
                let error = TaskError::of_function(self.0.index, &error);
                self.0.out.fail(error);
            }
        }
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        !self.0.parked.is_empty() || self.0.out.is_full()
    }

    fn fail(&mut self, error: TaskError) {
        self.0.out.fail(error);
    }

    fn has_failed(&self) -> bool {
        self.0.out.has_failed()
    }
}

impl<In, I, E, P, F> Pipe<In> for TryFlatMap<P, F>
where
    I: IntoIterator,
    I::Item: Data,
    I::IntoIter: Send + 'static,
    E: Display,
    P: Pipe<In>,
    F: FnMut(P::Out) -> Result<I, E> + Clone + Send + Sync + 'static,
{
    type Out = I::Item;
    type State = Expansion<P::State, I::IntoIter>;
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = false;

    #[inline(always)]
    fn each<C: Collect<I::Item>>(
        &mut self,
        state: &mut Self::State,
        row: In,
        timestamp: i64,
        out: &mut C,
    ) {
        let mut expand = TryExpand(Expand {
            function: &mut self.function,
            parked: &mut state.parked,
            emitted: &mut state.emitted,
            out,
            index: Self::OPERATORS,
        });
        self.before
            .each(&mut state.before, row, timestamp, &mut expand);
    }

    fn resume<C: Collect<I::Item>>(&mut self, state: &mut Self::State, out: &mut C) {
        let mut expand = TryExpand(Expand {
            function: &mut self.function,
            parked: &mut state.parked,
            emitted: &mut state.emitted,
            out,
            index: Self::OPERATORS,
        });
        expand.0.resume();
        if expand.0.parked.is_empty() && !expand.0.out.is_full() {
            self.before.resume(&mut state.before, &mut expand);
        }
    }

    fn is_parked(state: &Self::State) -> bool {
        !state.parked.is_empty() || P::is_parked(&state.before)
    }

    fn report(state: &Self::State, rows: u64, report: Report<'_>) -> u64 {
        P::report(&state.before, rows, report);
        report(Self::OPERATORS, state.emitted);
        state.emitted
    }
}

impl<In, I, E, P, F> Detach<In> for TryFlatMap<P, F>
where
    I: IntoIterator,
    I::Item: Data,
    I::IntoIter: Send + 'static,
    E: Display,
    P: Pipe<In>,
    F: FnMut(P::Out) -> Result<I, E> + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = TryFlatMap<Identity, F>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, TryFlatMap::new(Identity, self.function))
    }
}
