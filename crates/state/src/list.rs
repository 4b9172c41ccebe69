//! List state: a list of values per key. With time to live each element expires for itself.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::{Key, Record};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::backend::{Home, StateRows, StateTable};
use crate::cells::{Expiring, keys, load, part, restore};
use crate::cold::TieredTable;
use crate::scope::{At, InNamespace, Scoped};
use crate::snapshot::Part;
use crate::ttl::{Expire, Live, Ttl};
use crate::{
    KeyedBackend, KeyedStateAccess, RestoredOperator, StateError, StateKind, StateScope, SubKey,
};

/// Elements with the time of their last use, apart so that users see a slice. Stored as a list of
/// pairs.
#[derive(Clone)]
pub(crate) struct Stamped<T> {
    values: Vec<T>,
    stamps: Vec<i64>,
    /// All have expired and have been returned: to be seen no more.
    gone: bool,
}

impl<T> Default for Stamped<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            stamps: Vec::new(),
            gone: false,
        }
    }
}

impl<T> Stamped<T> {
    fn extend(&mut self, now: i64, values: impl IntoIterator<Item = T>) {
        if self.gone {
            *self = Self::default();
        }
        self.values.extend(values);
        self.stamps.resize(self.values.len(), Ttl::stamp(now));
    }

    fn drop_expired(&mut self, ttl: Ttl, now: i64) {
        if !self.stamps.iter().any(|stamp| ttl.expired(*stamp, now)) {
            return;
        }
        let mut stamps = self.stamps.iter();
        self.values
            .retain(|_| stamps.next().is_some_and(|stamp| !ttl.expired(*stamp, now)));
        self.stamps.retain(|stamp| !ttl.expired(*stamp, now));
    }

    /// Makes `values` what a reader sees; `false` if that is nothing and the row can go.
    fn read(&mut self, ttl: Ttl, now: i64) -> bool {
        if self.gone {
            return false;
        }
        let live = self.stamps.iter().any(|stamp| !ttl.expired(*stamp, now));
        if !live {
            self.gone = true;
            return ttl.return_expired;
        }
        if ttl.on_read || !ttl.return_expired {
            self.drop_expired(ttl, now);
        }
        if ttl.on_read {
            self.stamps.fill(Ttl::stamp(now));
        }
        true
    }
}

impl<T: Serialize> Serialize for Stamped<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.stamps.iter().zip(&self.values))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Stamped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (stamps, values) = Vec::<(i64, T)>::deserialize(deserializer)?
            .into_iter()
            .unzip();
        Ok(Self {
            values,
            stamps,
            gone: false,
        })
    }
}

impl<T: Clone> Expire for Stamped<T> {
    fn live(&self, ttl: Ttl, now: i64) -> Live<Self> {
        let expired = |stamp: &&i64| ttl.expired(**stamp, now);
        match self.stamps.iter().filter(expired).count() {
            _ if self.gone => Live::Gone,
            0 => Live::Whole,
            all if all == self.stamps.len() => Live::Gone,
            _ => {
                let mut rest = self.clone();
                rest.drop_expired(ttl, now);
                Live::Part(rest)
            }
        }
    }
}

pub(crate) enum ListTable<K, N, T> {
    Plain(TieredTable<Scoped<K, N>, Vec<T>>),
    Timed(Expiring<K, N, Stamped<T>>),
}

impl<K: Key, N: SubKey, T: Record> ListTable<K, N, T> {
    pub(crate) fn new(ttl: Option<Ttl>, home: &Home<'_>) -> Self {
        match ttl {
            None => Self::Plain(home.table()),
            Some(ttl) => Self::Timed(Expiring::new(ttl, home.table())),
        }
    }

    fn sweep(timed: &mut Expiring<K, N, Stamped<T>>, now: i64) {
        let ttl = timed.ttl;
        timed.sweep(
            |row| row.stamps.iter().any(|stamp| ttl.expired(*stamp, now)),
            |row| {
                row.drop_expired(ttl, now);
                row.values.is_empty()
            },
        );
    }

