//! Reads a blob: its index first, then the rows of the key groups that are wanted. Whatever the
//! bytes are, it ends with rows or with an error that says where; memory follows what is there.

use std::ops::{Range, RangeInclusive};

use flott_record::codec::{CodecError, decode};
use lz4_flex::block::decompress_into;

use super::StateBlob;
use super::format::{
    BLOCK_HEADER_BYTES, BLOCK_ROWS, BlockEntry, BlockHeader, Codec, END_MAGIC, Footer,
    HEADER_BYTES, MAGIC, MOST_LZ4, StateEntry, TRAILER_BYTES, VERSION, footer_checksum,
};
use crate::StateError;

/// How much is read at once.
const WINDOW: u64 = 1 << 20;

/// A blob with its index.
pub(super) struct Blob {
    source: Box<dyn StateBlob>,
    footer: Footer,
}

impl Blob {
    /// Reads the index.
    pub(super) fn open(source: Box<dyn StateBlob>) -> Result<Self, StateError> {
        let length = source.len();
        let foreign = |found: &str| StateError::Foreign {
            blob: source.name(),
            found: found.to_owned(),
        };
        if length < HEADER_BYTES + TRAILER_BYTES {
            return Err(foreign("it is too short"));
        }
        let mut header = [0; HEADER_BYTES as usize];
        read(&*source, "", 0, &mut header)?;
        let [f, l, t, s, low, high, rest @ ..] = header;
        if [f, l, t, s] != MAGIC {
            return Err(foreign("it does not begin with \"FLTS\""));
        }
        let version = u16::from_le_bytes([low, high]);
        if version != VERSION || rest != [0, 0] {
            return Err(StateError::Version {
                blob: source.name(),
                version,
            });
        }
        let footer = read_footer(&*source, length)?;
        let blob = Self { source, footer };
        blob.check(length)?;
        Ok(blob)
    }

    pub(super) fn states(&self) -> &[StateEntry] {
        &self.footer.states
    }

    pub(super) fn max_parallelism(&self) -> u32 {
        self.footer.max_parallelism
    }

    pub(super) fn name(&self) -> String {
        self.source.name()
    }

    /// What the index says must be possible.
    fn check(&self, length: u64) -> Result<(), StateError> {
        let mut at = HEADER_BYTES;
        for state in &self.footer.states {
            let possible = state.blocks.iter().all(|block| {
                block.rows > 0
                    && block.first <= block.last
                    && (block.last < self.footer.max_parallelism || !state.kind.is_keyed())
            });
            let ascend = state
                .blocks
                .is_sorted_by(|one, next| one.last <= next.first && one.offset < next.offset);
            let inside = match (state.blocks.first(), state.blocks.last()) {
                (Some(first), Some(last)) => first.offset >= at && last.offset < state.end,
                _ => state.end >= at,
            };
            let rows = state.blocks.iter().map(|block| u128::from(block.rows));
            let same = rows.sum::<u128>() == u128::from(state.rows);
            if !(possible && ascend && inside && same && state.end <= length) {
                return Err(self.corrupt(state, state.end, "an impossible index"));
            }
            at = state.end;
        }
        Ok(())
    }

    pub(super) fn corrupt(
        &self,
        state: &StateEntry,
        offset: u64,
        found: impl Into<String>,
    ) -> StateError {
        corrupt(&*self.source, &state.name, offset, found)
    }

    /// Reads the blocks of a state that have rows in a range of key groups. `each` is called for
    /// every row of them, also of other groups, with the groups of the block, and with the bytes
    /// from the row on; it advances behind the row.
    pub(super) fn rows(
        &self,
        state: &StateEntry,
        groups: &Range<u32>,
        mut each: impl FnMut(&RangeInclusive<u32>, &mut &[u8]) -> Result<(), RowError>,
    ) -> Result<(), StateError> {
        let wanted = wanted(state, groups);
        let end_of = |at: usize| state.blocks.get(at).map_or(state.end, |next| next.offset);
        let mut window = Window {
            source: &*self.source,
            state: &state.name,
            end: end_of(wanted.end),
            start: 0,
            bytes: Vec::new(),
        };
        let mut raw = Vec::new();
        for at in wanted {
            let entry = state.blocks[at];
            let block = window.block(&entry, end_of(at + 1))?;
            let bytes = block.unpack(&mut raw).ok_or_else(|| {
                let found = "a block that cannot be decompressed";
                self.corrupt(state, entry.offset, found)
            })?;
            let groups = entry.first..=entry.last;
            self.block_rows(state, &entry, bytes, |input| each(&groups, input))?;
        }
        Ok(())
    }

    fn block_rows(
        &self,
        state: &StateEntry,
        entry: &BlockEntry,
        mut bytes: &[u8],
        mut each: impl FnMut(&mut &[u8]) -> Result<(), RowError>,
    ) -> Result<(), StateError> {
        let offset = entry.offset;
        for _ in 0..entry.rows {
            each(&mut bytes).map_err(|error| match error {
                RowError::Codec(source) => StateError::Row {
                    blob: self.source.name(),
                    state: state.name.clone(),
                    offset,
                    source,
                },
                RowError::Wrong(found) => self.corrupt(state, offset, found),
                RowError::Kept(error) => error,
            })?;
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(self.corrupt(state, offset, "bytes behind the last row of a block"))
        }
    }
}

