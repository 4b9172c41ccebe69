//! What an operator begins from: its share of a snapshot.

mod blobs;
mod retained;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use flott_record::hash::stable_hash;
use flott_record::{Key, Record};

use self::blobs::Blobs;
use self::retained::Retained;
use super::format::Origin;
use super::{OperatorSnapshot, StateBlob, StateKind};
use crate::cold::TieredTable;
use crate::{KeyedTable, StateError, SubKey, Timers};

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
/// asked for. See [`OperatorSnapshot`] for an example.
#[derive(Clone)]
pub struct RestoredOperator {
    inner: Arc<Inner>,
}

struct Inner {
    place: RestorePlace,
    source: Source,
    /// What has been asked for. A lock, because restored operators are shared; taken once per state.
    claimed: Mutex<BTreeSet<StateId>>,
}

enum Source {
    Blobs(Blobs),
    Retained {
        parts: Retained,
        /// What is not keyed, if that of the snapshot is not all that the subtask begins from.
        others: Option<Blobs>,
    },
}

/// Where one state is.
enum Found<'s> {
    Blobs(&'s Blobs),
    Retained(&'s Retained),
}

impl Source {
    fn of(&self, kind: StateKind) -> Found<'_> {
        match self {
            Self::Retained {
                others: Some(others),
                ..
            } if !kind.is_keyed() => Found::Blobs(others),
            Self::Retained { parts, .. } => Found::Retained(parts),
            Self::Blobs(blobs) => Found::Blobs(blobs),
        }
    }
}

/// Keyed or not, whose, name: what is unique in a snapshot.
type StateId = (bool, Origin, String);

fn id(kind: StateKind, name: &str) -> StateId {
    (kind.is_keyed(), kind.origin(), name.to_owned())
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) kind: StateKind,
    pub(crate) name: &'a str,
    pub(crate) ttl: bool,
}

impl<'a> Wanted<'a> {
    /// What does not expire.
    fn plain(kind: StateKind, name: &'a str) -> Self {
        Self {
            kind,
            name,
            ttl: false,
        }
    }