    fn extend(&mut self, at: At<'_, K, N>, now: i64, values: impl IntoIterator<Item = T>) {
        match self {
            Self::Plain(rows) => rows
                .get_or_insert_row(at.hash, &at, || (at.own(), Vec::new()))
                .extend(values),
            Self::Timed(timed) => {
                Self::sweep(timed, now);
                timed
                    .rows
                    .get_or_insert_row(at.hash, &at, || (at.own(), Stamped::default()))
                    .extend(now, values);
            }
        }
    }

    fn read(&mut self, at: At<'_, K, N>, now: i64) -> &[T] {
        match self {
            Self::Plain(rows) => rows.get(at.hash, &at).map_or(&[], Vec::as_slice),
            Self::Timed(timed) => {
                Self::sweep(timed, now);
                let Some(position) = timed.rows.find(at.hash, &at) else {
                    return &[];
                };
                let ttl = timed.ttl;
                // Shared rows stay shared where nothing changes.
                let unchanged = timed.rows.at(position).is_some_and(|row| {
                    let mut stamps = row.stamps.iter();
                    !row.gone && stamps.all(|stamp| ttl.just_read(*stamp, now))
                });
                if unchanged {
                    return timed.rows.at(position).map_or(&[], |row| &row.values);
                }
                let seen = timed
                    .rows
                    .at_mut(position)
                    .is_some_and(|row| row.read(ttl, now));
                if !seen {
                    timed.rows.remove(at.hash, &at);
                    return &[];
                }
                timed.rows.at(position).map_or(&[], |row| &row.values)
            }
        }
    }

    fn clear_row(&mut self, at: At<'_, K, N>) {
        match self {
            Self::Plain(rows) => {
                rows.remove(at.hash, &at);
            }
            Self::Timed(timed) => {
                timed.rows.remove(at.hash, &at);
            }
        }
    }

    /// Appends the list of `from` to that of `to`; elements keep their age.
    fn merge(&mut self, to: At<'_, K, N>, from: At<'_, K, N>) {
        match self {
            Self::Plain(rows) => {
                if let Some(mut values) = rows.remove(from.hash, &from) {
                    rows.get_or_insert_row(to.hash, &to, || (to.own(), Vec::new()))
                        .append(&mut values);
                }
            }
            Self::Timed(timed) => {
                let taken = timed.rows.remove(from.hash, &from);
                if let Some(mut taken) = taken.filter(|taken| !taken.gone) {
                    let row = timed
                        .rows
                        .get_or_insert_row(to.hash, &to, || (to.own(), Stamped::default()));
                    if row.gone {
                        *row = Stamped::default();
                    }
                    row.values.append(&mut taken.values);
                    row.stamps.append(&mut taken.stamps);
                }
            }
        }
    }
}

impl<K: Key, N: SubKey, T: Record> StateTable<K> for ListTable<K, N, T> {
    fn rows(&self) -> usize {
        match self {
            Self::Plain(rows) => rows.rows(),
            Self::Timed(timed) => timed.rows.rows(),
        }
    }
    fn clear(&mut self) {
        match self {
            Self::Plain(rows) => rows.clear(),
            Self::Timed(timed) => timed.rows.clear(),
        }
    }
    fn keys(&self) -> Result<Vec<(u64, K)>, StateError> {
        match self {
            Self::Plain(rows) => keys(rows),
            Self::Timed(timed) => keys(&timed.rows),
        }
    }
    fn snapshot(&mut self, name: &str, now: i64) -> Arc<dyn Part> {
        match self {
            Self::Plain(rows) => part(StateKind::List, name, rows),
            Self::Timed(timed) => timed.part(StateKind::List, name, now),
        }
    }
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => restore(StateKind::List, name, rows, from),
            Self::Timed(timed) => timed.restore(StateKind::List, name, from),
        }
    }
    fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => rows.make_room(),
            Self::Timed(timed) => timed.make_room(now),
        }
    }
}

