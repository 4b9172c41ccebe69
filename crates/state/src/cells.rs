//! One value per key, with or without time to live: what value, reducing and aggregating state are.

use std::sync::Arc;

use flott_record::{Key, Record};

use crate::backend::Home;
use crate::cold::TieredTable;
use crate::scope::{At, Scoped};
use crate::snapshot::{Expiry, Part, TablePart, Wanted};
use crate::ttl::{Expire, Timed, Ttl};
use crate::{Position, RestoredOperator, StateError, StateKind, SubKey};

/// Rows that expire, and how far the sweep through them has come.
pub(crate) struct Expiring<K, N, R> {
    pub(crate) rows: TieredTable<Scoped<K, N>, R>,
    pub(crate) ttl: Ttl,
    cursor: usize,
}

impl<K, N, R> Expiring<K, N, R> {
    pub(crate) fn new(ttl: Ttl, rows: TieredTable<Scoped<K, N>, R>) -> Self {
        Self {
            rows,
            ttl,
            cursor: 0,
        }
    }

    /// The part of the clean-up that each access does.
    /// Rows that are `due` are removed if `clean` says so.
    pub(crate) fn sweep(&mut self, due: impl FnMut(&R) -> bool, clean: impl FnMut(&mut R) -> bool)
    where
        K: Clone,
        N: Clone,
        R: Clone,
    {
        if self.ttl.sweep > 0 {
            self.rows
                .sweep(&mut self.cursor, self.ttl.sweep, due, clean);
        }
    }
}

/// What a snapshot holds of rows that do not expire.
pub(crate) fn part<K: Key, N: SubKey, V: Record>(
    kind: StateKind,
    name: &str,
    rows: &mut TieredTable<Scoped<K, N>, V>,
) -> Arc<dyn Part> {
    Arc::new(TablePart {
        name: name.to_owned(),
        kind,
        cold: rows.view(),
        rows: rows.snapshot(),
        hash_of: Scoped::hash,
        expiry: None,
    })
}

/// Replaces the rows by those of a snapshot.
pub(crate) fn restore<K: Key, N: SubKey, V: Record>(
    kind: StateKind,
    name: &str,
    rows: &mut TieredTable<Scoped<K, N>, V>,
    from: &RestoredOperator,
) -> Result<(), StateError> {
    let wanted = Wanted {
        kind,
        name,
        ttl: false,
    };
    from.fill(wanted, Scoped::hash, rows)
}

impl<K: Key, N: SubKey, R: Record + Expire> Expiring<K, N, R> {
    /// What a snapshot holds of the rows: what has not expired at `now`.
    pub(crate) fn part(&mut self, kind: StateKind, name: &str, now: i64) -> Arc<dyn Part> {
        let ttl = self.ttl;
        Arc::new(TablePart {
            name: name.to_owned(),
            kind,
            cold: self.rows.view(),
            rows: self.rows.snapshot(),
            hash_of: Scoped::hash,
            expiry: Some(Expiry {
                ttl: ttl.milliseconds,
                live: Box::new(move |row: &R| row.live(ttl, now)),
            }),
        })
    }

    /// Replaces the rows by those of a snapshot.
    pub(crate) fn restore(
        &mut self,
        kind: StateKind,
        name: &str,
        from: &RestoredOperator,
    ) -> Result<(), StateError> {
        let wanted = Wanted {
            kind,
            name,
            ttl: true,
        };
        from.fill(wanted, Scoped::hash, &mut self.rows)
    }

    /// Moves rows out of memory that do not fit there; what has expired goes.
    pub(crate) fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        let ttl = self.ttl;
        self.rows.make_room_with(&|row| row.live(ttl, now))
    }
}

pub(crate) enum Cells<K, N, V> {
    Plain(TieredTable<Scoped<K, N>, V>),
    Timed(Expiring<K, N, Timed<V>>),
}

impl<K: Key, N: SubKey, V: Record> Cells<K, N, V> {
    pub(crate) fn new(ttl: Option<Ttl>, home: &Home<'_>) -> Self {
        match ttl {
            None => Self::Plain(home.table()),
            Some(ttl) => Self::Timed(Expiring::new(ttl, home.table())),
        }
    }

