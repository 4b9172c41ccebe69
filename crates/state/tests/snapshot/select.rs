//! Who needs some key groups of a blob needs some of its bytes.

use std::io;
use std::ops::Range;

use flott_record::hash::stable_hash;
use flott_state::{
    BLOB_END_BYTES, KeyedTable, OperatorSnapshot, RestorePlace, RestoredOperator, StateBlob,
    TimeDomain, Timers, blob_index, needed_of_blob,
};

use crate::encode;

/// A blob of which some bytes are missing.
struct Partly {
    bytes: Vec<u8>,
    there: Vec<Range<u64>>,
}

impl StateBlob for Partly {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset + into.len() as u64;
        let mut there = self.there.iter();
        assert!(
            there.any(|range| range.start <= offset && end <= range.end),
            "{offset}..{end} was not asked for: {:?}",
            self.there
        );
        into.copy_from_slice(&self.bytes[offset as usize..end as usize]);
        Ok(())
    }
}

fn blob(rows: u64) -> Vec<u8> {
    let mut table = KeyedTable::<u64, String>::new();
    let mut timers = Timers::<u64, ()>::default();
    for key in 0..rows {
        let hash = stable_hash(&key);
        table.insert(hash, key, format!("row {key}"));
        let queue = timers.of(TimeDomain::EventTime);
        queue.register(key.cast_signed(), hash, &key, &());
    }
    let mut none = KeyedTable::<u64, u64>::new();
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("rows", &mut table).unwrap();
    snapshot.table("none", &mut none).unwrap();
    snapshot.timers("timers", &mut timers).unwrap();
    encode(&snapshot).keyed
}

fn needed(bytes: &[u8], key_groups: &Range<u32>) -> Vec<Range<u64>> {
    let length = bytes.len() as u64;
    let end = &bytes[bytes.len() - BLOB_END_BYTES as usize..];
    let index = blob_index(length, end).unwrap();
    let of_index = &bytes[index.start as usize..index.end as usize];
    needed_of_blob(length, &index, of_index, key_groups).unwrap()
}

#[test]
fn what_is_needed_is_enough() {
    for rows in [0, 1, 30_000] {
        let bytes = blob(rows);
        for parallelism in [1, 3, 128] {
            let (mut found, mut read) = (0, 0);
            for subtask in 0..parallelism {
                let place = RestorePlace::new(subtask, parallelism, 128, 1);
                let there = needed(&bytes, &place.key_groups);
                read += there
                    .iter()
                    .map(|range| range.end - range.start)
                    .sum::<u64>();
                let partly = Partly {
                    bytes: bytes.clone(),
                    there,
                };
                let from = RestoredOperator::open(place, vec![Box::new(partly)], Vec::new());
                let from = from.unwrap();
                let table = from.table::<u64, String>("rows").unwrap();
                let timers = from.timers::<u64, ()>("timers").unwrap();
                assert_eq!(table.len(), timers.event_time.iter().count());
                assert_eq!(from.table::<u64, u64>("none").unwrap().len(), 0);
                found += table.len() as u64;
            }
            assert_eq!(found, rows);
            let whole = bytes.len() as u64;
            match parallelism {
                1 => assert_eq!(read, whole),
                3 if rows > 1 => assert!(read < whole * 3 / 2, "{read} of {whole}"),
                _ => (),
            }
        }
    }
}

#[test]
fn what_is_no_blob_is_read_as_a_whole() {
    let bytes = blob(100);
    let length = bytes.len() as u64;
    let end = bytes.len() - BLOB_END_BYTES as usize;
    assert_eq!(blob_index(length, &bytes[end..][..11]), None);
    assert_eq!(blob_index(20, &bytes[end..]), None, "longer than the blob");
    let mut other = bytes[end..].to_vec();
    other[11] ^= 1;
    assert_eq!(blob_index(length, &other), None);
    let index = blob_index(length, &bytes[end..]).unwrap();
    let cut = &bytes[index.start as usize..index.end as usize - 1];
    assert_eq!(needed_of_blob(length, &index, cut, &(0..128)), None);
}
