//! What an operator begins from: its share of a snapshot.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Mutex, PoisonError};

use flott_record::hash::{key_group, stable_hash};
use flott_record::schema::{Mismatch, ResolveError, Resolver, Schema};
use flott_record::{Key, Record};
use serde::de::DeserializeOwned;

use super::format::{Origin, StateEntry};
use super::part::schema;
use super::reader::{Blob, RowError};
use super::{StateBlob, StateKind};
use crate::{KeyedTable, StateError, SubKey, TimeDomain, Timers};

/// Who restores: which subtask of how many, and which key groups are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlace {
    /// Index of the subtask, from 0.
    pub subtask: u32,
    /// Number of subtasks.
    pub parallelism: u32,
    /// How many there were when the snapshot was taken.
    pub old_parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// The key groups of the subtask.
    pub key_groups: Range<u32>,
}

impl RestorePlace {
    /// A subtask with the key groups that rows are sent to it by
    /// ([`subtask_of`](flott_record::hash::subtask_of)).
    pub fn new(subtask: u32, parallelism: u32, max_parallelism: u32, old_parallelism: u32) -> Self {
        let first_of = |subtask: u32| {
            let groups = u64::from(subtask) * u64::from(max_parallelism);
            // At most `max_parallelism`, for a subtask of that parallelism.
            groups.div_ceil(u64::from(parallelism.max(1))) as u32
        };
        Self {
            subtask,
            parallelism,
            old_parallelism,
            max_parallelism,
            key_groups: first_of(subtask)..first_of(subtask.saturating_add(1)),
        }
    }
}

/// A state that is in the snapshot and that nobody has asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unclaimed {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: StateKind,
}

/// The snapshot of an operator as one of its new subtasks sees it. Cheap to clone.
///
/// States are asked for by name; what is not in the snapshot begins empty, and what is in it but of
/// another kind, or of a type that has changed too much, is refused. Rows are read when they are
/// asked for. See [`OperatorSnapshot`](super::OperatorSnapshot) for an example.
#[derive(Clone)]
pub struct RestoredOperator {
    inner: Arc<Inner>,
}

struct Inner {
    place: RestorePlace,
    keyed: Vec<Blob>,
    /// With the old subtask, ascending.
    states: Vec<(u32, Blob)>,
    /// What has been asked for. A lock, because restored operators are shared; taken once per state.
    claimed: Mutex<BTreeSet<(bool, Origin, String)>>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) kind: StateKind,
    pub(crate) name: &'a str,
    pub(crate) ttl: bool,
}

impl RestoredOperator {
    /// Reads the indexes of blobs: of the keyed blobs with key groups of the subtask, and of the
    /// operator blobs of all old subtasks, each with its old subtask. Blobs without bytes are
    /// ignored.
    ///
    /// # Errors
    /// When a blob cannot be read, is damaged or foreign, or has another number of key groups.
    pub fn open(
        place: RestorePlace,
        keyed: Vec<Box<dyn StateBlob>>,
        states: Vec<(u32, Box<dyn StateBlob>)>,
    ) -> Result<Self, StateError> {
        let open = |blob: Box<dyn StateBlob>| {
            let blob = Blob::open(blob)?;
            if blob.max_parallelism() != place.max_parallelism {
                return Err(StateError::MaxParallelism {
                    blob: blob.name(),
                    stored: blob.max_parallelism(),
                    wanted: place.max_parallelism,
                });
            }
            Ok(blob)
        };
        let keyed = keyed.into_iter().filter(|blob| blob.len() > 0);
        let keyed = keyed.map(open).collect::<Result<_, _>>()?;
        let states = states.into_iter().filter(|(_, blob)| blob.len() > 0);
        let states = states.map(|(subtask, blob)| Ok((subtask, open(blob)?)));
        let mut states = states.collect::<Result<Vec<_>, StateError>>()?;
        states.sort_by_key(|(subtask, _)| *subtask);
        Ok(Self {
            inner: Arc::new(Inner {
                place,
                keyed,
                states,
                claimed: Mutex::default(),
            }),
        })
    }

