//! Damaged, cut off and foreign blobs: refused with a reason, never a panic, and never believed.

use std::collections::BTreeMap;

use flott_record::hash::stable_hash;
use flott_state::{
    Compression, KeyedTable, OperatorSnapshot, RestoredOperator, StateError, describe,
};
use proptest::prelude::*;

use crate::{Blobs, encode_with, open};

type Rows = BTreeMap<u16, String>;

fn rows() -> Rows {
    (0..600)
        .map(|key| (key, "abc".repeat(usize::from(key % 5))))
        .collect()
}

fn blobs(compression: Compression) -> Blobs {
    let mut table = KeyedTable::<u16, String>::new();
    for (key, value) in rows() {
        table.insert(stable_hash(&key), key, value);
    }
    let mut snapshot = OperatorSnapshot::new(4);
    snapshot.table("words", &mut table).unwrap();
    snapshot.list("items", &[1_u64, 2, 3]).unwrap();
    encode_with(&snapshot, compression)
}

/// Everything that is in there; also what nobody of us would ask.
fn read(from: &RestoredOperator) -> Result<(Rows, Vec<u64>), StateError> {
    let table = from.table::<u16, String>("words")?;
    let items = from.list::<u64>("items")?;
    Ok((
        table
            .into_iter()
            .map(|(_, key, value)| (key, value))
            .collect(),
        items,
    ))
}

fn restore(blobs: &Blobs) -> Result<(Rows, Vec<u64>), StateError> {
    let from = open(std::slice::from_ref(blobs), (0, 1, 4))?;
    read(&from)
}

#[test]
fn whatever_is_cut_off_is_noticed() {
    for compression in [Compression::None, Compression::Lz4] {
        let whole = blobs(compression);
        assert_eq!(restore(&whole).unwrap(), (rows(), vec![1, 2, 3]));
        for length in (1..whole.keyed.len()).step_by(7) {
            let mut cut = whole.clone();
            cut.keyed.truncate(length);
            restore(&cut).unwrap_err();
        }
    }
}

#[test]
fn foreign_blobs_are_named() {
    for (bytes, message) in [
        (
            &b"PK\x03\x04"[..],
            "a snapshot in memory is no snapshot of state: it is too short",
        ),
        (
            b"#!/bin/sh\necho hello, world\n",
            "a snapshot in memory is no snapshot of state: it does not begin with \"FLTS\"",
        ),
        (
            b"FLTS\x09\0\0\0 from the future............",
            "a snapshot in memory is a snapshot of version 9; this program reads version 1",
        ),
    ] {
        let error = describe(Box::new(bytes.to_vec())).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!error.is_transient());
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8, lz4: bool) {
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let mut flipped = blobs(compression);
        let at = at.index(flipped.keyed.len());
        flipped.keyed[at] ^= 1 << bit;
        prop_assert!(restore(&flipped).is_err());
    }

    /// With a right checksum over a wrong index: lengths and offsets that nobody has written.
    #[test]
    fn an_absurd_index_is_survived(
        at in any::<prop::sample::Index>(),
        bytes in prop::array::uniform8(any::<u8>()),
        length in 1..=8_usize,
    ) {
        let mut absurd = blobs(Compression::None);
        let end = absurd.keyed.len() - 12;
        let length_of = absurd.keyed[end..end + 4].try_into().unwrap();
        let start = end - u32::from_le_bytes(length_of) as usize;
        let at = start + at.index(end - start);
        for (place, byte) in absurd.keyed[at..end].iter_mut().zip(&bytes[..length]) {
            *place = *byte;
        }
        let sum = crc32c::crc32c(&absurd.keyed[start..end + 4]);
        absurd.keyed[end + 4..end + 8].copy_from_slice(&sum.to_le_bytes());
        if let Ok((read, _)) = restore(&absurd) {
            // Harmless: the name of another state, say.
            prop_assert!(read.is_empty() || read == rows());
        }
    }

    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), framed: bool) {
        let mut noise = bytes;
        if framed {
            noise.splice(0..0, *b"FLTS\x01\0\0\0");
            let length = u32::try_from(noise.len() - 8).unwrap().to_le_bytes();
            noise.extend(length);
            let sum = crc32c::crc32c(&noise[8..]);
            noise.extend(sum.to_le_bytes());
            noise.extend(*b"STLF");
        }
        let _ = describe(Box::new(noise));
    }
}
