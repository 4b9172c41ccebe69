//! Keeps the rows a predicate accepts.

use super::{Detach, Identity, Pipe};
use crate::Collect;

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
    out: &'a mut C,
}

impl<T, F: FnMut(&T) -> bool, C: Collect<T>> Collect<T> for Test<'_, F, C> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        if (self.predicate)(&row) {
            self.out.collect(row, timestamp);
        }
    }
}

impl<In, P, F> Pipe<In> for Filter<P, F>
where
    P: Pipe<In>,
    F: FnMut(&P::Out) -> bool + Clone + Send + Sync + 'static,
{
    type Out = P::Out;

    #[inline(always)]
    fn each<C: Collect<P::Out>>(&mut self, row: In, timestamp: i64, out: &mut C) {
        self.before.each(
            row,
            timestamp,
            &mut Test {
                predicate: &mut self.predicate,
                out,
            },
        );
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
