//! One row in, one row out.

use flott_record::Data;

use super::{Detach, Identity, Pipe};
use crate::Collect;

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
}

impl<T, U, F: FnMut(T) -> U, C: Collect<U>> Collect<T> for Apply<'_, F, C> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        self.out.collect((self.function)(row), timestamp);
    }
}

impl<In, U, P, F> Pipe<In> for Map<P, F>
where
    U: Data,
    P: Pipe<In>,
    F: FnMut(P::Out) -> U + Clone + Send + Sync + 'static,
{
    type Out = U;

    #[inline(always)]
    fn each<C: Collect<U>>(&mut self, row: In, timestamp: i64, out: &mut C) {
        self.before.each(
            row,
            timestamp,
            &mut Apply {
                function: &mut self.function,
                out,
            },
        );
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
