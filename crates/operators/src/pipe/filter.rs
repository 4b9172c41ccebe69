//! Keeps the rows a predicate accepts.

use std::fmt::Display;

use super::{Detach, Identity, Pipe, Report};
use crate::blame::Function;
use crate::{Collect, TaskError};

/// Keeps the rows for which a predicate holds.
#[derive(Clone)]
pub struct Filter<P, F> {
    before: P,
    predicate: F,
}

impl<P, F> Filter<P, F> {
    /// `predicate` after `before`.
    pub fn new(before: P, predicate: F) -> Self {
        Self { before, predicate }
    }
}

struct Test<'a, F, C> {
    predicate: &'a mut F,
    passed: &'a mut u64,
    out: &'a mut C,
    index: u32,
}

impl<T, F: FnMut(&T) -> bool, C: Collect<T>> Collect<T> for Test<'_, F, C> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.index);
        let keep = (self.predicate)(&row);
        function.leave();
        *self.passed += u64::from(keep);
        self.out.collect_if(row, timestamp, keep);
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

impl<In, P, F> Pipe<In> for Filter<P, F>
where
    P: Pipe<In>,
    F: FnMut(&P::Out) -> bool + Clone + Send + Sync + 'static,
{
    type Out = P::Out;
    /// How many passed.
    type State = (P::State, u64);
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = false;

    #[inline(always)]
    fn each<C: Collect<P::Out>>(
        &mut self,
        state: &mut Self::State,
        row: In,
        timestamp: i64,
        out: &mut C,
    ) {
        let mut test = Test {
            predicate: &mut self.predicate,
            passed: &mut state.1,
            out,
            index: Self::OPERATORS,
        };
        self.before.each(&mut state.0, row, timestamp, &mut test);
    }

    fn resume<C: Collect<P::Out>>(&mut self, state: &mut Self::State, out: &mut C) {
        let mut test = Test {
            predicate: &mut self.predicate,
            passed: &mut state.1,
            out,
            index: Self::OPERATORS,
        };
        self.before.resume(&mut state.0, &mut test);
    }

    fn is_parked(state: &Self::State) -> bool {
        P::is_parked(&state.0)
    }

    fn report(state: &Self::State, rows: u64, report: Report<'_>) -> u64 {
        P::report(&state.0, rows, report);
        report(Self::OPERATORS, state.1);
        state.1
    }
}

impl<In, P, F> Detach<In> for Filter<P, F>
where
    P: Pipe<In>,
    F: FnMut(&P::Out) -> bool + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = Filter<Identity, F>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, Filter::new(Identity, self.predicate))
    }
}

/// Keeps the rows for which a predicate that may fail holds: an error fails the task.
#[derive(Clone)]
pub struct TryFilter<P, F> {
    before: P,
    predicate: F,
}

impl<P, F> TryFilter<P, F> {
    /// `predicate` after `before`.
    pub fn new(before: P, predicate: F) -> Self {
        Self { before, predicate }
    }
}

struct TryTest<'a, F, C> {
    predicate: &'a mut F,
    passed: &'a mut u64,
    out: &'a mut C,
    index: u32,
}

impl<T, E: Display, F: FnMut(&T) -> Result<bool, E>, C: Collect<T>> Collect<T>
    for TryTest<'_, F, C>
{
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.index);
        let keep = (self.predicate)(&row);
        function.leave();
        match keep {
            Ok(true) => {
                *self.passed += 1;
                self.out.collect(row, timestamp);
            }
            Ok(false) => (),
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

impl<In, E, P, F> Pipe<In> for TryFilter<P, F>
where
    E: Display,
    P: Pipe<In>,
    F: FnMut(&P::Out) -> Result<bool, E> + Clone + Send + Sync + 'static,
{
    type Out = P::Out;
    /// How many passed.
    type State = (P::State, u64);
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = false;

    #[inline(always)]
    fn each<C: Collect<P::Out>>(
        &mut self,
        state: &mut Self::State,
        row: In,
        timestamp: i64,
        out: &mut C,
    ) {
        let mut test = TryTest {
            predicate: &mut self.predicate,
            passed: &mut state.1,
            out,
            index: Self::OPERATORS,
        };
        self.before.each(&mut state.0, row, timestamp, &mut test);
    }

    fn resume<C: Collect<P::Out>>(&mut self, state: &mut Self::State, out: &mut C) {
        let mut test = TryTest {
            predicate: &mut self.predicate,
            passed: &mut state.1,
            out,
            index: Self::OPERATORS,
        };
        self.before.resume(&mut state.0, &mut test);
    }

    fn is_parked(state: &Self::State) -> bool {
        P::is_parked(&state.0)
    }

    fn report(state: &Self::State, rows: u64, report: Report<'_>) -> u64 {
        P::report(&state.0, rows, report);
        report(Self::OPERATORS, state.1);
        state.1
    }
}

impl<In, E, P, F> Detach<In> for TryFilter<P, F>
where
    E: Display,
    P: Pipe<In>,
    F: FnMut(&P::Out) -> Result<bool, E> + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = TryFilter<Identity, F>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, TryFilter::new(Identity, self.predicate))
    }
}
