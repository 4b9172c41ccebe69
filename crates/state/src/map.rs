//! Map state: a map per key. With time to live each entry expires for itself.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::{Key, Record};

use crate::backend::{Home, StateRows, StateTable};
use crate::cells::{Expiring, keys, load, part, restore};
use crate::cold::TieredTable;
use crate::ordered_map::{Iter, OrderedMap};
use crate::scope::{At, InNamespace, Scoped};
use crate::snapshot::Part;
use crate::ttl::{Expire, GONE, Live, Timed, Ttl};
use crate::{KeyedStateAccess, RestoredOperator, StateError, StateKind, StateScope, SubKey};

type TimedMap<MK, MV> = OrderedMap<MK, Timed<MV>>;

pub(crate) enum MapTable<K, N, MK, MV> {
    Plain(TieredTable<Scoped<K, N>, OrderedMap<MK, MV>>),
    Timed(Expiring<K, N, TimedMap<MK, MV>>),
}

impl<K: Key, N: SubKey, MK: SubKey, MV: Record> MapTable<K, N, MK, MV> {
    pub(crate) fn new(ttl: Option<Ttl>, home: &Home<'_>) -> Self {
        match ttl {
            None => Self::Plain(home.table()),
            Some(ttl) => Self::Timed(Expiring::new(ttl, home.table())),
        }
    }

    fn get(&mut self, at: At<'_, K, N>, now: i64, key: &MK) -> Option<&MV> {
        match self {
            Self::Plain(rows) => rows.get(at.hash, &at)?.get(key),
            Self::Timed(timed) => timed.get(at, now, key),
        }
    }

    fn get_mut(&mut self, at: At<'_, K, N>, now: i64, key: &MK, write: bool) -> Option<&mut MV> {
        match self {
            Self::Plain(rows) => rows.get_mut(at.hash, &at)?.get_mut(key),
            Self::Timed(timed) => timed.get_mut(at, now, key, write),
        }
    }

    fn put(&mut self, at: At<'_, K, N>, now: i64, key: MK, value: MV) {
        match self {
            Self::Plain(rows) => {
                rows.get_or_insert_row(at.hash, &at, || (at.own(), OrderedMap::default()))
                    .insert(key, value);
            }
            Self::Timed(timed) => {
                timed.sweep_entries(now);
                let (ttl, stamp) = (timed.ttl, Ttl::stamp(now));
                let row = timed.row(at);
                // What has expired has lost its place, whether the sweep has been there or not.
                if row
                    .get(&key)
                    .is_some_and(|entry| ttl.expired(entry.stamp, now))
                {
                    row.remove(&key);
                }
                row.insert(key, Timed { stamp, value });
            }
        }
    }

    fn get_or_insert_with(
        &mut self,
        at: At<'_, K, N>,
        now: i64,
        key: MK,
        value: impl FnOnce() -> MV,
    ) -> &mut MV {
        match self {
            Self::Plain(rows) => rows
                .get_or_insert_row(at.hash, &at, || (at.own(), OrderedMap::default()))
                .get_or_insert_with(key, value),
            Self::Timed(timed) => {
                // A read, which removes what has expired, and then a write.
                timed.get_mut(at, now, &key, true);
                let stamp = Ttl::stamp(now);
                let make = || Timed {
                    stamp,
                    value: value(),
                };
                &mut timed.row(at).get_or_insert_with(key, make).value
            }
        }
    }

    fn remove(&mut self, at: At<'_, K, N>, now: i64, key: &MK) -> Option<MV> {
        match self {
            Self::Plain(rows) => {
                let row = rows.get_mut(at.hash, &at)?;
                let value = row.remove(key);
                if row.is_empty() {
                    rows.remove(at.hash, &at);
                }
                value
            }
            Self::Timed(timed) => {
                timed.sweep_entries(now);
                let ttl = timed.ttl;
                let row = timed.rows.get_mut(at.hash, &at)?;
                let removed = row.remove(key);
                if row.is_empty() {
                    timed.rows.remove(at.hash, &at);
                }
                let mut entry = removed?;
                ttl.read(&mut entry.stamp, now).then_some(entry.value)
            }
        }
    }

