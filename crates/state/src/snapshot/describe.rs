//! What is in a blob, for people: without knowing any of its types.

use flott_record::schema::Schema;

use super::format::StateEntry;
use super::reader::Blob;
use super::{StateBlob, StateKind};
use crate::StateError;

/// One state of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDescription {
    /// Its name, unique among the states of the operator's function, or of the operator itself.
    pub name: String,
    /// What it is.
    pub kind: StateKind,
    /// How long its rows lived after their last use, in milliseconds; `None`: for ever.
    pub ttl: Option<i64>,
    /// The key of a row, with its namespace if there is one. `None` for what has no keys.
    pub key: Option<Schema>,
    /// The rest of a row.
    pub value: Schema,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the rows.
    pub raw_bytes: u64,
    /// Bytes that they take in the blob.
    pub stored_bytes: u64,
}

impl StateDescription {
    pub(super) fn of(entry: &StateEntry) -> Self {
        Self {
            name: entry.name.clone(),
            kind: entry.kind,
            ttl: entry.ttl,
            key: entry.key.clone(),
            value: entry.value.clone(),
            rows: entry.rows,
            raw_bytes: entry.raw,
            stored_bytes: entry.stored(),
        }
    }
}

/// The states of a blob; a blob without bytes has none. Only its index is read.
///
/// # Errors
/// When it cannot be read, or is no snapshot.
pub fn describe(blob: Box<dyn StateBlob>) -> Result<Vec<StateDescription>, StateError> {
    if blob.len() == 0 {
        return Ok(Vec::new());
    }
    let blob = Blob::open(blob)?;
    Ok(blob.states().iter().map(StateDescription::of).collect())
}
