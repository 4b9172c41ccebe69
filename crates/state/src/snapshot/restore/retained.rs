//! States taken from a snapshot in memory.

use std::any::{Any, type_name};

use flott_record::{Key, Record};

use super::super::OperatorSnapshot;
use super::super::part::{BroadcastPart, ListPart, Part, TablePart, TablesPart, TimersPart};
use super::Wanted;
use crate::{KeyedTable, StateError, SubKey, Timers};

/// The part that is wanted, as what it must be; `None` if it is not there.
fn part<'s, P: Part>(
    snapshot: &'s OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<Option<&'s P>, StateError> {
    let Some(part) = snapshot.part(wanted.kind, wanted.name) else {
        return Ok(None);
    };
    wanted.check(part.kind(), part.has_ttl())?;
    let part: &dyn Any = &**part;
    match part.downcast_ref() {
        Some(part) => Ok(Some(part)),
        None => Err(StateError::Incompatible {
            state: wanted.name.to_owned(),
            place: "its type".to_owned(),
            old: "another one".to_owned(),
            new: type_name::<P>().to_owned(),
            why: "a subtask is rolled back by the program that it has run in".to_owned(),
        }),
    }
}

pub(super) fn table<R: Record, V: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<KeyedTable<R, V>, StateError> {
    let part = part::<TablePart<R, V>>(snapshot, wanted)?;
    Ok(part.map_or_else(KeyedTable::new, |part| {
        KeyedTable::from_snapshot(&part.rows)
    }))
}

pub(super) fn tables<K: Key, N: Record, V: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<Vec<(N, KeyedTable<K, V>)>, StateError> {
    let Some(part) = part::<TablesPart<K, N, V>>(snapshot, wanted)? else {
        return Ok(Vec::new());
    };
    let tables = part.tables.iter().filter(|(_, rows)| !rows.is_empty());
    let tables =
        tables.map(|(namespace, rows)| (namespace.clone(), KeyedTable::from_snapshot(rows)));
    Ok(tables.collect())
}

pub(super) fn timers<K: Key, N: SubKey>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<Timers<K, N>, StateError> {
    let mut timers = Timers::default();
    if let Some(part) = part::<TimersPart<K, N>>(snapshot, wanted)? {
        for (domain, timestamp, hash, key, namespace) in part.timers.iter() {
            timers.of(domain).register(timestamp, hash, key, namespace);
        }
    }
    Ok(timers)
}

pub(super) fn items<T: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<Vec<T>, StateError> {
    let part = part::<ListPart<T>>(snapshot, wanted)?;
    Ok(part.map_or_else(Vec::new, |part| part.items.to_vec()))
}

pub(super) fn broadcast<MK: SubKey, MV: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<Vec<(MK, MV)>, StateError> {
    let Some(part) = part::<BroadcastPart<MK, MV>>(snapshot, wanted)? else {
        return Ok(Vec::new());
    };
    let entries = part.map.iter();
    Ok(entries
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}
