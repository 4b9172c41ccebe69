//! What a snapshot is made of: each part holds one state as it was, and can write it later.

use std::any::Any;
use std::io;
use std::sync::Arc;

use flott_record::codec::{decode, encode};
use flott_record::hash::key_group;
use flott_record::schema::{Schema, schema_of};
use flott_record::{Key, Record};
use serde::de::DeserializeOwned;

use super::StateKind;
use super::writer::{BlobWriter, Heading, StateWriter};
use crate::cold::{ColdView, cannot};
use crate::ordered_map::OrderedMap;
use crate::timers::TimersSnapshot;
use crate::ttl::Live;
use crate::{StateError, SubKey, TableSnapshot, TimeDomain};

/// One state at one moment.
pub(crate) trait Part: Any + Send + Sync {
    fn name(&self) -> &str;
    fn kind(&self) -> StateKind;
    /// Whether its rows expire.
    fn has_ttl(&self) -> bool {
        false
    }
    fn write(&self, blob: &mut BlobWriter<'_>) -> Result<(), StateError>;
    /// Whether it can be kept in memory for a roll back. What only points to something that goes on
    /// changing, or that is deleted when it has been written, cannot.
    fn is_retainable(&self) -> bool {
        true
    }
    /// Bytes that it keeps from being freed, without what rows point to.
    fn allocated_bytes(&self) -> usize {
        0
    }
}

pub(super) fn schema<T: DeserializeOwned>(state: &str) -> Result<Schema, StateError> {
    schema_of::<T>().map_err(|source| StateError::Schema {
        state: state.to_owned(),
        source,
    })
}

/// How the rows of a state expire: the milliseconds, and what of a value is left at the moment of
/// the snapshot.
pub(crate) struct Expiry<V> {
    pub(crate) ttl: i64,
    pub(crate) live: Box<dyn Fn(&V) -> Live<V> + Send + Sync>,
}

/// The rows of a table.
pub(crate) struct TablePart<R, V> {
    pub(crate) name: String,
    pub(crate) kind: StateKind,
    pub(crate) rows: TableSnapshot<R, V>,
    /// The rows that were not in memory.
    pub(crate) cold: Option<Arc<dyn ColdView>>,
    /// The hash that a row must be kept under.
    pub(crate) hash_of: fn(&R) -> u64,
    pub(crate) expiry: Option<Expiry<V>>,
}

impl<R: Record, V: Record> Part for TablePart<R, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> StateKind {
        self.kind
    }

    fn has_ttl(&self) -> bool {
        self.expiry.is_some()
    }

    fn allocated_bytes(&self) -> usize {
        self.rows.allocated_bytes()
    }

    fn write(&self, blob: &mut BlobWriter<'_>) -> Result<(), StateError> {
        let max_parallelism = blob.max_parallelism();
        let mut state = blob.state(Heading {
            name: self.name.clone(),
            kind: self.kind,
            ttl: self.expiry.as_ref().map(|expiry| expiry.ttl),
            key: Some(schema::<R>(&self.name)?),
            value: schema::<V>(&self.name)?,
        });
        let mut hot = self.rows.by_group(max_parallelism).peekable();
        if let Some(cold) = &self.cold {
            let scanned = cold.scan(0..max_parallelism, &mut |group, key, value| {
                while let Some(row) = hot.next_if(|row| row.0 <= group) {
                    self.write_row(&mut state, row)?;
                }
                self.write_cold(&mut state, group, (key, value))
            });
            scanned.map_err(|error| error.of(&self.name))?;
        }
        for row in hot {
            self.write_row(&mut state, row)?;
        }
        state.finish()
    }
}

impl<R: Record, V: Record> TablePart<R, V> {
    fn write_row(
        &self,
        state: &mut StateWriter<'_, '_>,
        (group, hash, key, value): (u32, u64, &R, &V),
    ) -> Result<(), StateError> {
        check_hash(&self.name, hash, (self.hash_of)(key))?;
        let live = self
            .expiry
            .as_ref()
            .map_or(Live::Whole, |expiry| (expiry.live)(value));
        let value = match &live {
            Live::Whole => value,
            Live::Part(rest) => rest,
            Live::Gone => return Ok(()),
        };
        state.row(group, |out| {
            encode(key, out)?;
            encode(value, out)
        })
    }

    /// A row that was not in memory: its bytes are those that are wanted, unless it has expired.
    fn write_cold(
        &self,
        state: &mut StateWriter<'_, '_>,
        group: u32,
        (key, value): (&[u8], &[u8]),
    ) -> Result<(), StateError> {
        if let Some(expiry) = &self.expiry {
            let decoded: V = decode_cold(&self.name, value)?;
            match (expiry.live)(&decoded) {
                Live::Whole => {}
                Live::Gone => return Ok(()),
                Live::Part(rest) => {
                    return state.row(group, |out| {
                        out.extend_from_slice(key);
                        encode(&rest, out)
                    });
                }
            }
        }
        state.row(group, |out| {
            out.extend_from_slice(key);
            out.extend_from_slice(value);
            Ok(())
        })
    }
}

/// A key or a value of a cold store.
pub(super) fn decode_cold<T: Record>(state: &str, mut bytes: &[u8]) -> Result<T, StateError> {
    let decoded = decode(&mut bytes);
    decoded.map_err(|error| cannot(state, "decoded", io::Error::other(error)))
}

/// Otherwise nobody would find the row after a restore.
fn check_hash(state: &str, kept: u64, right: u64) -> Result<(), StateError> {
    if kept == right {
        return Ok(());
    }
    Err(StateError::Hash {
        state: state.to_owned(),
    })
}