    fn iter(&mut self, at: At<'_, K, N>, now: i64) -> MapIter<'_, MK, MV> {
        let entries = match self {
            Self::Plain(rows) => rows
                .get(at.hash, &at)
                .map_or(Entries::None, |row| Entries::Plain(row.iter())),
            Self::Timed(timed) => timed.iter(at, now),
        };
        MapIter(entries)
    }

    fn is_empty(&mut self, at: At<'_, K, N>, now: i64) -> bool {
        match self {
            // An empty map has no row.
            Self::Plain(rows) => rows.find(at.hash, &at).is_none(),
            Self::Timed(timed) => {
                timed.sweep_entries(now);
                let ttl = timed.ttl;
                let visible =
                    |stamp: i64| stamp != GONE && (ttl.return_expired || !ttl.expired(stamp, now));
                timed
                    .rows
                    .get(at.hash, &at)
                    .is_none_or(|row| row.iter().all(|(_, entry)| !visible(entry.stamp)))
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
}

impl<MK: SubKey, MV: Clone> Expire for TimedMap<MK, MV> {
    fn live(&self, ttl: Ttl, now: i64) -> Live<Self> {
        let expired = |entry: &Timed<MV>| ttl.expired(entry.stamp, now);
        match self.iter().filter(|(_, entry)| expired(entry)).count() {
            0 => Live::Whole,
            all if all == self.len() => Live::Gone,
            _ => {
                let mut rest = self.clone();
                rest.retain(|_, entry| !expired(entry));
                Live::Part(rest)
            }
        }
    }
}

impl<K: Key, N: SubKey, MK: SubKey, MV: Record> Expiring<K, N, TimedMap<MK, MV>> {
    fn sweep_entries(&mut self, now: i64) {
        let ttl = self.ttl;
        self.sweep(
            |row| row.iter().any(|(_, entry)| ttl.expired(entry.stamp, now)),
            |row| {
                row.retain(|_, entry| !ttl.expired(entry.stamp, now));
                row.is_empty()
            },
        );
    }

    fn row(&mut self, at: At<'_, K, N>) -> &mut TimedMap<MK, MV> {
        self.rows
            .get_or_insert_row(at.hash, &at, || (at.own(), OrderedMap::default()))
    }

    /// The entry's value, if a reader sees it. Shared rows stay shared where nothing changes.
    fn get(&mut self, at: At<'_, K, N>, now: i64, key: &MK) -> Option<&MV> {
        self.sweep_entries(now);
        let position = self.rows.find(at.hash, &at)?;
        let stamp = self.rows.at(position)?.get(key)?.stamp;
        if !self.ttl.just_read(stamp, now) {
            return self.touch(at, now, key, false).map(|value| &*value);
        }
        Some(&self.rows.at(position)?.get(key)?.value)
    }

    /// The entry's value, to be changed, if a reader sees it.
    fn get_mut(&mut self, at: At<'_, K, N>, now: i64, key: &MK, write: bool) -> Option<&mut MV> {
        self.sweep_entries(now);
        self.touch(at, now, key, write)
    }

    fn touch(&mut self, at: At<'_, K, N>, now: i64, key: &MK, write: bool) -> Option<&mut MV> {
        let ttl = self.ttl;
        let position = self.rows.find(at.hash, &at)?;
        let row = self.rows.at_mut(position)?;
        let entry = row.get_mut(key)?;
        if !ttl.read(&mut entry.stamp, now) {
            row.remove(key);
            if row.is_empty() {
                self.rows.remove(at.hash, &at);
            }
            return None;
        }
        let entry = self.rows.at_mut(position)?.get_mut(key)?;
        if write {
            entry.stamp = Ttl::stamp(now);
        }
        Some(&mut entry.value)
    }

    fn iter(&mut self, at: At<'_, K, N>, now: i64) -> Entries<'_, MK, MV> {
        self.sweep_entries(now);
        let ttl = self.ttl;
        let Some(position) = self.rows.find(at.hash, &at) else {
            return Entries::None;
        };
        let mut left = 0;
        if let Some(row) = self.rows.at_mut(position) {
            // What is seen now for the last time stays until the next access.
            row.retain(|_, entry| ttl.read(&mut entry.stamp, now));
            left = row.len();
        }
        if left == 0 {
            self.rows.remove(at.hash, &at);
            return Entries::None;
        }
        self.rows
            .at(position)
            .map_or(Entries::None, |row| Entries::Timed(row.iter()))
    }
}

impl<K: Key, N: SubKey, MK: SubKey, MV: Record> StateTable<K> for MapTable<K, N, MK, MV> {
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
            Self::Plain(rows) => part(StateKind::Map, name, rows),
            Self::Timed(timed) => timed.part(StateKind::Map, name, now),
        }
    }
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => restore(StateKind::Map, name, rows, from),
            Self::Timed(timed) => timed.restore(StateKind::Map, name, from),
        }
    }
    fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => rows.make_room(),
            Self::Timed(timed) => timed.make_room(now),
        }
    }
}

impl<K: Key, N: SubKey, MK: SubKey, MV: Record> StateRows<K, N> for MapTable<K, N, MK, MV> {
    #[inline]
    fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => load(rows, at),
            Self::Timed(timed) => load(&mut timed.rows, at),
        }
    }
}

enum Entries<'a, MK, MV> {
    None,
    Plain(Iter<'a, MK, MV>),
    Timed(Iter<'a, MK, Timed<MV>>),
}

/// The entries of one map, in the order in which their keys were put first.
pub struct MapIter<'a, MK, MV>(Entries<'a, MK, MV>);

impl<'a, MK, MV> Iterator for MapIter<'a, MK, MV> {
    type Item = (&'a MK, &'a MV);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Entries::None => None,
            Entries::Plain(entries) => entries.next(),
            Entries::Timed(entries) => entries.next().map(|(key, entry)| (key, &entry.value)),
        }
    }
}

