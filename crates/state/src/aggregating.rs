//! Aggregating state: the values added for a key, kept as an accumulator of another type.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::{Key, Record};

use crate::backend::{Home, StateRows, StateTable};
use crate::cells::Cells;
use crate::descriptor::Aggregate;
use crate::scope::{At, InNamespace};
use crate::snapshot::Part;
use crate::ttl::Ttl;
use crate::{KeyedBackend, RestoredOperator, StateError, StateKind, StateScope, SubKey};

/// Aggregates values into an accumulator, and makes the result of it.
///
/// ```
/// use flott_state::{AggregateFunction, AggregatingStateDescriptor, KeyedBackend};
///
/// #[derive(Clone)]
/// struct Average;
///
/// impl AggregateFunction<f64> for Average {
///     type Accumulator = (f64, u64);
///     type Output = f64;
///
///     fn create_accumulator(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///     fn add(&self, (sum, count): &mut (f64, u64), value: f64) {
///         *sum += value;
///         *count += 1;
///     }
///     fn get_result(&self, (sum, count): &(f64, u64)) -> f64 {
///         sum / *count as f64
///     }
///     fn merge(&self, left: &mut (f64, u64), right: (f64, u64)) {
///         left.0 += right.0;
///         left.1 += right.1;
///     }
/// }
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut cx = KeyedBackend::<u32>::new();
/// let average = cx.aggregating_state(AggregatingStateDescriptor::new("average", Average))?;
/// cx.set_current_key(7, &1);
/// average.add(&mut cx, 1.0);
/// average.add(&mut cx, 2.0);
/// assert_eq!(average.get(&mut cx), Some(1.5));
/// # Ok(())
/// # }
/// ```
pub trait AggregateFunction<In> {
    /// What is kept of the values.
    type Accumulator: Record;
    /// The result.
    type Output;

    /// An accumulator of no values.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// Adds a value.
    fn add(&self, accumulator: &mut Self::Accumulator, value: In);

    /// The result of the values so far.
    fn get_result(&self, accumulator: &Self::Accumulator) -> Self::Output;

    /// Adds what another accumulator holds, whose values came after or beside: needed where windows
    /// merge.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);
}

pub(crate) struct AggregatingTable<K, N, In, Acc, Out> {
    cells: Cells<K, N, Acc>,
    function: Aggregate<In, Acc, Out>,
}

impl<K: Key, N: SubKey, In: 'static, Acc: Record, Out: 'static>
    AggregatingTable<K, N, In, Acc, Out>
{
    pub(crate) fn new(
        function: Aggregate<In, Acc, Out>,
        ttl: Option<Ttl>,
        home: &Home<'_>,
    ) -> Self {
        Self {
            cells: Cells::new(ttl, home),
            function,
        }
    }

    #[inline]
    fn add(&mut self, at: At<'_, K, N>, now: i64, value: In) {
        if let Some(accumulator) = self.cells.change(at, now) {
            self.function.add(accumulator, value);
            return;
        }
        let mut accumulator = self.function.create_accumulator();
        self.function.add(&mut accumulator, value);
        self.cells.write(at, now, accumulator);
    }
}

impl<K: Key, N: SubKey, In: 'static, Acc: Record, Out: 'static> StateTable<K>
    for AggregatingTable<K, N, In, Acc, Out>
{
    fn rows(&self) -> usize {
        self.cells.len()
    }
    fn clear(&mut self) {
        self.cells.clear();
    }
    fn keys(&self) -> Result<Vec<(u64, K)>, StateError> {
        self.cells.keys()
    }
    fn snapshot(&mut self, name: &str, now: i64) -> Arc<dyn Part> {
        self.cells.snapshot(StateKind::Aggregating, name, now)
    }
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        self.cells.restore(StateKind::Aggregating, name, from)
    }
    fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        self.cells.make_room(now)
    }
}

impl<K: Key, N: SubKey, In: 'static, Acc: Record, Out: 'static> StateRows<K, N>
    for AggregatingTable<K, N, In, Acc, Out>
{
    #[inline]
    fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError> {
        self.cells.load(at)
    }
}

/// The handle of an aggregating state. See [`AggregateFunction`] for an example.
pub struct AggregatingState<In, Acc, Out, N = ()> {
    index: u32,
    kind: PhantomData<fn() -> (In, Acc, Out, N)>,
}

impl<In, Acc, Out, N> Clone for AggregatingState<In, Acc, Out, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<In, Acc, Out, N> Copy for AggregatingState<In, Acc, Out, N> {}

impl<In: 'static, Acc: Record, Out: 'static, N: SubKey> AggregatingState<In, Acc, Out, N> {
    pub(crate) fn at(index: u32) -> Self {
        Self {
            index,
            kind: PhantomData,
        }
    }

    #[inline(always)]
    fn open<'c, C>(
        self,
        cx: &'c mut C,
    ) -> (
        &'c mut AggregatingTable<C::Key, N, In, Acc, Out>,
        At<'c, C::Key, N>,
        i64,
    )
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let InNamespace { backend, namespace } = cx.scope();
        backend.open(self.index, namespace)
    }

    /// Adds a value for the current key.
    #[inline]
    pub fn add<C>(&self, cx: &mut C, value: In)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.add(at, now, value);
    }

    /// The result of the values added for the current key; `None` if there are none.
    #[inline]
    pub fn get<C>(&self, cx: &mut C) -> Option<Out>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        let accumulator = table.cells.read(at, now)?;
        Some(table.function.get_result(accumulator))
    }

    /// Forgets the values of the current key.
    #[inline]
    pub fn clear<C>(&self, cx: &mut C)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.cells.take(at, now);
    }

    /// Merges the accumulators of `sources` for the current key into that of `target`, in their
    /// order, and clears them. A source that is the target is left alone.
    pub fn merge_namespaces<K: Key>(
        &self,
        backend: &mut KeyedBackend<K>,
        target: &N,
        sources: &[N],
    ) {
        for source in sources.iter().filter(|source| *source != target) {
            let hash = backend.current_hash();
            // Brings it into memory too.
            backend.open::<AggregatingTable<K, N, In, Acc, Out>, N>(self.index, source);
            let (table, to, now) =
                backend.open::<AggregatingTable<K, N, In, Acc, Out>, N>(self.index, target);
            let Some(other) = table.cells.take(to.sibling(hash, source), now) else {
                continue;
            };
            match table.cells.change(to, now) {
                Some(accumulator) => table.function.merge(accumulator, other),
                None => table.cells.write(to, now, other),
            }
        }
    }
}
