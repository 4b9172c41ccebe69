//! States read from blobs: the share of one subtask.

use std::ops::RangeInclusive;

use flott_record::hash::{key_group, stable_hash};
use flott_record::schema::{Mismatch, ResolveError, Resolver, Schema};
use flott_record::{Key, Record};
use serde::de::DeserializeOwned;

use super::super::format::StateEntry;
use super::super::part::schema;
use super::super::reader::{Blob, RowError};
use super::super::{StateBlob, StateKind};
use super::{RestorePlace, Wanted, id};
use crate::cold::TieredTable;
use crate::{KeyedTable, StateError, SubKey, TimeDomain, Timers};

const TWICE: &str = "the same key twice";

pub(super) struct Blobs {
    keyed: Vec<Blob>,
    /// With the old subtask, ascending.
    states: Vec<(u32, Blob)>,
}

impl Blobs {
    pub(super) fn open(
        place: &RestorePlace,
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
        let states = states.into_iter().filter(|(_, blob)| blob.len() > 0);
        let states = states.map(|(subtask, blob)| Ok((subtask, open(blob)?)));
        let mut states = states.collect::<Result<Vec<_>, StateError>>()?;
        states.sort_by_key(|(subtask, _)| *subtask);
        Ok(Self {
            keyed: keyed.map(open).collect::<Result<_, _>>()?,
            states,
        })
    }

    /// Kind, name, and number of rows.
    pub(super) fn states(&self) -> impl Iterator<Item = (StateKind, &str, u64)> {
        let states = self.states.iter().map(|(_, blob)| blob);
        let entries = self.keyed.iter().chain(states).flat_map(Blob::states);
        entries.map(|entry| (entry.kind, entry.name.as_str(), entry.rows))
    }

    pub(super) fn table<R: Record + Eq, V: Record>(
        &self,
        place: &RestorePlace,
        wanted: Wanted<'_>,
        hash_of: fn(&R) -> u64,
    ) -> Result<KeyedTable<R, V>, StateError> {
        let mut table = KeyedTable::new();
        self.each_row(place, wanted, |key: R, value: V, groups| {
            let hash = hash_of(&key);
            if is_own(place, hash, groups)? && table.insert(hash, key, value).is_some() {
                return Err(RowError::Wrong(TWICE));
            }
            Ok(())
        })?;
        Ok(table)
    }

    /// As [`table`](Self::table), into a table that may have a cold tier.
    pub(super) fn fill<R: Record + Eq, V: Record>(
        &self,
        place: &RestorePlace,
        wanted: Wanted<'_>,
        hash_of: fn(&R) -> u64,
        table: &mut TieredTable<R, V>,
    ) -> Result<(), StateError> {
        self.each_row(place, wanted, |key: R, value: V, groups| {
            let hash = hash_of(&key);
            if is_own(place, hash, groups)? && !table.fill(hash, key, value)? {
                return Err(RowError::Wrong(TWICE));
            }
            Ok(())
        })?;
        table.make_room()
    }

    pub(super) fn tables<K: Key, N: Record + PartialEq, V: Record>(
        &self,
        place: &RestorePlace,
        wanted: Wanted<'_>,
        make: &mut dyn FnMut(&N) -> TieredTable<K, V>,
    ) -> Result<Vec<(N, TieredTable<K, V>)>, StateError> {
        let mut tables: Vec<(N, TieredTable<K, V>)> = Vec::new();
        let mut last = 0;
        self.each_row(
            place,
            wanted,
            |(key, namespace): (K, N), value: V, groups| {
                let hash = stable_hash(&key);
                if !is_own(place, hash, groups)? {
                    return Ok(());
                }
                if tables
                    .get(last)
                    .is_none_or(|(known, _)| *known != namespace)
                {
                    let known = tables.iter().position(|(known, _)| *known == namespace);
                    last = known.unwrap_or(tables.len());
                    if known.is_none() {
                        let table = make(&namespace);
                        tables.push((namespace, table));
                    }
                }
                match tables[last].1.fill(hash, key, value)? {
                    true => Ok(()),
                    false => Err(RowError::Wrong(TWICE)),
                }
            },
        )?;
        for (_, table) in &mut tables {
            table.make_room()?;
        }
        Ok(tables)
    }