/// The rows of several tables with the same keys, one per namespace.
pub(crate) struct TablesPart<K, N, V> {
    pub(crate) name: String,
    /// With the rows that were not in memory.
    pub(crate) tables: Vec<(N, TableSnapshot<K, V>, Option<Arc<dyn ColdView>>)>,
    pub(crate) hash_of: fn(&K) -> u64,
}

impl<K: Key, N: Record, V: Record> Part for TablesPart<K, N, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocated_bytes(&self) -> usize {
        let tables = self.tables.iter();
        tables.map(|(_, rows, _)| rows.allocated_bytes()).sum()
    }

    fn kind(&self) -> StateKind {
        StateKind::Table
    }

    fn write(&self, blob: &mut BlobWriter<'_>) -> Result<(), StateError> {
        let max_parallelism = blob.max_parallelism();
        let mut state = blob.state(Heading {
            name: self.name.clone(),
            kind: self.kind(),
            ttl: None,
            key: Some(schema::<(K, N)>(&self.name)?),
            value: schema::<V>(&self.name)?,
        });
        let mut tables: Vec<_> = self
            .tables
            .iter()
            .map(|(namespace, rows, cold)| {
                (namespace, rows.by_group(max_parallelism).peekable(), cold)
            })
            .collect();
        let has_cold = self.tables.iter().any(|(_, _, cold)| cold.is_some());
        let mut next = 0;
        loop {
            let groups = tables.iter_mut().filter_map(|(_, rows, _)| rows.peek());
            let hot = groups.map(|(group, ..)| *group).min();
            // Cold rows may be of any group.
            let group = if has_cold {
                Some(next).filter(|group| *group < max_parallelism)
            } else {
                hot
            };
            let Some(group) = group else {
                return state.finish();
            };
            next = group + 1;
            for (namespace, rows, cold) in &mut tables {
                while let Some((_, hash, key, value)) = rows.next_if(|row| row.0 == group) {
                    check_hash(&self.name, hash, (self.hash_of)(key))?;
                    state.row(group, |out| {
                        encode(key, out)?;
                        encode(*namespace, out)?;
                        encode(value, out)
                    })?;
                }
                let Some(cold) = cold else {
                    continue;
                };
                let scanned = cold.scan(group..next, &mut |group, key, value| {
                    state.row(group, |out| {
                        out.extend_from_slice(key);
                        encode(*namespace, out)?;
                        out.extend_from_slice(value);
                        Ok(())
                    })
                });
                scanned.map_err(|error| error.of(&self.name))?;
            }
        }
    }
}

/// Timers: a row is key and namespace, then domain and time; those of one group in the order in
/// which they fire.
pub(crate) struct TimersPart<K, N> {
    pub(crate) name: String,
    pub(crate) kind: StateKind,
    pub(crate) timers: TimersSnapshot<K, N>,
}

impl<K: Key, N: SubKey> Part for TimersPart<K, N> {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocated_bytes(&self) -> usize {
        self.timers.allocated_bytes()
    }

    fn kind(&self) -> StateKind {
        self.kind
    }

    fn write(&self, blob: &mut BlobWriter<'_>) -> Result<(), StateError> {
        let max_parallelism = blob.max_parallelism();
        let mut state = blob.state(Heading {
            name: self.name.clone(),
            kind: self.kind,
            ttl: None,
            key: Some(schema::<(K, N)>(&self.name)?),
            value: schema::<(TimeDomain, i64)>(&self.name)?,
        });
        let mut timers: Vec<_> = self
            .timers
            .iter()
            .map(|timer| (key_group(timer.2, max_parallelism), timer))
            .collect();
        timers.sort_by_key(|(group, _)| *group);
        for (group, (domain, timestamp, _, key, namespace)) in timers {
            state.row(group, |out| {
                encode(key, out)?;
                encode(namespace, out)?;
                encode(&(domain, timestamp), out)
            })?;
        }
        state.finish()
    }
}

/// A list of operator state, or what an operator keeps: a value is a list of one.
pub(crate) struct ListPart<T> {
    pub(crate) name: String,
    pub(crate) kind: StateKind,
    pub(crate) items: Arc<Vec<T>>,
}

impl<T: Record> Part for ListPart<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocated_bytes(&self) -> usize {
        self.items.len() * size_of::<T>()
    }

    fn kind(&self) -> StateKind {
        self.kind
    }

    fn write(&self, blob: &mut BlobWriter<'_>) -> Result<(), StateError> {
        let mut state = blob.state(Heading {
            name: self.name.clone(),
            kind: self.kind,
            ttl: None,
            key: None,
            value: schema::<T>(&self.name)?,
        });
        for item in &*self.items {
            state.row(0, |out| encode(item, out))?;
        }
        state.finish()
    }
}

/// A broadcast state.
pub(crate) struct BroadcastPart<MK, MV> {
    pub(crate) name: String,
    pub(crate) map: Arc<OrderedMap<MK, MV>>,
}

impl<MK: SubKey, MV: Record> Part for BroadcastPart<MK, MV> {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocated_bytes(&self) -> usize {
        self.map.len() * size_of::<(MK, MV)>()
    }

    fn kind(&self) -> StateKind {
        StateKind::Broadcast
    }

    fn write(&self, blob: &mut BlobWriter<'_>) -> Result<(), StateError> {
        let mut state = blob.state(Heading {
            name: self.name.clone(),
            kind: self.kind(),
            ttl: None,
            key: Some(schema::<MK>(&self.name)?),
            value: schema::<MV>(&self.name)?,
        });
        for (key, value) in self.map.iter() {
            state.row(0, |out| {
                encode(key, out)?;
                encode(value, out)
            })?;
        }
        state.finish()
    }
}