/// The handle of a map state: a map from `MK` to `MV` per key. Iteration is in the order in which
/// the map's keys were put first.
///
/// ```
/// use flott_state::{KeyedBackend, MapStateDescriptor};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut cx = KeyedBackend::<u32>::new();
/// let visits = cx.map_state(MapStateDescriptor::<String, u64>::new("visits"))?;
/// cx.set_current_key(7, &1);
///
/// for page in ["/home", "/cart", "/home"] {
///     *visits.get_or_insert_with(&mut cx, page.to_owned(), || 0) += 1;
/// }
/// assert_eq!(visits.get(&mut cx, &"/home".to_owned()), Some(&2));
/// let pages: Vec<_> = visits.keys(&mut cx).cloned().collect();
/// assert_eq!(pages, ["/home", "/cart"]);
/// assert_eq!(visits.remove(&mut cx, &"/cart".to_owned()), Some(1));
/// visits.clear(&mut cx);
/// assert!(visits.is_empty(&mut cx));
/// # Ok(())
/// # }
/// ```
pub struct MapState<MK, MV, N = ()> {
    index: u32,
    kind: PhantomData<fn() -> (MK, MV, N)>,
}

impl<MK, MV, N> Clone for MapState<MK, MV, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<MK, MV, N> Copy for MapState<MK, MV, N> {}

impl<MK: SubKey, MV: Record, N: SubKey> MapState<MK, MV, N> {
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
    ) -> (&'c mut MapTable<C::Key, N, MK, MV>, At<'c, C::Key, N>, i64)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let InNamespace { backend, namespace } = cx.scope();
        backend.open(self.index, namespace)
    }

    /// The value of `key` in the map of the current key.
    #[inline]
    pub fn get<'c, C>(&self, cx: &'c mut C, key: &MK) -> Option<&'c MV>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.get(at, now, key)
    }

    /// The value of `key`, to be changed in place; counts as a write for the time to live.
    #[inline]
    pub fn get_mut<'c, C>(&self, cx: &'c mut C, key: &MK) -> Option<&'c mut MV>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.get_mut(at, now, key, true)
    }

    /// The value of `key`, to be changed in place; first made by `value` if there is none. Counts as
    /// a write for the time to live.
    #[inline]
    pub fn get_or_insert_with<'c, C>(
        &self,
        cx: &'c mut C,
        key: MK,
        value: impl FnOnce() -> MV,
    ) -> &'c mut MV
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.get_or_insert_with(at, now, key, value)
    }

    /// Sets the value of `key`.
    #[inline]
    pub fn put<C>(&self, cx: &mut C, key: MK, value: MV)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.put(at, now, key, value);
    }

    /// Sets the values of several keys.
    pub fn put_all<C>(&self, cx: &mut C, entries: impl IntoIterator<Item = (MK, MV)>)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        for (key, value) in entries {
            self.put(cx, key, value);
        }
    }

    /// Removes `key`, and returns its value.
    #[inline]
    pub fn remove<C>(&self, cx: &mut C, key: &MK) -> Option<MV>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.remove(at, now, key)
    }

    /// Whether `key` has a value; counts as a read for the time to live.
    #[inline]
    pub fn contains<C>(&self, cx: &mut C, key: &MK) -> bool
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        self.get(cx, key).is_some()
    }

    /// The entries of the current key's map. Counts as a read of all of them for the time to live.
    pub fn iter<'c, C>(&self, cx: &'c mut C) -> MapIter<'c, MK, MV>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.iter(at, now)
    }

    /// The keys of the current key's map; as [`iter`](Self::iter).
    pub fn keys<'c, C>(&self, cx: &'c mut C) -> impl Iterator<Item = &'c MK> + use<'c, C, MK, MV, N>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        self.iter(cx).map(|(key, _)| key)
    }

    /// The values of the current key's map; as [`iter`](Self::iter).
    pub fn values<'c, C>(
        &self,
        cx: &'c mut C,
    ) -> impl Iterator<Item = &'c MV> + use<'c, C, MK, MV, N>
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        self.iter(cx).map(|(_, value)| value)
    }

    /// Whether the current key's map has no entry that would be seen. Does not prolong life.
    pub fn is_empty<C>(&self, cx: &mut C) -> bool
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, now) = self.open(cx);
        table.is_empty(at, now)
    }

    /// Removes the map of the current key.
    pub fn clear<C>(&self, cx: &mut C)
    where
        C: StateScope<Namespace = N> + ?Sized,
    {
        let (table, at, _) = self.open(cx);
        table.clear_row(at);
    }
}

impl<MK: SubKey, MV: Record> MapState<MK, MV> {
    /// All keys of this subtask that have a map, with their hashes; with time to live also
    /// those whose state has expired and not been removed yet.
    pub fn state_keys<C: KeyedStateAccess + ?Sized>(&self, cx: &mut C) -> Vec<(u64, C::Key)> {
        cx.keyed_state().keys_of(self.index)
    }
}
