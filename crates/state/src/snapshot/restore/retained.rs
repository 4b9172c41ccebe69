//! States taken from a snapshot in memory.

use std::any::{Any, type_name};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use flott_record::{Key, Record};

use super::super::part::{
    BroadcastPart, ListPart, Part, TablePart, TablesPart, TimersPart, decode_cold,
};
use super::super::{OperatorSnapshot, StateKind};
use super::{StateId, Wanted, id};
use crate::cold::{ColdView, TieredTable};
use crate::{KeyedTable, StateError, SubKey, TableSnapshot, Timers};

/// All key groups that there can be: the rows of a snapshot are its subtask's own.
const MOST_KEY_GROUPS: u32 = 1 << 15;

/// The parts of a snapshot that have been kept. Keyed ones are handed out once: from then on they hold
/// nothing that whoever kept the snapshot lets go.
pub(super) struct Retained {
    // A lock, because restored operators are shared; taken once per state.
    kept: Mutex<Kept>,
}

struct Kept {
    parts: OperatorSnapshot,
    handed_out: BTreeSet<StateId>,
}

impl Retained {
    pub(super) fn new(snapshot: &OperatorSnapshot) -> Self {
        Self {
            kept: Mutex::new(Kept {
                parts: snapshot.clone(),
                handed_out: BTreeSet::new(),
            }),
        }
    }

    /// Kind and name of each part that has not been handed out for good.
    pub(super) fn states(&self) -> Vec<(StateKind, String)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = kept
            .parts
            .parts()
            .map(|part| (part.kind(), part.name().to_owned()));
        parts.collect()
    }

    /// The part that is wanted; `None` if it is not there.
    fn part(&self, wanted: Wanted<'_>) -> Result<Option<Arc<dyn Part>>, StateError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let state = id(wanted.kind, wanted.name);
        if kept.handed_out.contains(&state) {
            return Err(StateError::AlreadyRegistered {
                name: wanted.name.to_owned(),
                first: format!("{}, rolled back in memory", wanted.kind.name()),
                second: wanted.kind.name().to_owned(),
            });
        }
        let Some(part) = kept.parts.part(wanted.kind, wanted.name) else {
            return Ok(None);
        };
        wanted.check(part.kind(), part.has_ttl())?;
        let part = Arc::clone(part);
        if wanted.kind.is_keyed() {
            kept.parts.remove(&part);
            kept.handed_out.insert(state);
        }
        Ok(Some(part))
    }
}

/// A part as what it must be.
fn known<'p, P: Part>(part: &'p Arc<dyn Part>, wanted: Wanted<'_>) -> Result<&'p P, StateError> {
    let part: &dyn Any = &**part;
    part.downcast_ref().ok_or_else(|| StateError::Incompatible {
        state: wanted.name.to_owned(),
        place: "its type".to_owned(),
        old: "another one".to_owned(),
        new: type_name::<P>().to_owned(),
        why: "a subtask is rolled back by the program that it has run in".to_owned(),
    })
}

pub(super) fn table<R: Record, V: Record>(
    retained: &Retained,
    wanted: Wanted<'_>,
) -> Result<KeyedTable<R, V>, StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(KeyedTable::new());
    };
    let part = known::<TablePart<R, V>>(&part, wanted)?;
    Ok(KeyedTable::from_snapshot(&part.rows))
}

/// As [`table`], into a table that has a cold tier.
pub(super) fn fill<R: Record + Eq, V: Record>(
    retained: &Retained,
    wanted: Wanted<'_>,
    hash_of: fn(&R) -> u64,
    table: &mut TieredTable<R, V>,
) -> Result<(), StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(());
    };
    let part = known::<TablePart<R, V>>(&part, wanted)?;
    take(wanted.name, hash_of, (&part.rows, &part.cold), table)
}

fn take<R: Record + Eq, V: Record>(
    state: &str,
    hash_of: fn(&R) -> u64,
    (rows, cold): (&TableSnapshot<R, V>, &Option<Arc<dyn ColdView>>),
    table: &mut TieredTable<R, V>,
) -> Result<(), StateError> {
    **table = KeyedTable::from_snapshot(rows);
    if let Some(cold) = cold {
        let scanned = cold.scan(0..MOST_KEY_GROUPS, &mut |_, key, value| {
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
    retained: &Retained,
    wanted: Wanted<'_>,
    make: &mut dyn FnMut(&N) -> TieredTable<K, V>,
) -> Result<Vec<(N, TieredTable<K, V>)>, StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(Vec::new());
    };
    let part = known::<TablesPart<K, N, V>>(&part, wanted)?;
    let mut tables = Vec::new();
    for (namespace, rows, cold) in &part.tables {
        if rows.is_empty() && cold.is_none() {
            continue;
        }
        let mut table = make(namespace);
        take(wanted.name, part.hash_of, (rows, cold), &mut table)?;
        tables.push((namespace.clone(), table));
    }
    Ok(tables)
}

pub(super) fn tables<K: Key, N: Record, V: Record>(
    retained: &Retained,
    wanted: Wanted<'_>,
) -> Result<Vec<(N, KeyedTable<K, V>)>, StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(Vec::new());
    };
    let part = known::<TablesPart<K, N, V>>(&part, wanted)?;
    let tables = part.tables.iter().filter(|(_, rows, _)| !rows.is_empty());
    let tables =
        tables.map(|(namespace, rows, _)| (namespace.clone(), KeyedTable::from_snapshot(rows)));
    Ok(tables.collect())
}

pub(super) fn timers<K: Key, N: SubKey>(
    retained: &Retained,
    wanted: Wanted<'_>,
) -> Result<Timers<K, N>, StateError> {
    let mut timers = Timers::default();
    if let Some(part) = retained.part(wanted)? {
        let part = known::<TimersPart<K, N>>(&part, wanted)?;
        for (domain, timestamp, hash, key, namespace) in part.timers.iter() {
            timers.of(domain).register(timestamp, hash, key, namespace);
        }
    }
    Ok(timers)
}

pub(super) fn items<T: Record>(
    retained: &Retained,
    wanted: Wanted<'_>,
) -> Result<Vec<T>, StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(Vec::new());
    };
    Ok(known::<ListPart<T>>(&part, wanted)?.items.to_vec())
}

pub(super) fn broadcast<MK: SubKey, MV: Record>(
    retained: &Retained,
    wanted: Wanted<'_>,
) -> Result<Vec<(MK, MV)>, StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(Vec::new());
    };
    let entries = known::<BroadcastPart<MK, MV>>(&part, wanted)?.map.iter();
    Ok(entries
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}