    /// Who restores.
    pub fn place(&self) -> &RestorePlace {
        &self.inner.place
    }

    /// States in the snapshot that have not been asked for, in order of their names: once the
    /// operator has been opened, those that are lost. States without rows for this subtask count.
    pub fn unclaimed(&self) -> Vec<Unclaimed> {
        let claimed = self.inner.claimed.lock();
        let claimed = claimed.unwrap_or_else(PoisonError::into_inner);
        let states = self.inner.states.iter().map(|(_, blob)| blob);
        let entries = self.inner.keyed.iter().chain(states).flat_map(Blob::states);
        let unclaimed: BTreeSet<_> = entries
            .filter(|entry| !claimed.contains(&id(entry.kind, &entry.name)))
            // A backend always has timers, and few functions use them.
            .filter(|entry| entry.kind != StateKind::UserTimers || entry.rows > 0)
            .map(|entry| Unclaimed {
                name: entry.name.clone(),
                kind: entry.kind,
            })
            .collect();
        unclaimed.into_iter().collect()
    }

    /// A table of the operator; empty if it is not in the snapshot.
    ///
    /// # Errors
    /// When it is there but of another kind, its types have changed too much, or it cannot be read.
    pub fn table<K: Key, V: Record>(&self, name: &str) -> Result<KeyedTable<K, V>, StateError> {
        let wanted = Wanted {
            kind: StateKind::Table,
            name,
            ttl: false,
        };
        self.keyed_rows(wanted, stable_hash::<K>)
    }

