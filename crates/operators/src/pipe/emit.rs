//! One row in, any number out through an emitter: the function may borrow from the row, and makes
//! no iterator.

use std::collections::VecDeque;
use std::fmt::Display;

use flott_record::Data;

use super::{Detach, Identity, Pipe, Report};
use crate::blame::Function;
use crate::{Collect, TaskError};

/// Where a function puts the rows it emits. They go on when the function returns.
pub struct Emitter<'a, U> {
    rows: &'a mut Vec<U>,
}

impl<U> Emitter<'_, U> {
    /// Emits one row, with the event time of the row being processed.
    #[inline(always)]
    pub fn emit(&mut self, row: U) {
        self.rows.push(row);
    }
}

/// What the operator keeps between calls.
pub struct Emission<S, U> {
    before: S,
    scratch: Vec<U>,
    /// Emitted rows for which there was no room yet.
    parked: VecDeque<(U, i64)>,
    emitted: u64,
}

impl<S: Default, U> Default for Emission<S, U> {
    fn default() -> Self {
        Self {
            before: S::default(),
            scratch: Vec::new(),
            parked: VecDeque::new(),
            emitted: 0,
        }
    }
}

/// Replaces each row by what a function emits for it; an error of the function fails the task.
pub struct FlatMapInto<P, F, U> {
    before: P,
    function: F,
    types: std::marker::PhantomData<fn() -> U>,
}

impl<P: Clone, F: Clone, U> Clone for FlatMapInto<P, F, U> {
    fn clone(&self) -> Self {
        Self::new(self.before.clone(), self.function.clone())
    }
}

impl<P, F, U> FlatMapInto<P, F, U> {
    /// `function` after `before`.
    pub fn new(before: P, function: F) -> Self {
        Self {
            before,
            function,
            types: std::marker::PhantomData,
        }
    }
}

struct Emit<'a, F, U, C> {
    function: &'a mut F,
    scratch: &'a mut Vec<U>,
    parked: &'a mut VecDeque<(U, i64)>,
    emitted: &'a mut u64,
    out: &'a mut C,
    index: u32,
}

impl<F, U, C: Collect<U>> Emit<'_, F, U, C> {
    fn resume(&mut self) {
        while !self.out.is_full()
            && let Some((row, timestamp)) = self.parked.pop_front()
        {
            self.out.collect(row, timestamp);
        }
    }
}

impl<T, U, E, F, C> Collect<T> for Emit<'_, F, U, C>
where
    E: Display,
    F: FnMut(T, &mut Emitter<'_, U>) -> Result<(), E>,
    C: Collect<U>,
{
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        let function = Function::enter(self.index);
        let result = (self.function)(row, &mut Emitter { rows: self.scratch });
        function.leave();
        if let Err(error) = result {
            self.out.fail(TaskError::of_function(self.index, &error));
        }
        *self.emitted += self.scratch.len() as u64;
        let mut rows = self.scratch.drain(..);
        while self.parked.is_empty() && !self.out.is_full() {
            let Some(row) = rows.next() else { return };
            self.out.collect(row, timestamp);
        }
        self.parked.extend(rows.map(|row| (row, timestamp)));
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

impl<In, U, E, P, F> Pipe<In> for FlatMapInto<P, F, U>
where
    U: Data,
    E: Display,
    P: Pipe<In>,
    F: FnMut(P::Out, &mut Emitter<'_, U>) -> Result<(), E> + Clone + Send + Sync + 'static,
{
    type Out = U;
    type State = Emission<P::State, U>;
    const OPERATORS: u32 = P::OPERATORS + 1;
    const ONE_TO_ONE: bool = false;

    #[inline(always)]
    fn each<C: Collect<U>>(
        &mut self,
        state: &mut Self::State,
        row: In,
        timestamp: i64,
        out: &mut C,
    ) {
        let mut emit = Emit {
            function: &mut self.function,
            scratch: &mut state.scratch,
            parked: &mut state.parked,
            emitted: &mut state.emitted,
            out,
            index: Self::OPERATORS,
        };
        self.before
            .each(&mut state.before, row, timestamp, &mut emit);
    }

    fn resume<C: Collect<U>>(&mut self, state: &mut Self::State, out: &mut C) {
        let mut emit = Emit {
            function: &mut self.function,
            scratch: &mut state.scratch,
            parked: &mut state.parked,
            emitted: &mut state.emitted,
            out,
            index: Self::OPERATORS,
        };
        emit.resume();
        if emit.parked.is_empty() && !emit.out.is_full() {
            self.before.resume(&mut state.before, &mut emit);
        }
    }

    fn is_parked(state: &Self::State) -> bool {
        !state.parked.is_empty() || P::is_parked(&state.before)
    }

    fn report(state: &Self::State, rows: u64, report: Report<'_>) -> u64 {
        P::report(&state.before, rows, report);
        let left = state.emitted - state.parked.len() as u64;
        report(Self::OPERATORS, left);
        left
    }
}

impl<In, U, E, P, F> Detach<In> for FlatMapInto<P, F, U>
where
    U: Data,
    E: Display,
    P: Pipe<In>,
    F: FnMut(P::Out, &mut Emitter<'_, U>) -> Result<(), E> + Clone + Send + Sync + 'static,
{
    type Before = P;
    type Between = P::Out;
    type Last = FlatMapInto<Identity, F, U>;

    fn detach(self) -> (P, Self::Last) {
        (self.before, FlatMapInto::new(Identity, self.function))
    }
}
