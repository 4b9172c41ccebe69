//! Frames of a data file as bytes: rows of one sub-partition. No I/O, and no input makes it panic.
//!
//! ```text
//! stored u32 | raw u32 | rows u32 | sub-partition u32 | flags u32 | stored bytes | crc32c u32
//! ```
//! Little endian. The checksum covers header and stored bytes.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::Compression;
use crate::DataFrame;

pub(super) const HEADER_BYTES: usize = 20;
pub(super) const CHECKSUM_BYTES: usize = 4;
/// Payload at which a frame is closed.
pub(super) const FRAME_BYTES: usize = 32 * 1024;
/// Most rows of a frame: rows may have no bytes at all.
pub(super) const FRAME_ROWS: u32 = 64 * 1024;

const HAS_TIMESTAMPS: u32 = 1;
const LZ4: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    stored: u32,
    raw: u32,
    pub(super) rows: u32,
    pub(super) sub_partition: u32,
    flags: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let words = [
            self.stored,
            self.raw,
            self.rows,
            self.sub_partition,
            self.flags,
        ];
        let mut bytes = [0; HEADER_BYTES];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a header, and checks it before anything is allocated by what it says.
    pub(super) fn decode(
        bytes: &[u8; HEADER_BYTES],
        max_payload: usize,
    ) -> Result<Self, &'static str> {
        let word = |index: usize| {
            let at = 4 * index;
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Self {
            stored: word(0),
            raw: word(1),
            rows: word(2),
            sub_partition: word(3),
            flags: word(4),
        };
        if header.flags & !(HAS_TIMESTAMPS | LZ4) != 0 {
            return Err("a frame has unknown flags");
        }
        let fits = if header.flags & LZ4 == 0 {
            header.stored == header.raw
        } else {
            header.stored < header.raw
        };
        if !fits || header.raw as usize > max_payload {
            return Err("a frame has an impossible length");
        }
        if header.rows == 0 || header.rows > FRAME_ROWS {
            return Err("a frame has an impossible number of rows");
        }
        Ok(header)
    }

    /// Bytes after the header.
    pub(super) fn body_bytes(&self) -> usize {
        self.stored as usize + CHECKSUM_BYTES
    }

    /// Checks the body and gives back what was written. `body` has `body_bytes()`.
    pub(super) fn open(&self, body: &[u8]) -> Result<DataFrame, &'static str> {
        let (stored, checksum) = body
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or("a frame is cut off")?;
        if checksum_of(&self.encode(), stored) != *checksum {
            return Err("the checksum of a frame is wrong");
        }
        let payload = if self.flags & LZ4 == 0 {
            stored.to_vec()
        } else {
            let mut payload = vec![0; self.raw as usize];
            match decompress_into(stored, &mut payload) {
                Ok(length) if length == payload.len() => payload,
                _ => return Err("a frame cannot be decompressed"),
            }
        };
        Ok(DataFrame {
            payload,
            rows: self.rows,
            has_timestamps: self.flags & HAS_TIMESTAMPS != 0,
        })
    }
}

fn checksum_of(header: &[u8], stored: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(header), stored).to_le_bytes()
}

/// Appends a frame of these rows. A payload has less than 4 GiB: records are limited.
pub(super) fn append(
    out: &mut Vec<u8>,
    sub_partition: u32,
    rows: u32,
    timed: bool,
    payload: &[u8],
    compression: Compression,
) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let mut flags = if timed { HAS_TIMESTAMPS } else { 0 };
    let compressed = match compression {
        Compression::None => None,
        Compression::Lz4 => compress(out, payload),
    };
    let stored = match compressed {
        Some(stored) => {
            flags |= LZ4;
            stored
        }
        None => {
            out.extend_from_slice(payload);
            payload.len()
        }
    };
    let header = Header {
        stored: stored as u32,
        raw: payload.len() as u32,
        rows,
        sub_partition,
        flags,
    }
    .encode();
    out[start..start + HEADER_BYTES].copy_from_slice(&header);
    let checksum = checksum_of(&header, &out[start + HEADER_BYTES..]);
    out.extend_from_slice(&checksum);
}

/// Appends the payload compressed and says its size; leaves `out` as it was if that is not smaller.
fn compress(out: &mut Vec<u8>, payload: &[u8]) -> Option<usize> {
    let start = out.len();
    out.resize(start + get_maximum_output_size(payload.len()), 0);
    let length = compress_into(payload, &mut out[start..])
        .ok()
        .filter(|length| *length < payload.len());
    out.truncate(start + length.unwrap_or(0));
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], max_payload: usize) -> Result<DataFrame, &'static str> {
        let (head, body) = bytes.split_first_chunk().ok_or("short")?;
        let header = Header::decode(head, max_payload)?;
        if body.len() != header.body_bytes() {
            return Err("length");
        }
        header.open(body)
    }

    proptest! {
        #[test]
        fn frames_round_trip(
            payload in proptest::collection::vec(0u8..4, 0..5000),
            rows in 1..=FRAME_ROWS,
            timed: bool,
            lz4: bool,
        ) {
            let compression = if lz4 { Compression::Lz4 } else { Compression::None };
            let mut bytes = Vec::new();
            append(&mut bytes, 7, rows, timed, &payload, compression);
            let frame = DataFrame { payload, rows, has_timestamps: timed };
            prop_assert_eq!(read(&bytes, 5000), Ok(frame));
        }

        #[test]
        fn a_flipped_bit_is_found(
            payload in proptest::collection::vec(0u8..4, 0..500),
            lz4: bool,
            place: prop::sample::Index,
            bit in 0..8,
        ) {
            let compression = if lz4 { Compression::Lz4 } else { Compression::None };
            let mut bytes = Vec::new();
            append(&mut bytes, 7, 3, false, &payload, compression);
            let at = place.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(read(&bytes, 500).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes, 1000);
        }
    }
}
