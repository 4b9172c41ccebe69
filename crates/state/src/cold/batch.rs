//! Keys and changes on their way to a cold store: bytes one after the other, in memory that is used
//! again.

use std::ops::Range;

use flott_record::codec::CodecError;

use super::group_bytes;

/// Keys to be looked for.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// Adds a key of a group, which `write` appends.
    pub(super) fn push(
        &mut self,
        group: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let start = self.bytes.len();
        self.bytes.extend(group_bytes(group));
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A key with its group.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }

    /// All keys, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[derive(Debug)]
struct Change {
    key: Range<usize>,
    /// `None`: the key is deleted.
    value: Option<Range<usize>>,
}

/// Rows to be written and keys to be deleted.
#[derive(Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    changes: Vec<Change>,
}

impl Changes {
    /// Writes a row of a group; `write_key` and `write_value` append its parts.
    pub(super) fn put(
        &mut self,
        group: u32,
        write_key: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
        write_value: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let start = self.bytes.len();
        self.bytes.extend(group_bytes(group));
        let write = || {
            write_key(&mut self.bytes)?;
            let middle = self.bytes.len();
            write_value(&mut self.bytes)?;
            Ok(middle)
        };
        match write() {
            Ok(middle) => {
                self.changes.push(Change {
                    key: start..middle,
                    value: Some(middle..self.bytes.len()),
                });
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// Deletes a key, given with its group.
    pub(super) fn delete(&mut self, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.changes.push(Change {
            key: start..self.bytes.len(),
            value: None,
        });
    }

    /// In the order of the keys, which are all different.
    pub(super) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.changes
            .sort_unstable_by(|one, other| bytes[one.key.clone()].cmp(&bytes[other.key.clone()]));
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Keys with their groups, each with its value or without, to be deleted.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|change| {
            let value = change.value.clone();
            (
                &self.bytes[change.key.clone()],
                value.map(|value| &self.bytes[value]),
            )
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.changes.clear();
    }
}
