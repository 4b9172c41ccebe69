//! States taken from a snapshot in memory.

use std::any::{Any, type_name};
use std::sync::Arc;

use flott_record::{Key, Record};

use super::super::OperatorSnapshot;
use super::super::part::{
    BroadcastPart, ListPart, Part, TablePart, TablesPart, TimersPart, decode_cold,
};
use super::Wanted;
use crate::cold::{ColdView, TieredTable};
use crate::{KeyedTable, StateError, SubKey, TableSnapshot, Timers};

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

/// As [`table`], into a table that has a cold tier.
pub(super) fn fill<R: Record + Eq, V: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
    hash_of: fn(&R) -> u64,
    table: &mut TieredTable<R, V>,
) -> Result<(), StateError> {
    let Some(part) = part::<TablePart<R, V>>(snapshot, wanted)? else {
        return Ok(());
    };
    take(
        wanted.name,
        hash_of,
        (&part.rows, &part.cold),
        snapshot,
        table,
    )
}

fn take<R: Record + Eq, V: Record>(
    state: &str,
    hash_of: fn(&R) -> u64,
    (rows, cold): (&TableSnapshot<R, V>, &Option<Arc<dyn ColdView>>),
    snapshot: &OperatorSnapshot,
    table: &mut TieredTable<R, V>,
) -> Result<(), StateError> {
    **table = KeyedTable::from_snapshot(rows);
    if let Some(cold) = cold {
        let scanned = cold.scan(0..snapshot.max_parallelism(), &mut |_, key, value| {
            let key: R = decode_cold(state, key)?;
            let value = decode_cold(state, value)?;
            table.fill(hash_of(&key), key, value)?;
            Ok(())
        });
        scanned.map_err(|error| error.of(state))?;
    }
    table.make_room()
}

pub(super) fn tiered_tables<K: Key, N: Record, V: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
    make: &mut dyn FnMut(&N) -> TieredTable<K, V>,
) -> Result<Vec<(N, TieredTable<K, V>)>, StateError> {
    let Some(part) = part::<TablesPart<K, N, V>>(snapshot, wanted)? else {
        return Ok(Vec::new());
    };
    let mut tables = Vec::new();
    for (namespace, rows, cold) in &part.tables {
        if rows.is_empty() && cold.is_none() {
            continue;
        }
        let mut table = make(namespace);
        take(
            wanted.name,
            part.hash_of,
            (rows, cold),
            snapshot,
            &mut table,
        )?;
        tables.push((namespace.clone(), table));
    }
    Ok(tables)
}

pub(super) fn tables<K: Key, N: Record, V: Record>(
    snapshot: &OperatorSnapshot,
    wanted: Wanted<'_>,
) -> Result<Vec<(N, KeyedTable<K, V>)>, StateError> {
    let Some(part) = part::<TablesPart<K, N, V>>(snapshot, wanted)? else {
        return Ok(Vec::new());
    };
    let tables = part.tables.iter().filter(|(_, rows, _)| !rows.is_empty());
    let tables =
        tables.map(|(namespace, rows, _)| (namespace.clone(), KeyedTable::from_snapshot(rows)));
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