impl<K: Key, N: SubKey, T: Record> StateRows<K, N> for ListTable<K, N, T> {
    #[inline]
    fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => load(rows, at),
            Self::Timed(timed) => load(&mut timed.rows, at),
        }
    }
}

/// The handle of a list state: a list of `T` per key. An empty list and none are the same.
///
/// ```
/// use flott_state::{KeyedBackend, ListStateDescriptor};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut cx = KeyedBackend::<u32>::new();
/// let readings = cx.list_state(ListStateDescriptor::<f64>::new("readings"))?;
/// cx.set_current_key(7, &1);
///
/// readings.add(&mut cx, 20.5);
/// readings.add_all(&mut cx, [21.0, 19.5]);
/// assert_eq!(readings.get(&mut cx), [20.5, 21.0, 19.5]);
/// readings.update(&mut cx, vec![19.5]);
/// assert_eq!(readings.get(&mut cx), [19.5]);
/// readings.clear(&mut cx);
/// assert!(readings.get(&mut cx).is_empty());
/// # Ok(())
/// # }
/// ```
pub struct ListState<T, N = ()> {
    index: u32,
    kind: PhantomData<fn() -> (T, N)>,
}

impl<T, N> Clone for ListState<T, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, N> Copy for ListState<T, N> {}

impl<T: Record, N: SubKey> ListState<T, N> {
    pub(crate) fn at(index: u32) -> Self {
        Self {
            index,
            kind: PhantomData,
        }
    }

    #[inline(always)]
    fn open<'c, C>(self, cx: &'c mut C) -> (&'c mut ListTable<C::Key, N, T>, At<'c, C::Key, N>, i64)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let InNamespace { backend, namespace } = cx.scope();
        backend.open(self.index, namespace)
    }

    /// Appends a value to the list of the current key.
    #[inline]
    pub fn add<C>(&self, cx: &mut C, value: T)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.extend(at, now, [value]);
    }

    /// Appends several values to the list of the current key.
    pub fn add_all<C>(&self, cx: &mut C, values: impl IntoIterator<Item = T>)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            let (table, at, now) = self.open(cx);
            table.extend(at, now, values);
        }
    }

    /// The list of the current key, in the order of addition.
    #[inline]
    pub fn get<'c, C>(&self, cx: &'c mut C) -> &'c [T]
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.read(at, now)
    }

    /// Replaces the list of the current key.
    pub fn update<C>(&self, cx: &mut C, values: Vec<T>)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.clear_row(at);
        if !values.is_empty() {
            table.extend(at, now, values);
        }
    }

    /// Removes the list of the current key.
    #[inline]
    pub fn clear<C>(&self, cx: &mut C)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, _) = self.open(cx);
        table.clear_row(at);
    }

    /// Moves the lists of `sources` to the end of that of `target`, in their order, for the current
    /// key. A source that is the target is left alone.
    pub fn merge_namespaces<K: Key>(
        &self,
        backend: &mut KeyedBackend<K>,
        target: &N,
        sources: &[N],
    ) {
        for source in sources.iter().filter(|source| *source != target) {
            let hash = backend.current_hash();
            // Brings it into memory too.
            backend.open::<ListTable<K, N, T>, N>(self.index, source);
            let (table, to, _) = backend.open::<ListTable<K, N, T>, N>(self.index, target);
            table.merge(to, to.sibling(hash, source));
        }
    }
}

impl<T: Record> ListState<T> {
    /// All keys of this subtask that have a list, with their hashes; with time to live also
    /// those whose state has expired and not been removed yet.
    pub fn keys<C: KeyedStateAccess + ?Sized>(&self, cx: &mut C) -> Vec<(u64, C::Key)> {
        cx.keyed_state().keys_of(self.index)
    }
}
