//! Writes a blob, state by state and row by row, without holding more than a block of it.

use std::io::Write;

use flott_record::codec::{CodecError, encode};
use flott_record::schema::Schema;
use lz4_flex::block::{compress_into, get_maximum_output_size};

use super::Compression;
use super::format::{
    BLOCK_BYTES, BLOCK_ROWS, BlockEntry, BlockHeader, Codec, END_MAGIC, Footer, HEADER_BYTES,
    MAGIC, StateEntry, StateKind, TRAILER_BYTES, VERSION, footer_checksum,
};
use crate::StateError;

/// Blocks below this are not worth compressing.
const LEAST_COMPRESSED: usize = 256;

/// What a state is, before its rows are written.
pub(super) struct Heading {
    pub(super) name: String,
    pub(super) kind: StateKind,
    pub(super) ttl: Option<i64>,
    pub(super) key: Option<Schema>,
    pub(super) value: Schema,
}

pub(crate) struct BlobWriter<'w> {
    out: &'w mut dyn Write,
    at: u64,
    max_parallelism: u32,
    compression: Compression,
    states: Vec<StateEntry>,
    raw: Vec<u8>,
    packed: Vec<u8>,
}

impl<'w> BlobWriter<'w> {
    pub(super) fn new(
        out: &'w mut dyn Write,
        max_parallelism: u32,
        compression: Compression,
    ) -> Result<Self, StateError> {
        let mut writer = Self {
            out,
            at: 0,
            max_parallelism,
            compression,
            states: Vec::new(),
            raw: Vec::new(),
            packed: Vec::new(),
        };
        let [low, high] = VERSION.to_le_bytes();
        let [f, l, t, s] = MAGIC;
        writer.write(&[f, l, t, s, low, high, 0, 0])?;
        debug_assert_eq!(writer.at, HEADER_BYTES);
        Ok(writer)
    }

    pub(super) fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.out.write_all(bytes).map_err(StateError::Write)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Begins a state; its rows follow.
    pub(super) fn state(&mut self, heading: Heading) -> StateWriter<'_, 'w> {
        let Heading {
            name,
            kind,
            ttl,
            key,
            value,
        } = heading;
        let entry = StateEntry {
            name,
            kind,
            ttl,
            key,
            value,
            rows: 0,
            raw: 0,
            blocks: Vec::new(),
            end: self.at,
        };
        self.raw.clear();
        StateWriter {
            blob: self,
            entry,
            first: 0,
            last: 0,
            rows: 0,
        }
    }

    /// Writes the footer; returns what is in the blob, and its length.
    pub(super) fn finish(mut self) -> Result<(Vec<StateEntry>, u64), StateError> {
        let footer = Footer {
            max_parallelism: self.max_parallelism,
            states: std::mem::take(&mut self.states),
        };
        let mut bytes = Vec::new();
        let too_long = |source| StateError::Encode {
            state: "the index of the snapshot".to_owned(),
            source,
        };
        encode(&footer, &mut bytes).map_err(too_long)?;
        let Ok(length) = u32::try_from(bytes.len()) else {
            return Err(StateError::TooLong {
                state: "the index of the snapshot".to_owned(),
                bytes: bytes.len(),
            });
        };
        let checksum = footer_checksum(&bytes, length);
        let start = self.at + bytes.len() as u64;
        bytes.extend(length.to_le_bytes());
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(END_MAGIC);
        self.write(&bytes)?;
        debug_assert_eq!(self.at, start + TRAILER_BYTES);
        Ok((footer.states, self.at))
    }
}

/// Takes the rows of one state, by ascending key group.
pub(super) struct StateWriter<'b, 'w> {
    blob: &'b mut BlobWriter<'w>,
    entry: StateEntry,
    /// The key groups of the first and the last row of the block that is open.
    first: u32,
    last: u32,
    /// How many rows it has.
    rows: u32,
}

impl StateWriter<'_, '_> {
    /// Adds a row, which `write` appends.
    pub(super) fn row(
        &mut self,
        group: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), StateError> {
        debug_assert!(group >= self.last, "rows come by ascending key group");
        if self.rows == BLOCK_ROWS || self.blob.raw.len() >= BLOCK_BYTES {
            self.close_block()?;
        }
        if self.rows == 0 {
            self.first = group;
        }
        self.last = group;
        write(&mut self.blob.raw).map_err(|source| StateError::Encode {
            state: self.entry.name.clone(),
            source,
        })?;
        self.rows += 1;
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), StateError> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(());
        }
        let length = self.blob.raw.len();
        let too_long = || StateError::TooLong {
            state: self.entry.name.clone(),
            bytes: length,
        };
        let raw = u32::try_from(length).map_err(|_| too_long())?;
        let codec = self.blob.pack();
        let blob = &mut *self.blob;
        let stored = match codec {
            Codec::None => std::mem::take(&mut blob.raw),
            Codec::Lz4 => std::mem::take(&mut blob.packed),
        };
        let header = BlockHeader {
            first: self.first,
            last: self.last,
            rows,
            raw,
            // Not longer than `raw`.
            stored: stored.len() as u32,
            codec: codec as u32,
        };
        let offset = blob.at;
        blob.write(&header.encode(&stored))?;
        blob.write(&stored)?;
        match codec {
            Codec::None => blob.raw = stored,
            Codec::Lz4 => blob.packed = stored,
        }
        blob.raw.clear();
        self.entry.rows += u64::from(rows);
        self.entry.raw += u64::from(raw);
        self.entry.blocks.push(BlockEntry {
            first: self.first,
            last: self.last,
            offset,
            rows,
        });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), StateError> {
        self.close_block()?;
        self.entry.end = self.blob.at;
        self.blob.states.push(self.entry);
        Ok(())
    }
}

impl BlobWriter<'_> {
    /// Compresses the open block into `packed`, if that is wanted and worth it.
    fn pack(&mut self) -> Codec {
        if self.compression == Compression::None || self.raw.len() < LEAST_COMPRESSED {
            return Codec::None;
        }
        self.packed.clear();
        self.packed
            .resize(get_maximum_output_size(self.raw.len()), 0);
        match compress_into(&self.raw, &mut self.packed) {
            Ok(length) if length < self.raw.len() - self.raw.len() / 16 => {
                self.packed.truncate(length);
                Codec::Lz4
            }
            _ => Codec::None,
        }
    }
}