    #[inline]
    pub(crate) fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => load(rows, at),
            Self::Timed(timed) => load(&mut timed.rows, at),
        }
    }

    pub(crate) fn make_room(&mut self, now: i64) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => rows.make_room(),
            Self::Timed(timed) => timed.make_room(now),
        }
    }

    #[inline]
    pub(crate) fn read(&mut self, at: At<'_, K, N>, now: i64) -> Option<&V> {
        match self {
            Self::Plain(rows) => rows.get(at.hash, &at),
            Self::Timed(timed) => timed.look(at, now).map(|row| &row.value),
        }
    }

    /// The value, to be changed: a read and a write in one.
    #[inline]
    pub(crate) fn change(&mut self, at: At<'_, K, N>, now: i64) -> Option<&mut V> {
        match self {
            Self::Plain(rows) => rows.get_mut(at.hash, &at),
            Self::Timed(timed) => timed.read(at, now).map(|row| {
                row.stamp = Ttl::stamp(now);
                &mut row.value
            }),
        }
    }

    #[inline]
    pub(crate) fn write(&mut self, at: At<'_, K, N>, now: i64, value: V) {
        match self {
            Self::Plain(rows) => match rows.get_mut(at.hash, &at) {
                Some(present) => *present = value,
                None => {
                    rows.insert_new(at.hash, at.own(), value);
                }
            },
            Self::Timed(timed) => timed.write(at, now, value),
        }
    }

    /// Removes the row, and returns its value if a reader would have seen it.
    pub(crate) fn take(&mut self, at: At<'_, K, N>, now: i64) -> Option<V> {
        match self {
            Self::Plain(rows) => rows.remove(at.hash, &at),
            Self::Timed(timed) => {
                let mut row = timed.rows.remove(at.hash, &at)?;
                timed.ttl.read(&mut row.stamp, now).then_some(row.value)
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(rows) => rows.rows(),
            Self::Timed(timed) => timed.rows.rows(),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Plain(rows) => rows.clear(),
            Self::Timed(timed) => timed.rows.clear(),
        }
    }

    pub(crate) fn keys(&self) -> Result<Vec<(u64, K)>, StateError> {
        match self {
            Self::Plain(rows) => keys(rows),
            Self::Timed(timed) => keys(&timed.rows),
        }
    }

    pub(crate) fn snapshot(&mut self, kind: StateKind, name: &str, now: i64) -> Arc<dyn Part> {
        match self {
            Self::Plain(rows) => part(kind, name, rows),
            Self::Timed(timed) => timed.part(kind, name, now),
        }
    }

    pub(crate) fn restore(
        &mut self,
        kind: StateKind,
        name: &str,
        from: &RestoredOperator,
    ) -> Result<(), StateError> {
        match self {
            Self::Plain(rows) => restore(kind, name, rows, from),
            Self::Timed(timed) => timed.restore(kind, name, from),
        }
    }
}

/// Brings a row into memory.
#[inline]
pub(crate) fn load<K: Key, N: SubKey, R: Record>(
    rows: &mut TieredTable<Scoped<K, N>, R>,
    at: At<'_, K, N>,
) -> Result<(), StateError> {
    rows.want_as(at.hash, &at, |out| at.encode(out))?;
    rows.fetch()
}

/// All keys of a table; meant for tables without namespace, where a row's hash is its key's.
pub(crate) fn keys<K: Key, N: SubKey, R: Record>(
    rows: &TieredTable<Scoped<K, N>, R>,
) -> Result<Vec<(u64, K)>, StateError> {
    let hot = rows.iter();
    let hot = hot.map(|(hash, scoped, _)| (hash, scoped.key.clone()));
    let mut keys: Vec<_> = hot.collect();
    rows.each_cold_key(|scoped| keys.push((scoped.hash(), scoped.key)))?;
    Ok(keys)
}

impl<K: Key, N: SubKey, V: Record> Expiring<K, N, Timed<V>> {
    fn sweep_cells(&mut self, now: i64) {
        let ttl = self.ttl;
        self.sweep(|row| ttl.expired(row.stamp, now), |_| true);
    }

    /// The row, if a reader sees it. Shared rows stay shared where nothing changes.
    fn look(&mut self, at: At<'_, K, N>, now: i64) -> Option<&Timed<V>> {
        self.sweep_cells(now);
        let position = self.rows.find(at.hash, &at)?;
        let stamp = self.rows.at(position)?.stamp;
        if !self.ttl.just_read(stamp, now) {
            return self.touch(at, position, now).map(|row| &*row);
        }
        self.rows.at(position)
    }

    /// The row, to be changed, if a reader sees it.
    fn read(&mut self, at: At<'_, K, N>, now: i64) -> Option<&mut Timed<V>> {
        self.sweep_cells(now);
        let position = self.rows.find(at.hash, &at)?;
        self.touch(at, position, now)
    }

    fn touch(&mut self, at: At<'_, K, N>, position: Position, now: i64) -> Option<&mut Timed<V>> {
        let ttl = self.ttl;
        let seen = self
            .rows
            .at_mut(position)
            .is_some_and(|row| ttl.read(&mut row.stamp, now));
        if !seen {
            self.rows.remove(at.hash, &at);
            return None;
        }
        self.rows.at_mut(position)
    }

    fn write(&mut self, at: At<'_, K, N>, now: i64, value: V) {
        self.sweep_cells(now);
        let row = Timed {
            stamp: Ttl::stamp(now),
            value,
        };
        match self.rows.get_mut(at.hash, &at) {
            Some(present) => *present = row,
            None => {
                self.rows.insert_new(at.hash, at.own(), row);
            }
        }
    }
}
