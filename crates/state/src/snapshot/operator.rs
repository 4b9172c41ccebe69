//! What an operator hands over at a barrier.

use std::io::Write;
use std::sync::Arc;

use flott_record::hash::stable_hash;
use flott_record::{Key, Record};

use super::format::StateEntry;
use super::part::{ListPart, Part, TablePart, TablesPart, TimersPart};
use super::writer::BlobWriter;
use super::{Compression, StateDescription, StateKind};
use crate::cold::TieredTable;
use crate::{KeyedBackend, KeyedTable, OperatorBackend, StateError, SubKey, Timers};

/// The state of one operator's subtask at one moment: cheap to make, written later by another
/// thread, and cheap to clone, to be kept in memory for a roll back.
///
/// Tables, timers and states are handed over by reference; rows are copied when the operator
/// changes them while the snapshot lives. Single values and lists of the operator are cloned.
///
/// ```
/// use flott_record::hash::stable_hash;
/// use flott_state::{Compression, KeyedTable, OperatorSnapshot, RestorePlace, RestoredOperator};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut counts = KeyedTable::<String, u64>::new();
/// counts.insert(stable_hash("be"), "be".to_owned(), 2);
///
/// let mut snapshot = OperatorSnapshot::new(128);
/// snapshot.table("counts", &mut counts)?;
/// snapshot.value("watermark", &17_i64)?;
/// counts.clear();
///
/// let (mut keyed, mut operator) = (Vec::new(), Vec::new());
/// let encoded = snapshot.encode(Compression::None, &mut keyed, &mut operator)?;
/// assert_eq!(encoded.keyed_bytes, keyed.len() as u64);
///
/// let restored = RestoredOperator::open(
///     RestorePlace::new(0, 1, 128, 1),
///     vec![Box::new(keyed)],
///     vec![(0, Box::new(operator))],
/// )?;
/// let counts = restored.table::<String, u64>("counts")?;
/// assert_eq!(counts.get(stable_hash("be"), "be"), Some(&2));
/// assert_eq!(restored.value::<i64>("watermark")?, [(0, 17)]);
/// assert!(restored.unclaimed().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OperatorSnapshot {
    max_parallelism: u32,
    parts: Vec<Arc<dyn Part>>,
}

impl OperatorSnapshot {
    /// Nothing yet. `max_parallelism` is the number of key groups of the job's vertex.
    pub fn new(max_parallelism: u32) -> Self {
        Self {
            max_parallelism,
            parts: Vec::new(),
        }
    }

    /// Number of key groups.
    pub fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    /// Whether nothing has been handed over. States without rows count: that they exist is stored.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it can be kept in memory for a roll back
    /// ([`RestoredOperator::retained`](crate::RestoredOperator::retained)).
    pub fn is_retainable(&self) -> bool {
        self.parts().all(|part| part.is_retainable())
    }

    /// Bytes that it keeps from being freed, without what rows point to; what tables or other
    /// snapshots hold too counts.
    pub fn allocated_bytes(&self) -> usize {
        self.parts().map(|part| part.allocated_bytes()).sum()
    }

    /// A table that the operator keeps for itself. Costs a few nanoseconds per block of rows.
    ///
    /// # Errors
    /// When the name has been handed over already.
    pub fn table<K: Key, V: Record>(
        &mut self,
        name: &str,
        table: &mut KeyedTable<K, V>,
    ) -> Result<(), StateError> {
        self.add(TablePart {
            name: name.to_owned(),
            kind: StateKind::Table,
            rows: table.snapshot(),
            cold: None,
            hash_of: stable_hash::<K>,
            expiry: None,
        })
    }

