//! States taken from a snapshot in memory.

use std::any::{Any, type_name};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use flott_record::{Key, Record};

use super::super::part::{BroadcastPart, ListPart, Part, TablePart, TablesPart, TimersPart};
use super::super::{OperatorSnapshot, StateKind};
use super::{StateId, Wanted, id};
use crate::{KeyedTable, StateError, SubKey, Timers};

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

pub(super) fn tables<K: Key, N: Record, V: Record>(
    retained: &Retained,
    wanted: Wanted<'_>,
) -> Result<Vec<(N, KeyedTable<K, V>)>, StateError> {
    let Some(part) = retained.part(wanted)? else {
        return Ok(Vec::new());
    };
    let part = known::<TablesPart<K, N, V>>(&part, wanted)?;
    let tables = part.tables.iter().filter(|(_, rows)| !rows.is_empty());
    let tables =
        tables.map(|(namespace, rows)| (namespace.clone(), KeyedTable::from_snapshot(rows)));
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
