//! One row in, any number out.

use flott_record::Data;

use super::{Detach, Identity, Pipe};
use crate::Collect;

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

struct Expand<'a, F, C> {
    function: &'a mut F,
    out: &'a mut C,
}

impl<T, I: IntoIterator, F: FnMut(T) -> I, C: Collect<I::Item>> Collect<T> for Expand<'_, F, C> {
    #[inline(always)]
    fn collect(&mut self, row: T, timestamp: i64) {
        for item in (self.function)(row) {
            self.out.collect(item, timestamp);
        }
    }
}

impl<In, I, P, F> Pipe<In> for FlatMap<P, F>
where
    I: IntoIterator,
    I::Item: Data,
    P: Pipe<In>,
    F: FnMut(P::Out) -> I + Clone + Send + Sync + 'static,
{
    type Out = I::Item;

    #[inline(always)]
    fn each<C: Collect<I::Item>>(&mut self, row: In, timestamp: i64, out: &mut C) {
        self.before.each(
            row,
            timestamp,
            &mut Expand {
                function: &mut self.function,
                out,
            },
        );
    }
}

impl<In, I, P, F> Detach<In> for FlatMap<P, F>
where
    I: IntoIterator,
    I::Item: Data,
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
