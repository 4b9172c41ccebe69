//! What may be done with the rows of a key: combine them, or aggregate them into something else.

use flott_record::Record;
use flott_state::AggregateFunction;

/// Makes one value of the rows of a key, row by row.
pub trait Fold<T>: Send + 'static {
    /// What is kept per key.
    type Value: Record;
    /// What is emitted.
    type Out: Record;

    /// The value of a key's first row.
    fn first(&mut self, row: T) -> Self::Value;

    /// Adds a further row.
    fn add(&mut self, value: &mut Self::Value, row: T);

    /// What is emitted for a value that may change again.
    fn result(&mut self, value: &Self::Value) -> Self::Out;

    /// What is emitted for a value that is complete.
    fn finish(&mut self, value: Self::Value) -> Self::Out {
        self.result(&value)
    }
}

/// Combines by `function(combined, row)`; a key's first row is what it begins with.
#[derive(Debug, Clone)]
pub struct Reduce<F>(pub F);

impl<T: Record, F: FnMut(&mut T, T) + Send + 'static> Fold<T> for Reduce<F> {
    type Value = T;
    type Out = T;

    #[inline(always)]
    fn first(&mut self, row: T) -> T {
        row
    }

    #[inline(always)]
    fn add(&mut self, value: &mut T, row: T) {
        (self.0)(value, row);
    }

    #[inline(always)]
    fn result(&mut self, value: &T) -> T {
        value.clone()
    }

    #[inline(always)]
    fn finish(&mut self, value: T) -> T {
        value
    }
}

/// Aggregates by an [`AggregateFunction`].
#[derive(Debug, Clone)]
pub struct Aggregate<F>(pub F);

impl<T, F> Fold<T> for Aggregate<F>
where
    F: AggregateFunction<T> + Send + 'static,
    F::Output: Record,
{
    type Value = F::Accumulator;
    type Out = F::Output;

    #[inline(always)]
    fn first(&mut self, row: T) -> F::Accumulator {
        let mut accumulator = self.0.create_accumulator();
        self.0.add(&mut accumulator, row);
        accumulator
    }

    #[inline(always)]
    fn add(&mut self, value: &mut F::Accumulator, row: T) {
        self.0.add(value, row);
    }

    #[inline(always)]
    fn result(&mut self, value: &F::Accumulator) -> F::Output {
        self.0.get_result(value)
    }
}