    /// The tables handed over by [`OperatorSnapshot::tables`](super::OperatorSnapshot::tables) that
    /// have rows for this subtask, in the order of their first rows.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn tables<K: Key, N: Record + PartialEq, V: Record>(
        &self,
        name: &str,
    ) -> Result<Vec<(N, KeyedTable<K, V>)>, StateError> {
        let wanted = Wanted {
            kind: StateKind::Table,
            name,
            ttl: false,
        };
        let mut tables: Vec<(N, KeyedTable<K, V>)> = Vec::new();
        let mut last = 0;
        self.each_keyed_row(wanted, |(key, namespace): (K, N), value: V, groups| {
            let hash = stable_hash(&key);
            if !self.is_own(hash, groups)? {
                return Ok(());
            }
            if tables
                .get(last)
                .is_none_or(|(known, _)| *known != namespace)
            {
                let known = tables.iter().position(|(known, _)| *known == namespace);
                last = known.unwrap_or(tables.len());
                if known.is_none() {
                    tables.push((namespace, KeyedTable::new()));
                }
            }
            match tables[last].1.insert(hash, key, value) {
                None => Ok(()),
                Some(_) => Err(RowError::Wrong(TWICE)),
            }
        })?;
        Ok(tables)
    }

    /// Timers of the operator.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn timers<K: Key, N: SubKey>(&self, name: &str) -> Result<Timers<K, N>, StateError> {
        self.timers_of(StateKind::Timers, name)
    }

    pub(crate) fn timers_of<K: Key, N: SubKey>(
        &self,
        kind: StateKind,
        name: &str,
    ) -> Result<Timers<K, N>, StateError> {
        let wanted = Wanted {
            kind,
            name,
            ttl: false,
        };
        let mut timers = Timers::<K, N>::default();
        self.each_keyed_row(wanted, |(key, namespace): (K, N), at, groups| {
            let (domain, timestamp): (TimeDomain, i64) = at;
            let hash = stable_hash(&key);
            if !self.is_own(hash, groups)? {
                return Ok(());
            }
            let queue = timers.of(domain);
            if queue.register(timestamp, hash, &key, &namespace) {
                Ok(())
            } else {
                Err(RowError::Wrong(TWICE))
            }
        })?;
        Ok(timers)
    }

    /// What each old subtask kept as a value of that name, with the old subtask.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn value<T: Record>(&self, name: &str) -> Result<Vec<(u32, T)>, StateError> {
        let wanted = Wanted {
            kind: StateKind::SubtaskValue,
            name,
            ttl: false,
        };
        self.items(wanted)
    }

    /// This subtask's share of the elements that the operator kept: those of the same subtask if
    /// the parallelism is as it was, else every `parallelism`th of all.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn list<T: Record>(&self, name: &str) -> Result<Vec<T>, StateError> {
        self.list_of(StateKind::SubtaskList, name)
    }

    pub(crate) fn list_of<T: Record>(
        &self,
        kind: StateKind,
        name: &str,
    ) -> Result<Vec<T>, StateError> {
        let wanted = Wanted {
            kind,
            name,
            ttl: false,
        };
        let all = self.items(wanted)?;
        let place = &self.inner.place;
        let mine = |(at, (old, _)): &(usize, (u32, T))| match kind {
            StateKind::UnionList => true,
            _ if place.parallelism == place.old_parallelism => *old == place.subtask,
            _ => *at as u64 % u64::from(place.parallelism.max(1)) == u64::from(place.subtask),
        };
        let mine = all.into_iter().enumerate().filter(mine);
        Ok(mine.map(|(_, (_, item))| item).collect())
    }

    /// The entries of a broadcast state: those of one old subtask, as all have the same.
    pub(crate) fn broadcast<MK: SubKey, MV: Record>(
        &self,
        name: &str,
    ) -> Result<Vec<(MK, MV)>, StateError> {
        let wanted = Wanted {
            kind: StateKind::Broadcast,
            name,
            ttl: false,
        };
        let all = self.entries(wanted, self.inner.states.iter().map(|(_, blob)| blob))?;
        let mut entries = Vec::new();
        if !all.is_empty() {
            let (blob, entry) = all[self.inner.place.subtask as usize % all.len()];
            let key = entry.key.as_ref().ok_or_else(|| no_key(blob, entry))?;
            let keys = resolver::<MK>(name, key)?;
            let values = resolver::<MV>(name, &entry.value)?;
            blob.rows(entry, &(0..1), |_, input| {
                entries.push((keys.decode(input)?, values.decode(input)?));
                Ok(())
            })?;
        }
        Ok(entries)
    }

    /// The rows of a state of this subtask as a table. `hash_of` tells under which hash a row is kept.
    pub(crate) fn keyed_rows<R: Record + Eq, V: Record>(
        &self,
        wanted: Wanted<'_>,
        hash_of: fn(&R) -> u64,
    ) -> Result<KeyedTable<R, V>, StateError> {
        let mut table = KeyedTable::new();
        self.each_keyed_row(wanted, |key: R, value: V, groups| {
            let hash = hash_of(&key);
            if !self.is_own(hash, groups)? {
                return Ok(());
            }
            match table.insert(hash, key, value) {
                None => Ok(()),
                Some(_) => Err(RowError::Wrong(TWICE)),
            }
        })?;
        Ok(table)
    }

    /// Whether a key is one of this subtask's. It must be of the key groups of its block.
    fn is_own(&self, hash: u64, groups: &RangeInclusive<u32>) -> Result<bool, RowError> {
        let group = key_group(hash, self.inner.place.max_parallelism);
        if groups.contains(&group) {
            Ok(self.inner.place.key_groups.contains(&group))
        } else {
            Err(RowError::Wrong("a key of another key group"))
        }
    }

    fn each_keyed_row<R: DeserializeOwned, V: DeserializeOwned>(
        &self,
        wanted: Wanted<'_>,
        mut each: impl FnMut(R, V, &RangeInclusive<u32>) -> Result<(), RowError>,
    ) -> Result<(), StateError> {
        let groups = &self.inner.place.key_groups;
        for (blob, entry) in self.entries(wanted, self.inner.keyed.iter())? {
            let key = entry.key.as_ref().ok_or_else(|| no_key(blob, entry))?;
            let keys = key_resolver::<R>(wanted.name, key)?;
            let values = resolver::<V>(wanted.name, &entry.value)?;
            blob.rows(entry, groups, |groups, input| {
                let (key, value) = (keys.decode(input)?, values.decode(input)?);
                each(key, value, groups)
            })?;
        }
        Ok(())
    }

    /// All elements of all old subtasks.
    fn items<T: Record>(&self, wanted: Wanted<'_>) -> Result<Vec<(u32, T)>, StateError> {
        let mut items = Vec::new();
        for (subtask, blob) in &self.inner.states {
            for (blob, entry) in self.entries(wanted, [blob])? {
                let values = resolver::<T>(wanted.name, &entry.value)?;
                blob.rows(entry, &(0..1), |_, input| {
                    items.push((*subtask, values.decode(input)?));
                    Ok(())
                })?;
            }
        }
        Ok(items)
    }

    /// The state in those blobs that have it; checked and noted as claimed.
    fn entries<'b>(
        &self,
        wanted: Wanted<'_>,
        blobs: impl IntoIterator<Item = &'b Blob>,
    ) -> Result<Vec<(&'b Blob, &'b StateEntry)>, StateError> {
        let of = id(wanted.kind, wanted.name);
        let mut found = Vec::new();
        for blob in blobs {
            let entries = blob.states().iter();
            for entry in entries.filter(|entry| id(entry.kind, &entry.name) == of) {
                check_kind(wanted, entry)?;
                found.push((blob, entry));
            }
        }
        let claimed = self.inner.claimed.lock();
        claimed.unwrap_or_else(PoisonError::into_inner).insert(of);
        Ok(found)
    }
}