/// Why a row cannot be used.
pub(super) enum RowError {
    /// It cannot be decoded.
    Codec(CodecError),
    /// It can, but should not be there.
    Wrong(&'static str),
    /// It cannot be kept where it should be.
    Kept(StateError),
}

impl From<StateError> for RowError {
    fn from(error: StateError) -> Self {
        Self::Kept(error)
    }
}

impl From<CodecError> for RowError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// The blocks with rows in a range of key groups.
pub(super) fn wanted(state: &StateEntry, groups: &Range<u32>) -> Range<usize> {
    let blocks = &state.blocks;
    let first = blocks.partition_point(|block| block.last < groups.start);
    let behind = blocks.partition_point(|block| block.first < groups.end);
    first..behind.max(first)
}

fn read_footer(source: &dyn StateBlob, length: u64) -> Result<Footer, StateError> {
    let index = "its index";
    let mut trailer = [0; TRAILER_BYTES as usize];
    let end = length - TRAILER_BYTES;
    read(source, index, end, &mut trailer)?;
    let [a, b, c, d, e, f, g, h, magic @ ..] = trailer;
    let (bytes, checksum) = (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    );
    let wrong = |found: &str| corrupt(source, index, end, found);
    if magic != END_MAGIC {
        return Err(wrong(
            "another end than \"STLF\": it is cut off or overwritten",
        ));
    }
    if u64::from(bytes) > end - HEADER_BYTES {
        return Err(wrong("an index that is longer than the blob"));
    }
    let start = end - u64::from(bytes);
    let mut footer = vec![0; bytes as usize];
    read(source, index, start, &mut footer)?;
    if footer_checksum(&footer, bytes) != checksum {
        return Err(wrong("an index with a wrong checksum"));
    }
    let mut input = &footer[..];
    match decode::<Footer>(&mut input) {
        Ok(footer) if input.is_empty() => Ok(footer),
        Ok(_) => Err(wrong("bytes behind the index")),
        Err(source_of) => Err(StateError::Row {
            blob: source.name(),
            state: index.to_owned(),
            offset: start,
            source: source_of,
        }),
    }
}

fn corrupt(
    source: &dyn StateBlob,
    state: &str,
    offset: u64,
    found: impl Into<String>,
) -> StateError {
    StateError::Corrupt {
        blob: source.name(),
        state: state.to_owned(),
        offset,
        found: found.into(),
    }
}

fn read(
    source: &dyn StateBlob,
    state: &str,
    offset: u64,
    into: &mut [u8],
) -> Result<(), StateError> {
    source.read(offset, into).map_err(|error| StateError::Read {
        blob: source.name(),
        state: state.to_owned(),
        offset,
        source: error,
    })
}

/// A block as it is stored.
struct Block<'w> {
    header: BlockHeader,
    stored: &'w [u8],
}

impl Block<'_> {
    /// The bytes of its rows.
    fn unpack<'a>(&'a self, raw: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        if self.header.codec == Codec::None as u32 {
            return Some(self.stored);
        }
        raw.clear();
        raw.resize(self.header.raw as usize, 0);
        match decompress_into(self.stored, raw) {
            Ok(length) if length == raw.len() => Some(raw),
            _ => None,
        }
    }
}

/// The part of a blob that is in memory, while one state is read from front to back.
struct Window<'a> {
    source: &'a dyn StateBlob,
    state: &'a str,
    /// Nothing behind this is wanted.
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes from `offset` on, which end before `self.end`.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], StateError> {
        let end = offset + length as u64;
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let whole = (self.end - offset).min(WINDOW.max(length as u64));
            self.start = offset;
            self.bytes.clear();
            // At most what the blob has.
            self.bytes.resize(whole as usize, 0);
            read(self.source, self.state, offset, &mut self.bytes)?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + length])
    }

    /// A block, which takes all bytes up to `end`; its checksum is right.
    fn block(&mut self, entry: &BlockEntry, end: u64) -> Result<Block<'_>, StateError> {
        let (source, state, offset) = (self.source, self.state, entry.offset);
        let wrong = |found: &str| corrupt(source, state, offset, found);
        if end - offset < BLOCK_HEADER_BYTES as u64 {
            return Err(wrong("a block that is cut off"));
        }
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        bytes.copy_from_slice(self.bytes(offset, BLOCK_HEADER_BYTES)?);
        let header = BlockHeader::decode(&bytes);
        let body = offset + BLOCK_HEADER_BYTES as u64;
        if u64::from(header.stored) != end - body {
            return Err(wrong("a block of another length than its index says"));
        }
        let fits = if header.codec == Codec::None as u32 {
            header.raw == header.stored
        } else {
            header.codec == Codec::Lz4 as u32
                && u64::from(header.raw) <= u64::from(header.stored) * MOST_LZ4 + MOST_LZ4
        };
        let is_it =
            (header.first, header.last, header.rows) == (entry.first, entry.last, entry.rows);
        if !fits || !is_it || header.rows > BLOCK_ROWS {
            return Err(wrong("a block with an impossible header"));
        }
        let stored = self.bytes(body, header.stored as usize)?;
        if header.encode(stored) != bytes {
            return Err(wrong("a block with a wrong checksum"));
        }
        Ok(Block { header, stored })
    }
}