    /// As [`table`](Self::table), with the rows that are not in memory.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn tiered<K: Key, V: Record>(
        &mut self,
        name: &str,
        table: &mut TieredTable<K, V>,
    ) -> Result<(), StateError> {
        self.add(TablePart {
            name: name.to_owned(),
            kind: StateKind::Table,
            cold: table.view(),
            rows: table.snapshot(),
            hash_of: stable_hash::<K>,
            expiry: None,
        })
    }

    /// Several tables with the same keys, such as the panes of a window operator, as one state:
    /// each with what tells it from the others.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn tables<'t, K: Key, N: Record, V: Record>(
        &mut self,
        name: &str,
        tables: impl IntoIterator<Item = (N, &'t mut KeyedTable<K, V>)>,
    ) -> Result<(), StateError> {
        let tables = tables.into_iter();
        self.add(TablesPart {
            name: name.to_owned(),
            tables: tables
                .map(|(n, table)| (n, table.snapshot(), None))
                .collect(),
            hash_of: stable_hash::<K>,
        })
    }

    /// As [`tables`](Self::tables), with the rows that are not in memory.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn tiered_tables<'t, K: Key, N: Record, V: Record>(
        &mut self,
        name: &str,
        tables: impl IntoIterator<Item = (N, &'t mut TieredTable<K, V>)>,
    ) -> Result<(), StateError> {
        let tables = tables.into_iter();
        self.add(TablesPart {
            name: name.to_owned(),
            tables: tables
                .map(|(n, table)| {
                    let cold = table.view();
                    (n, table.snapshot(), cold)
                })
                .collect(),
            hash_of: stable_hash::<K>,
        })
    }

    /// Timers that the operator keeps for itself.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn timers<K: Key, N: SubKey>(
        &mut self,
        name: &str,
        timers: &mut Timers<K, N>,
    ) -> Result<(), StateError> {
        self.add(TimersPart {
            name: name.to_owned(),
            kind: StateKind::Timers,
            timers: timers.snapshot(),
        })
    }

    /// All states of a backend, and its timers.
    ///
    /// # Errors
    /// As [`table`](Self::table), and when rows could not be read before.
    pub fn keyed<K: Key>(&mut self, backend: &mut KeyedBackend<K>) -> Result<(), StateError> {
        backend
            .snapshot()?
            .into_iter()
            .try_for_each(|part| self.add_part(part))
    }

    /// All lists and broadcast states of a backend.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn operator(&mut self, backend: &mut OperatorBackend) -> Result<(), StateError> {
        backend
            .snapshot()
            .into_iter()
            .try_for_each(|part| self.add_part(part))
    }

    /// A value that this subtask of the operator keeps. It is cloned.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn value<T: Record>(&mut self, name: &str, value: &T) -> Result<(), StateError> {
        self.add(ListPart {
            name: name.to_owned(),
            kind: StateKind::SubtaskValue,
            items: Arc::new(vec![value.clone()]),
        })
    }

    /// Elements that the operator keeps; at another parallelism each finds one of the new
    /// subtasks. They are cloned.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn list<T: Record>(&mut self, name: &str, items: &[T]) -> Result<(), StateError> {
        self.add(ListPart {
            name: name.to_owned(),
            kind: StateKind::SubtaskList,
            items: Arc::new(items.to_vec()),
        })
    }

    fn add(&mut self, part: impl Part) -> Result<(), StateError> {
        self.add_part(Arc::new(part))
    }

    fn add_part(&mut self, part: Arc<dyn Part>) -> Result<(), StateError> {
        let (kind, name) = (part.kind(), part.name());
        if let Some(known) = self.part(kind, name) {
            return Err(StateError::AlreadyRegistered {
                name: name.to_owned(),
                first: known.kind().name().to_owned(),
                second: kind.name().to_owned(),
            });
        }
        self.parts.push(part);
        Ok(())
    }

    /// The part of that name, of whatever kind that shares names with `kind`.
    pub(super) fn part(&self, kind: StateKind, name: &str) -> Option<&Arc<dyn Part>> {
        self.parts.iter().find(|part| {
            part.name() == name
                && part.kind().is_keyed() == kind.is_keyed()
                && part.kind().origin() == kind.origin()
        })
    }

    pub(super) fn remove(&mut self, part: &Arc<dyn Part>) {
        self.parts.retain(|known| !Arc::ptr_eq(known, part));
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &dyn Part> {
        self.parts.iter().map(|part| &**part)
    }

    /// Writes the keyed blob and the operator blob, row by row. A blob of which the operator has no
    /// state gets no bytes. Rows that have expired at the time of the snapshot are left out.
    ///
    /// # Errors
    /// When a writer fails, or a type or a value cannot be written.
    pub fn encode(
        &self,
        compression: Compression,
        keyed: &mut dyn Write,
        operator: &mut dyn Write,
    ) -> Result<Encoded, StateError> {
        let (mut states, keyed_bytes) = self.encode_half(compression, keyed, true)?;
        let (more, operator_bytes) = self.encode_half(compression, operator, false)?;
        states.extend(more);
        Ok(Encoded {
            keyed_bytes,
            operator_bytes,
            states: states.iter().map(StateDescription::of).collect(),
        })
    }

    fn encode_half(
        &self,
        compression: Compression,
        out: &mut dyn Write,
        keyed: bool,
    ) -> Result<(Vec<StateEntry>, u64), StateError> {
        let is_half = |part: &&Arc<dyn Part>| part.kind().is_keyed() == keyed;
        if !self.parts.iter().any(|part| is_half(&part)) {
            return Ok((Vec::new(), 0));
        }
        let mut blob = BlobWriter::new(out, self.max_parallelism, compression)?;
        for part in self.parts.iter().filter(is_half) {
            part.write(&mut blob)?;
        }
        blob.finish()
    }
}

/// What [`OperatorSnapshot::encode`] has written.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// Bytes of the keyed blob; 0: there is none.
    pub keyed_bytes: u64,
    /// Bytes of the operator blob; 0: there is none.
    pub operator_bytes: u64,
    /// The states in them.
    pub states: Vec<StateDescription>,
}
