//! Value state: one value per key.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::{Key, Record};

use crate::backend::{Home, StateRows, StateTable};
use crate::cells::Cells;
use crate::scope::{At, InNamespace};
use crate::snapshot::Part;
use crate::ttl::Ttl;
use crate::{KeyedStateAccess, RestoredOperator, StateError, StateKind, StateScope, SubKey};

pub(crate) struct ValueTable<K, N, T>(Cells<K, N, T>);

impl<K: Key, N: SubKey, T: Record> ValueTable<K, N, T> {
    pub(crate) fn new(ttl: Option<Ttl>, home: &Home<'_>) -> Self {
        Self(Cells::new(ttl, home))
    }
}

impl<K: Key, N: SubKey, T: Record> StateTable<K> for ValueTable<K, N, T> {
    fn rows(&self) -> usize {
        self.0.len()
    }
    fn clear(&mut self) {
        self.0.clear();
    }
    fn keys(&self) -> Result<Vec<(u64, K)>, StateError> {
        self.0.keys()
    }
    fn snapshot(&mut self, name: &str, now: i64) -> Arc<dyn Part> {
        self.0.snapshot(StateKind::Value, name, now)
    }
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        self.0.restore(StateKind::Value, name, from)
    }
    fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        self.0.make_room(now)
    }
}

impl<K: Key, N: SubKey, T: Record> StateRows<K, N> for ValueTable<K, N, T> {
    #[inline]
    fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError> {
        self.0.load(at)
    }
}

/// The handle of a value state: one `T` per key, or none.
///
/// ```
/// use flott_state::{KeyedBackend, ValueStateDescriptor};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut cx = KeyedBackend::<u32>::new();
/// let seen = cx.value_state(ValueStateDescriptor::<String>::new("seen"))?;
/// cx.set_current_key(7, &1);
///
/// assert_eq!(seen.value(&mut cx), None);
/// seen.update(&mut cx, "once".to_owned());
/// if let Some(text) = seen.value_mut(&mut cx) {
///     text.push_str(", twice");
/// }
/// assert_eq!(seen.value(&mut cx).map(String::as_str), Some("once, twice"));
/// seen.clear(&mut cx);
/// assert_eq!(seen.value(&mut cx), None);
/// # Ok(())
/// # }
/// ```
pub struct ValueState<T, N = ()> {
    index: u32,
    kind: PhantomData<fn() -> (T, N)>,
}

impl<T, N> Clone for ValueState<T, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, N> Copy for ValueState<T, N> {}

impl<T: Record, N: SubKey> ValueState<T, N> {
    pub(crate) fn at(index: u32) -> Self {
        Self {
            index,
            kind: PhantomData,
        }
    }

    #[inline(always)]
    fn open<'c, C>(self, cx: &'c mut C) -> (&'c mut Cells<C::Key, N, T>, At<'c, C::Key, N>, i64)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let InNamespace { backend, namespace } = cx.scope();
        let (table, at, now) = backend.open::<ValueTable<C::Key, N, T>, N>(self.index, namespace);
        (&mut table.0, at, now)
    }

    /// The value of the current key.
    #[inline]
    pub fn value<'c, C>(&self, cx: &'c mut C) -> Option<&'c T>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (cells, at, now) = self.open(cx);
        cells.read(at, now)
    }

    /// The value of the current key, to be changed in place; counts as a write for the time to live.
    #[inline]
    pub fn value_mut<'c, C>(&self, cx: &'c mut C) -> Option<&'c mut T>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (cells, at, now) = self.open(cx);
        cells.change(at, now)
    }

    /// Sets the value of the current key.
    #[inline]
    pub fn update<C>(&self, cx: &mut C, value: T)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (cells, at, now) = self.open(cx);
        cells.write(at, now, value);
    }

    /// Removes the value of the current key and returns it.
    #[inline]
    pub fn take<C>(&self, cx: &mut C) -> Option<T>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (cells, at, now) = self.open(cx);
        cells.take(at, now)
    }

    /// Removes the value of the current key.
    #[inline]
    pub fn clear<C>(&self, cx: &mut C)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        self.take(cx);
    }
}

impl<T: Record> ValueState<T> {
    /// All keys of this subtask that have a value, with their hashes: to change the state of every
    /// key, as the broadcast side of a stream may. With time to live also those whose value has
    /// expired and not been removed yet.
    pub fn keys<C: KeyedStateAccess + ?Sized>(&self, cx: &mut C) -> Vec<(u64, C::Key)> {
        cx.keyed_state().keys_of(self.index)
    }
}