    /// Whether a state of that kind, with or without time to live, is what is asked for.
    fn check(&self, kind: StateKind, ttl: bool) -> Result<(), StateError> {
        if kind != self.kind {
            return Err(StateError::Kind {
                state: self.name.to_owned(),
                stored: kind.name(),
                wanted: self.kind.name(),
            });
        }
        if ttl != self.ttl {
            return Err(StateError::TtlChanged {
                state: self.name.to_owned(),
                stored: ttl,
            });
        }
        Ok(())
    }
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
        let blobs = Blobs::open(&place, keyed, states)?;
        Ok(Self::of(place, Source::Blobs(blobs)))
    }

    /// Rolls a subtask back to a snapshot that it has made itself and that has been kept: tables are
    /// shared with it, and no bytes are read. Only for the same subtask of as many as then. Each keyed
    /// state is handed out once, so that nothing of it is held beside its table; asked for again it is
    /// refused.
    ///
    /// ```
    /// use flott_record::hash::stable_hash;
    /// use flott_state::{KeyedTable, OperatorSnapshot, RestorePlace, RestoredOperator};
    ///
    /// # fn main() -> Result<(), flott_state::StateError> {
    /// let mut table = KeyedTable::<u64, u64>::new();
    /// table.insert(stable_hash(&1), 1, 1);
    /// let mut snapshot = OperatorSnapshot::new(128);
    /// snapshot.table("sums", &mut table)?;
    /// table.insert(stable_hash(&1), 1, 2);
    ///
    /// let from = RestoredOperator::retained(RestorePlace::new(0, 1, 128, 1), &snapshot);
    /// table = from.table("sums")?;
    /// assert_eq!(table.get(stable_hash(&1), &1), Some(&1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn retained(place: RestorePlace, snapshot: &OperatorSnapshot) -> Self {
        let (parts, others) = (Retained::new(snapshot), None);
        Self::of(place, Source::Retained { parts, others })
    }

    /// As [`retained`](Self::retained), for an operator whose subtasks begin with states of all of them
    /// (union lists, broadcast states): only keyed state is taken from the snapshot. `states` are as for
    /// [`open`](Self::open).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn retained_keyed(
        place: RestorePlace,
        snapshot: &OperatorSnapshot,
        states: Vec<(u32, Box<dyn StateBlob>)>,
    ) -> Result<Self, StateError> {
        let others = Some(Blobs::open(&place, Vec::new(), states)?);
        let parts = Retained::new(snapshot);
        Ok(Self::of(place, Source::Retained { parts, others }))
    }

    fn of(place: RestorePlace, source: Source) -> Self {
        Self {
            inner: Arc::new(Inner {
                place,
                source,
                claimed: Mutex::default(),
            }),
        }
    }

    /// Who restores.
    pub fn place(&self) -> &RestorePlace {
        &self.inner.place
    }

    /// States in the snapshot that have not been asked for, in order of their names: once the
    /// operator has been opened, those that are lost. States without rows for this subtask count.
    pub fn unclaimed(&self) -> Vec<Unclaimed> {
        let (retained, blobs) = match &self.inner.source {
            Source::Blobs(blobs) => (Vec::new(), Some(blobs)),
            Source::Retained { parts, others } => (parts.states(), others.as_ref()),
        };
        let parts = retained.iter();
        let parts = parts.filter(|(kind, _)| blobs.is_none() || kind.is_keyed());
        let parts = parts.map(|(kind, name)| (*kind, name.as_str(), 1));
        let states = parts.chain(blobs.into_iter().flat_map(Blobs::states));
        let claimed = self.inner.claimed.lock();
        let claimed = claimed.unwrap_or_else(PoisonError::into_inner);
        let unclaimed = states.filter(|(kind, name, rows)| {
            // A backend always has timers, and few functions use them.
            !claimed.contains(&id(*kind, name)) && (*kind != StateKind::UserTimers || *rows > 0)
        });
        let unclaimed = unclaimed.map(|(kind, name, _)| Unclaimed {
            name: name.to_owned(),
            kind,
        });
        let unclaimed: BTreeSet<_> = unclaimed.collect();
        unclaimed.into_iter().collect()
    }

    /// Notes that a state has been asked for. Where it is.
    fn claim(&self, wanted: Wanted<'_>) -> Found<'_> {
        let claimed = self.inner.claimed.lock();
        let mut claimed = claimed.unwrap_or_else(PoisonError::into_inner);
        claimed.insert(id(wanted.kind, wanted.name));
        self.inner.source.of(wanted.kind)
    }

    /// A table of the operator; empty if it is not in the snapshot.
    ///
    /// # Errors
    /// When it is there but of another kind, its types have changed too much, or it cannot be read.
    pub fn table<K: Key, V: Record>(&self, name: &str) -> Result<KeyedTable<K, V>, StateError> {
        self.keyed_rows(Wanted::plain(StateKind::Table, name), stable_hash::<K>)
    }

    /// Puts the rows of a table of the operator into `table`, which has none: those that do not fit
    /// into memory go where it keeps such rows.
    ///
    /// # Errors
    /// As [`table`](Self::table), and when rows cannot be kept.
    pub fn tiered<K: Key, V: Record>(
        &self,
        name: &str,
        table: &mut TieredTable<K, V>,
    ) -> Result<(), StateError> {
        let wanted = Wanted::plain(StateKind::Table, name);
        self.fill(wanted, stable_hash::<K>, table)
    }

    /// As [`keyed_rows`](Self::keyed_rows), into a table that may have a cold tier.
    pub(crate) fn fill<R: Record + Eq, V: Record>(
        &self,
        wanted: Wanted<'_>,
        hash_of: fn(&R) -> u64,
        table: &mut TieredTable<R, V>,
    ) -> Result<(), StateError> {
        if !table.is_tiered() {
            *table = self.keyed_rows(wanted, hash_of)?.into();
            return Ok(());
        }
        match self.claim(wanted) {
            Found::Blobs(blobs) => blobs.fill(self.place(), wanted, hash_of, table),
            Found::Retained(parts) => retained::fill(parts, wanted, hash_of, table),
        }
    }

    /// The rows of a state of this subtask as a table. `hash_of` tells under which hash a row is kept.
    pub(crate) fn keyed_rows<R: Record + Eq, V: Record>(
        &self,
        wanted: Wanted<'_>,
        hash_of: fn(&R) -> u64,
    ) -> Result<KeyedTable<R, V>, StateError> {
        match self.claim(wanted) {
            Found::Blobs(blobs) => blobs.table(self.place(), wanted, hash_of),
            Found::Retained(parts) => retained::table(parts, wanted),
        }
    }

    /// The tables handed over by [`OperatorSnapshot::tables`] that have rows for this subtask, in
    /// the order of their first rows.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn tables<K: Key, N: Record + PartialEq, V: Record>(
        &self,
        name: &str,
    ) -> Result<Vec<(N, KeyedTable<K, V>)>, StateError> {
        let wanted = Wanted::plain(StateKind::Table, name);
        match self.claim(wanted) {
            Found::Blobs(blobs) => {
                let tables = blobs.tables(self.place(), wanted, &mut |_| TieredTable::default())?;
                let tables = tables.into_iter();
                Ok(tables.map(|(n, table)| (n, table.into_hot())).collect())
            }
            Found::Retained(parts) => retained::tables(parts, wanted),
        }
    }

    /// As [`tables`](Self::tables); `make` makes the table for what tells it from the others.
    ///
    /// # Errors
    /// As [`tiered`](Self::tiered).
    pub fn tiered_tables<K: Key, N: Record + PartialEq, V: Record>(
        &self,
        name: &str,
        mut make: impl FnMut(&N) -> TieredTable<K, V>,
    ) -> Result<Vec<(N, TieredTable<K, V>)>, StateError> {
        let wanted = Wanted::plain(StateKind::Table, name);
        match self.claim(wanted) {
            Found::Blobs(blobs) => blobs.tables(self.place(), wanted, &mut make),
            Found::Retained(parts) => retained::tiered_tables(parts, wanted, &mut make),
        }
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
        let wanted = Wanted::plain(kind, name);
        match self.claim(wanted) {
            Found::Blobs(blobs) => blobs.timers(self.place(), wanted),
            Found::Retained(parts) => retained::timers(parts, wanted),
        }
    }

    /// What each old subtask kept as a value of that name, with the old subtask.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn value<T: Record>(&self, name: &str) -> Result<Vec<(u32, T)>, StateError> {
        self.items(Wanted::plain(StateKind::SubtaskValue, name))
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
        let all = self.items(Wanted::plain(kind, name))?;
        let place = self.place();
        let mine = |(at, (old, _)): &(usize, (u32, T))| match kind {
            StateKind::UnionList => true,
            _ if place.parallelism == place.old_parallelism => *old == place.subtask,
            _ => *at as u64 % u64::from(place.parallelism.max(1)) == u64::from(place.subtask),
        };
        let mine = all.into_iter().enumerate().filter(mine);
        Ok(mine.map(|(_, (_, item))| item).collect())
    }

    /// All elements of all old subtasks; of a retained snapshot, its own.
    fn items<T: Record>(&self, wanted: Wanted<'_>) -> Result<Vec<(u32, T)>, StateError> {
        match self.claim(wanted) {
            Found::Blobs(blobs) => blobs.items(wanted),
            Found::Retained(parts) => {
                let items = retained::items(parts, wanted)?;
                let own = items.into_iter().map(|item| (self.place().subtask, item));
                Ok(own.collect())
            }
        }
    }

    /// The entries of a broadcast state: those of one old subtask, as all have the same.
    pub(crate) fn broadcast<MK: SubKey, MV: Record>(
        &self,
        name: &str,
    ) -> Result<Vec<(MK, MV)>, StateError> {
        let wanted = Wanted::plain(StateKind::Broadcast, name);
        match self.claim(wanted) {
            Found::Blobs(blobs) => blobs.broadcast(self.place(), wanted),
            Found::Retained(parts) => retained::broadcast(parts, wanted),
        }
    }
}
