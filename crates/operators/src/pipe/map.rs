//! One row in, one row out.

use std::fmt::Display;

use flott_record::Data;

use super::{Detach, Identity, Pipe, Report};
use crate::blame::Function;
use crate::{Collect, TaskError};

/// Applies a function to each row.
#[derive(Clone)]
pub struct Map<P, F> {
    before: P,
    function: F,
}

impl<P, F> Map<P, F> {
    /// `function` after `before`.
    pub fn new(before: P, function: F) -> Self {
        Self { before, function }
    }
}

struct Apply<'a, F, C> {
    function: &'a mut F,
    out: &'a mut C,
    index: u32,
}

impl<T, U, F: FnMut(T) -> U, C: Collect<U>> Collect<T> for Apply<'_, F, C> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.index);
        let row = (self.function)(row);
        function.leave();
        self.out.collect(row, timestamp);
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.out.is_full()
    }

    fn fail(&mut self, error: TaskError) {
        self.out.fail(error);
    }

    fn has_failed(&self) -> bool {
        self.out.has_failed()
    }
}

impl<In, U, P, F> Pipe<In> for Map<P, F>
where
    U: Data,
    P: Pipe<In>,
    F: FnMut(P::Out) -> U + Clone + Send + Sync + 'static,
{
    type Out = U;
    type State = P::State;
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = P::ONE_TO_ONE;

    #[inline(always)]
    fn each<C: Collect<U>>(&mut self, state: &mut P::State, row: In, timestamp: i64, out: &mut C) {
        let mut apply = Apply {
            function: &mut self.function,
            out,
            index: Self::OPERATORS,
        };
        self.before.each(state, row, timestamp, &mut apply);
    }

    fn resume<C: Collect<U>>(&mut self, state: &mut P::State, out: &mut C) {
        let mut apply = Apply {
            function: &mut self.function,
            out,
            index: Self::OPERATORS,
        };
        self.before.resume(state, &mut apply);
    }

    fn is_parked(state: &P::State) -> bool {
        P::is_parked(state)
    }

    fn report(state: &P::State, rows: u64, report: Report<'_>) -> u64 {
        let rows = P::report(state, rows, report);
        report(Self::OPERATORS, rows);
        rows
    }
}

impl<In, U, P, F> Detach<In> for Map<P, F>
where
    U: Data,
    P: Pipe<In>,
    F: FnMut(P::Out) -> U + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = Map<Identity, F>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, Map::new(Identity, self.function))
    }
}

/// Applies a function that may fail to each row: an error fails the task.
#[derive(Clone)]
pub struct TryMap<P, F> {
    before: P,
    function: F,
}

impl<P, F> TryMap<P, F> {
    /// `function` after `before`.
    pub fn new(before: P, function: F) -> Self {
        Self { before, function }
    }
}

struct TryApply<'a, F, C> {
    function: &'a mut F,
    out: &'a mut C,
    index: u32,
}

impl<T, U, E: Display, F: FnMut(T) -> Result<U, E>, C: Collect<U>> Collect<T>
    for TryApply<'_, F, C>
{
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.index);
        let result = (self.function)(row);
        function.leave();
        match result {
            Ok(row) => self.out.collect(row, timestamp),
            Err(error) => self.out.fail(TaskError::of_function(self.index, &error)),
        }
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.out.is_full()
    }

    fn fail(&mut self, error: TaskError) {
        self.out.fail(error);
    }

    fn has_failed(&self) -> bool {
        self.out.has_failed()
    }
}

impl<In, U, E, P, F> Pipe<In> for TryMap<P, F>
where
    U: Data,
    E: Display,
    P: Pipe<In>,
    F: FnMut(P::Out) -> Result<U, E> + Clone + Send + Sync + 'static,
{
    type Out = U;
    type State = P::State;
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = false;

    #[inline(always)]
    fn each<C: Collect<U>>(&mut self, state: &mut P::State, row: In, timestamp: i64, out: &mut C) {
        let mut apply = TryApply {
            function: &mut self.function,
            out,
            index: Self::OPERATORS,
        };
        self.before.each(state, row, timestamp, &mut apply);
    }

    fn resume<C: Collect<U>>(&mut self, state: &mut P::State, out: &mut C) {
        let mut apply = TryApply {
            function: &mut self.function,
            out,
            index: Self::OPERATORS,
        };
        self.before.resume(state, &mut apply);
    }

    fn is_parked(state: &P::State) -> bool {
        P::is_parked(state)
    }

    fn report(state: &P::State, rows: u64, report: Report<'_>) -> u64 {
        let rows = P::report(state, rows, report);
        report(Self::OPERATORS, rows);
        rows
    }
}

impl<In, U, E, P, F> Detach<In> for TryMap<P, F>
where
    U: Data,
    E: Display,
    P: Pipe<In>,
    F: FnMut(P::Out) -> Result<U, E> + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = TryMap<Identity, F>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, TryMap::new(Identity, self.function))
    }
}
