//! The index of a partition as bytes: where in the data file each region has each sub-partition.
//!
//! A region is what the writer had in memory when it went to disk, in order of the sub-partitions.
//! Each entry has a checksum of its own, so that a reader of one sub-partition needs no more of the
//! index than its entries, however many regions there are.
//!
//! ```text
//! regions × sub-partitions × (offset u64 | length u64 | rows u64 | crc32c u32)
//! "FLTP" | version u32 | sub-partitions u32 | regions u32 | data bytes u64 | rows u64 | crc32c u32
//! ```

pub(super) const ENTRY_BYTES: usize = 28;
pub(super) const TRAILER_BYTES: usize = 36;
const MAGIC: &[u8; 4] = b"FLTP";
const VERSION: u32 = 1;

/// A sub-partition within a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) rows: u64,
}

impl Entry {
    pub(super) fn append(&self, region: u32, sub_partition: u32, out: &mut Vec<u8>) {
        let start = out.len();
        for word in [self.offset, self.length, self.rows] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let checksum = entry_checksum(region, sub_partition, &out[start..]);
        out.extend_from_slice(&checksum);
    }

    pub(super) fn decode(
        region: u32,
        sub_partition: u32,
        bytes: &[u8; ENTRY_BYTES],
    ) -> Result<Self, &'static str> {
        let (words, checksum) = bytes.split_at(ENTRY_BYTES - 4);
        if entry_checksum(region, sub_partition, words) != *checksum {
            return Err("the checksum of an index entry is wrong");
        }
        Ok(Self {
            offset: u64_at(words, 0),
            length: u64_at(words, 8),
            rows: u64_at(words, 16),
        })
    }
}

/// The place is part of what is checked: an entry that was read from elsewhere is not taken for it.
fn entry_checksum(region: u32, sub_partition: u32, words: &[u8]) -> [u8; 4] {
    let place = (u64::from(region) << 32 | u64::from(sub_partition)).to_le_bytes();
    crc32c::crc32c_append(crc32c::crc32c(&place), words).to_le_bytes()
}

/// Where the entry is in the index.
pub(super) fn entry_offset(sub_partitions: u32, region: u32, sub_partition: u32) -> u64 {
    let position = u64::from(region) * u64::from(sub_partitions) + u64::from(sub_partition);
    position.saturating_mul(ENTRY_BYTES as u64)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The end of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) sub_partitions: u32,
    pub(super) regions: u32,
    pub(super) data_bytes: u64,
    pub(super) rows: u64,
}

impl Trailer {
    pub(super) fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.sub_partitions.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.regions.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.data_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.rows.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; TRAILER_BYTES]) -> Result<Self, String> {
        if &bytes[..4] != MAGIC {
            return Err("its index has no end mark".into());
        }
        if crc32c::crc32c(&bytes[..32]) != u32_at(bytes, 32) {
            return Err("the checksum of its index is wrong".into());
        }
        let version = u32_at(bytes, 4);
        if version != VERSION {
            return Err(format!(
                "its format has version {version}, this program reads {VERSION}"
            ));
        }
        Ok(Self {
            sub_partitions: u32_at(bytes, 8),
            regions: u32_at(bytes, 12),
            data_bytes: u64_at(bytes, 16),
            rows: u64_at(bytes, 24),
        })
    }

    /// Bytes of an index with this end.
    pub(super) fn index_bytes(&self) -> u64 {
        entry_offset(self.sub_partitions, self.regions, 0).saturating_add(TRAILER_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_are_read_only_from_their_place(
            (region, sub_partition) in any::<(u32, u32)>(),
            (offset, length, rows) in any::<(u64, u64, u64)>(),
            at in 0..ENTRY_BYTES,
            bit in 0..8,
        ) {
            let entry = Entry { offset, length, rows };
            let mut bytes = Vec::new();
            entry.append(region, sub_partition, &mut bytes);
            let mut bytes: [u8; ENTRY_BYTES] = bytes.try_into().unwrap();
            prop_assert_eq!(Entry::decode(region, sub_partition, &bytes), Ok(entry));
            prop_assert!(Entry::decode(region ^ 1, sub_partition, &bytes).is_err());
            prop_assert!(Entry::decode(region, sub_partition ^ 4, &bytes).is_err());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Entry::decode(region, sub_partition, &bytes).is_err());
        }

        #[test]
        fn trailers_round_trip(
            (sub_partitions, regions) in any::<(u32, u32)>(),
            (data_bytes, rows) in any::<(u64, u64)>(),
            at in 0..TRAILER_BYTES,
            bit in 0..8,
        ) {
            let trailer = Trailer { sub_partitions, regions, data_bytes, rows };
            let mut bytes = trailer.encode();
            prop_assert_eq!(Trailer::decode(&bytes), Ok(trailer));
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Trailer::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let trailer = Trailer {
            sub_partitions: 1,
            regions: 1,
            data_bytes: 1,
            rows: 1,
        };
        let mut bytes = trailer.encode();
        bytes[4] = 9;
        let checksum = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        let reason = Trailer::decode(&bytes).unwrap_err();
        assert!(reason.contains("version 9"), "{reason}");
    }
}
