//! What of a blob some key groups need, for whoever reads it from afar: its end says where its index is, and the
//! index, which bytes are needed.

use std::ops::Range;

use flott_record::codec::decode;

use super::format::{END_MAGIC, Footer, HEADER_BYTES, TRAILER_BYTES};
use super::reader::wanted;

/// So many bytes at the end of a blob say where its index is.
pub const BLOB_END_BYTES: u64 = TRAILER_BYTES;

/// Where the index of a blob of that length is, given its last [`BLOB_END_BYTES`]. `None`: it is no blob; opening it says
/// why.
pub fn blob_index(length: u64, end: &[u8]) -> Option<Range<u64>> {
    let [a, b, c, d, _, _, _, _, magic @ ..] = *end.first_chunk::<{ TRAILER_BYTES as usize }>()?;
    if magic != END_MAGIC {
        return None;
    }
    let index = u64::from(u32::from_le_bytes([a, b, c, d]));
    let behind = length.checked_sub(TRAILER_BYTES)?;
    let begin = behind
        .checked_sub(index)
        .filter(|begin| *begin >= HEADER_BYTES)?;
    Some(begin..behind)
}

/// The bytes that are needed, ascending, to open a blob and read the rows of these key groups from it. `None`: the index is
/// damaged; opening the blob says so.
pub fn needed_of_blob(
    length: u64,
    index: &Range<u64>,
    bytes: &[u8],
    key_groups: &Range<u32>,
) -> Option<Vec<Range<u64>>> {
    let mut input = bytes;
    let footer: Footer = decode(&mut input).ok()?;
    let mut ranges: Vec<Range<u64>> = std::iter::once(0..HEADER_BYTES).collect();
    for state in &footer.states {
        let groups = if state.kind.is_keyed() {
            key_groups.clone()
        } else {
            0..1
        };
        let blocks = wanted(state, &groups);
        let Some(first) = state
            .blocks
            .get(blocks.start)
            .filter(|_| !blocks.is_empty())
        else {
            continue;
        };
        let end = state.blocks.get(blocks.end);
        let range = first.offset..end.map_or(state.end, |next| next.offset);
        let last = ranges.last().map_or(0, |last| last.end);
        if range.start < last || range.end < range.start || range.end > index.start {
            return None;
        }
        ranges.push(range);
    }
    ranges.push(index.start..length);
    // What follows each other is read at once.
    ranges.dedup_by(|next, last| {
        let joined = last.end == next.start;
        if joined {
            last.end = next.end;
        }
        joined
    });
    Some(ranges)
}