    pub(super) fn timers<K: Key, N: SubKey>(
        &self,
        place: &RestorePlace,
        wanted: Wanted<'_>,
    ) -> Result<Timers<K, N>, StateError> {
        let mut timers = Timers::<K, N>::default();
        self.each_row(place, wanted, |(key, namespace): (K, N), at, groups| {
            let (domain, timestamp): (TimeDomain, i64) = at;
            let hash = stable_hash(&key);
            let queue = timers.of(domain);
            if is_own(place, hash, groups)? && !queue.register(timestamp, hash, &key, &namespace) {
                return Err(RowError::Wrong(TWICE));
            }
            Ok(())
        })?;
        Ok(timers)
    }

    /// All elements of all old subtasks, with the old subtask.
    pub(super) fn items<T: Record>(&self, wanted: Wanted<'_>) -> Result<Vec<(u32, T)>, StateError> {
        let mut items = Vec::new();
        for (subtask, blob) in &self.states {
            for (blob, entry) in entries(wanted, [blob])? {
                let values = resolver::<T>(wanted.name, &entry.value)?;
                blob.rows(entry, &(0..1), |_, input| {
                    items.push((*subtask, values.decode(input)?));
                    Ok(())
                })?;
            }
        }
        Ok(items)
    }

    pub(super) fn broadcast<MK: SubKey, MV: Record>(
        &self,
        place: &RestorePlace,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(MK, MV)>, StateError> {
        let all = entries(wanted, self.states.iter().map(|(_, blob)| blob))?;
        let mut found = Vec::new();
        if !all.is_empty() {
            let (blob, entry) = all[place.subtask as usize % all.len()];
            let key = entry.key.as_ref().ok_or_else(|| no_key(blob, entry))?;
            let keys = resolver::<MK>(wanted.name, key)?;
            let values = resolver::<MV>(wanted.name, &entry.value)?;
            blob.rows(entry, &(0..1), |_, input| {
                found.push((keys.decode(input)?, values.decode(input)?));
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn each_row<R: DeserializeOwned, V: DeserializeOwned>(
        &self,
        place: &RestorePlace,
        wanted: Wanted<'_>,
        mut each: impl FnMut(R, V, &RangeInclusive<u32>) -> Result<(), RowError>,
    ) -> Result<(), StateError> {
        for (blob, entry) in entries(wanted, &self.keyed)? {
            let key = entry.key.as_ref().ok_or_else(|| no_key(blob, entry))?;
            let keys = key_resolver::<R>(wanted.name, key)?;
            let values = resolver::<V>(wanted.name, &entry.value)?;
            blob.rows(entry, &place.key_groups, |groups, input| {
                let (key, value) = (keys.decode(input)?, values.decode(input)?);
                each(key, value, groups)
            })?;
        }
        Ok(())
    }
}

/// Whether a key is one of this subtask's. It must be of the key groups of its block.
fn is_own(place: &RestorePlace, hash: u64, groups: &RangeInclusive<u32>) -> Result<bool, RowError> {
    let group = key_group(hash, place.max_parallelism);
    if groups.contains(&group) {
        Ok(place.key_groups.contains(&group))
    } else {
        Err(RowError::Wrong("a key of another key group"))
    }
}

/// The state in those blobs that have it, checked.
fn entries<'b>(
    wanted: Wanted<'_>,
    blobs: impl IntoIterator<Item = &'b Blob>,
) -> Result<Vec<(&'b Blob, &'b StateEntry)>, StateError> {
    let of = id(wanted.kind, wanted.name);
    let mut found = Vec::new();
    for blob in blobs {
        let entries = blob.states().iter();
        for entry in entries.filter(|entry| id(entry.kind, &entry.name) == of) {
            wanted.check(entry.kind, entry.ttl.is_some())?;
            found.push((blob, entry));
        }
    }
    Ok(found)
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