const TWICE: &str = "the same key twice";

fn id(kind: StateKind, name: &str) -> (bool, Origin, String) {
    (kind.is_keyed(), kind.origin(), name.to_owned())
}

fn check_kind(wanted: Wanted<'_>, entry: &StateEntry) -> Result<(), StateError> {
    if entry.kind != wanted.kind {
        return Err(StateError::Kind {
            state: wanted.name.to_owned(),
            stored: entry.kind.name(),
            wanted: wanted.kind.name(),
        });
    }
    if entry.ttl.is_some() != wanted.ttl {
        return Err(StateError::TtlChanged {
            state: wanted.name.to_owned(),
            stored: entry.ttl.is_some(),
        });
    }
    Ok(())
}

fn no_key(blob: &Blob, entry: &StateEntry) -> StateError {
    blob.corrupt(entry, entry.end, "no type of keys")
}

/// How values of a state are read as the types of today.
fn resolver<T: DeserializeOwned>(state: &str, stored: &Schema) -> Result<Resolver<T>, StateError> {
    Resolver::new(stored).map_err(|error| match error {
        ResolveError::Mismatch(mismatch) => incompatible(state, mismatch),
        ResolveError::Schema(source) => StateError::Schema {
            state: state.to_owned(),
            source,
        },
        other => StateError::Incompatible {
            state: state.to_owned(),
            place: "its type".to_owned(),
            old: stored.to_string(),
            new: std::any::type_name::<T>().to_owned(),
            why: other.to_string(),
        },
    })
}

fn incompatible(state: &str, mismatch: Mismatch) -> StateError {
    let Mismatch {
        path,
        old,
        new,
        why,
    } = mismatch;
    StateError::Incompatible {
        state: state.to_owned(),
        place: path,
        old,
        new,
        why,
    }
}

/// As [`resolver`], for keys: they must have the hashes that they had.
fn key_resolver<R: DeserializeOwned>(
    state: &str,
    stored: &Schema,
) -> Result<Resolver<R>, StateError> {
    let resolver = resolver(state, stored)?;
    let now = schema::<R>(state)?;
    if resolver.is_same() || stored.hashes_as(&now) {
        return Ok(resolver);
    }
    Err(incompatible(
        state,
        Mismatch {
            path: "its key".to_owned(),
            old: stored.to_string(),
            new: now.to_string(),
            why:
                "rows are found by the hashes of their keys, so a key stays as it is but for names \
                  and wider integers"
                    .to_owned(),
        },
    ))
}
