//! What a window keeps of its records: one value made of them, or all of them.

use flott_record::Record;
use flott_state::AggregateFunction;
use serde::{Deserialize, Serialize};

use crate::keyed::{Aggregate, Fold, Reduce};

/// How records become the contents of a window.
pub trait Contents<T>: Send + 'static {
    /// What is kept.
    type Value: Record;
    /// What functions get to see, any number of them per window.
    type View;

    /// Whether the order in which records came must be kept when contents merge.
    const ORDERED: bool = false;

    /// The contents of a window with one record.
    fn first(&mut self, row: T, timestamp: i64) -> Self::Value;

    /// Adds a further record.
    fn add(&mut self, value: &mut Self::Value, row: T, timestamp: i64);

    /// Adds the contents of another window, whose records came beside.
    fn merge(&mut self, value: &mut Self::Value, other: Self::Value);

    /// Shows the contents.
    fn view<R>(&mut self, value: &Self::Value, see: impl FnOnce(&[Self::View]) -> R) -> R;

    /// Whether nothing is left of the contents.
    fn is_empty(&self, value: &Self::Value) -> bool {
        let _ = value;
        false
    }
}

/// Contents that are one value, which can be emitted.
pub trait Single<T>: Contents<T> {
    /// The value.
    fn result(&mut self, value: &Self::Value) -> Self::View;
}

/// A fold whose values can be merged.
pub trait MergingFold<T>: Fold<T> {
    /// Adds what another value was made of.
    fn merge(&mut self, value: &mut Self::Value, other: Self::Value);

    /// Shows the result.
    fn see<R>(&mut self, value: &Self::Value, see: impl FnOnce(&Self::Out) -> R) -> R {
        let result = self.result(value);
        see(&result)
    }
}

impl<T: Record, F: FnMut(&mut T, T) + Send + 'static> MergingFold<T> for Reduce<F> {
    #[inline(always)]
    fn merge(&mut self, value: &mut T, other: T) {
        (self.0)(value, other);
    }

    #[inline(always)]
    fn see<R>(&mut self, value: &T, see: impl FnOnce(&T) -> R) -> R {
        see(value)
    }
}

impl<T, F> MergingFold<T> for Aggregate<F>
where
    F: AggregateFunction<T> + Send + 'static,
    F::Output: Record,
{
    #[inline(always)]
    fn merge(&mut self, value: &mut F::Accumulator, other: F::Accumulator) {
        self.0.merge(value, other);
    }
}

/// One value per window.
#[derive(Debug, Clone)]
pub struct Folded<F>(pub F);

impl<T, F: MergingFold<T>> Contents<T> for Folded<F> {
    type Value = F::Value;
    type View = F::Out;

    #[inline(always)]
    fn first(&mut self, row: T, _: i64) -> F::Value {
        self.0.first(row)
    }

    #[inline(always)]
    fn add(&mut self, value: &mut F::Value, row: T, _: i64) {
        self.0.add(value, row);
    }

    #[inline(always)]
    fn merge(&mut self, value: &mut F::Value, other: F::Value) {
        self.0.merge(value, other);
    }

    #[inline(always)]
    fn view<R>(&mut self, value: &F::Value, see: impl FnOnce(&[F::Out]) -> R) -> R {
        self.0
            .see(value, |result| see(std::slice::from_ref(result)))
    }
}

impl<T, F: MergingFold<T>> Single<T> for Folded<F> {
    #[inline(always)]
    fn result(&mut self, value: &F::Value) -> F::Out {
        self.0.result(value)
    }
}

/// The records of a window in the order of their arrival, with their event times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elements<T> {
    rows: Vec<T>,
    /// As long as `rows`, or empty if nobody wants to know.
    timestamps: Vec<i64>,
}

impl<T> Elements<T> {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The records.
    pub fn rows(&self) -> &[T] {
        &self.rows
    }

    /// The records with their event times, in milliseconds since the epoch; `i64::MIN` if a record
    /// has none.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&T, i64)> + ExactSizeIterator {
        self.rows.iter().zip(self.timestamps.iter().copied())
    }

    /// Drops the first `count` records.
    pub fn drop_first(&mut self, count: usize) {
        self.rows.drain(..count.min(self.rows.len()));
        self.timestamps.drain(..count.min(self.timestamps.len()));
    }

    /// Keeps the records for which `keep(record, event time)` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&T, i64) -> bool) {
        let keep: Vec<bool> = self.iter().map(|(row, at)| keep(row, at)).collect();
        let mut kept = keep.iter().copied();
        self.rows.retain(|_| kept.next().unwrap_or(true));
        let mut kept = keep.iter().copied();
        self.timestamps.retain(|_| kept.next().unwrap_or(true));
    }
}

/// All records of the window.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    timed: bool,
}

impl Listed {
    /// Without event times.
    pub fn untimed() -> Self {
        Self { timed: false }
    }

    /// With event times, for an evictor.
    pub fn timed() -> Self {
        Self { timed: true }
    }
}

impl<T: Record> Contents<T> for Listed {
    type Value = Elements<T>;
    type View = T;
    const ORDERED: bool = true;

    #[inline]
    fn first(&mut self, row: T, timestamp: i64) -> Elements<T> {
        let mut elements = Elements {
            rows: Vec::new(),
            timestamps: Vec::new(),
        };
        self.add(&mut elements, row, timestamp);
        elements
    }

    #[inline]
    fn add(&mut self, elements: &mut Elements<T>, row: T, timestamp: i64) {
        elements.rows.push(row);
        if self.timed {
            elements.timestamps.push(timestamp);
        }
    }

    fn merge(&mut self, elements: &mut Elements<T>, mut other: Elements<T>) {
        elements.rows.append(&mut other.rows);
        elements.timestamps.append(&mut other.timestamps);
    }

    fn view<R>(&mut self, elements: &Elements<T>, see: impl FnOnce(&[T]) -> R) -> R {
        see(&elements.rows)
    }

    fn is_empty(&self, elements: &Elements<T>) -> bool {
        elements.is_empty()
    }
}
