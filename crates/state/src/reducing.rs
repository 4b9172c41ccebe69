//! Reducing state: the values added for a key, combined into one of the same type.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::{Key, Record};

use crate::backend::{Home, StateRows, StateTable};
use crate::cells::Cells;
use crate::descriptor::Reduce;
use crate::scope::{At, InNamespace};
use crate::snapshot::Part;
use crate::ttl::Ttl;
use crate::{KeyedBackend, RestoredOperator, StateError, StateKind, StateScope, SubKey};

pub(crate) struct ReducingTable<K, N, T> {
    cells: Cells<K, N, T>,
    function: Reduce<T>,
}

impl<K: Key, N: SubKey, T: Record> ReducingTable<K, N, T> {
    pub(crate) fn new(function: Reduce<T>, ttl: Option<Ttl>, home: &Home<'_>) -> Self {
        Self {
            cells: Cells::new(ttl, home),
            function,
        }
    }

    #[inline]
    fn add(&mut self, at: At<'_, K, N>, now: i64, value: T) {
        match self.cells.change(at, now) {
            Some(combined) => (self.function)(combined, value),
            None => self.cells.write(at, now, value),
        }
    }
}

impl<K: Key, N: SubKey, T: Record> StateTable<K> for ReducingTable<K, N, T> {
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
        self.cells.snapshot(StateKind::Reducing, name, now)
    }
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        self.cells.restore(StateKind::Reducing, name, from)
    }
    fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        self.cells.make_room(now)
    }
}

impl<K: Key, N: SubKey, T: Record> StateRows<K, N> for ReducingTable<K, N, T> {
    #[inline]
    fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError> {
        self.cells.load(at)
    }
}

/// The handle of a reducing state: what has been added for the key, combined by the descriptor's
/// function.
///
/// ```
/// use flott_state::{KeyedBackend, ReducingStateDescriptor};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut cx = KeyedBackend::<u32>::new();
/// let largest = cx.reducing_state(ReducingStateDescriptor::new(
///     "largest",
///     |max: &mut u64, n| *max = n.max(*max),
/// ))?;
/// cx.set_current_key(7, &1);
///
/// for n in [3, 9, 4] {
///     largest.add(&mut cx, n);
/// }
/// assert_eq!(largest.get(&mut cx), Some(&9));
/// # Ok(())
/// # }
/// ```
pub struct ReducingState<T, N = ()> {
    index: u32,
    kind: PhantomData<fn() -> (T, N)>,
}

impl<T, N> Clone for ReducingState<T, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, N> Copy for ReducingState<T, N> {}

impl<T: Record, N: SubKey> ReducingState<T, N> {
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
    ) -> (&'c mut ReducingTable<C::Key, N, T>, At<'c, C::Key, N>, i64)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let InNamespace { backend, namespace } = cx.scope();
        backend.open(self.index, namespace)
    }

    /// Adds a value for the current key.
    #[inline]
    pub fn add<C>(&self, cx: &mut C, value: T)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.add(at, now, value);
    }

    /// What the values added for the current key combine to; `None` if there are none.
    #[inline]
    pub fn get<'c, C>(&self, cx: &'c mut C) -> Option<&'c T>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.cells.read(at, now)
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

    /// Combines what `sources` hold for the current key into `target`, in their order, and clears
    /// them. A source that is the target is left alone.
    pub fn merge_namespaces<K: Key>(
        &self,
        backend: &mut KeyedBackend<K>,
        target: &N,
        sources: &[N],
    ) {
        for source in sources.iter().filter(|source| *source != target) {
            let hash = backend.current_hash();
            // Brings it into memory too.
            backend.open::<ReducingTable<K, N, T>, N>(self.index, source);
            let (table, to, now) = backend.open::<ReducingTable<K, N, T>, N>(self.index, target);
            if let Some(value) = table.cells.take(to.sibling(hash, source), now) {
                table.add(to, now, value);
            }
        }
    }
}
