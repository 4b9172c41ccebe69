//! What a user of the table does not see: memory, segments, walks.

use super::*;

#[test]
fn a_walk_in_steps_sees_every_row_once() {
    let mut table = KeyedTable::new();
    assert_eq!(table.next_row(0), None);
    for key in 0..1_000_u64 {
        table.insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key, 0);
    }
    let (mut from, mut seen) = (0, Vec::new());
    while let Some((slot, _, key, value)) = table.next_row(from) {
        *value += 1;
        seen.push(*key);
        from = slot + 1;
    }
    assert_eq!(seen.len(), 1_000);
    assert!(table.iter().all(|(_, _, value)| *value == 1));
}

#[test]
fn keys_with_one_hash_are_told_apart() {
    let mut table = KeyedTable::new();
    for key in 0..100_u32 {
        assert_eq!(table.insert(7, key, key * 2), None);
    }
    assert_eq!(table.insert(7, 50, 1), Some(100));
    assert_eq!(table.remove(7, &3), Some(6));
    assert_eq!(table.get(7, &3), None);
    assert_eq!(table.get(7, &50), Some(&1));
    assert_eq!(table.len(), 99);
}

#[test]
fn memory_is_given_back_when_rows_go() {
    let mut table = KeyedTable::new();
    for key in 0..100_000_u64 {
        table.insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key, key);
    }
    let full = table.allocated_bytes();
    table.retain(|_, key, _| *key < 10);
    assert!(table.allocated_bytes() < full / 3, "retain");
    let before = table.allocated_bytes();
    for key in 10..100_000_u64 {
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        table.insert(hash, key, key);
        assert_eq!(table.remove(hash, &key), Some(key));
    }
    assert!(table.allocated_bytes() <= before, "insert and remove");
    assert_eq!(table.len(), 10);
}

#[test]
fn sweeps_see_every_row() {
    let mut table = KeyedTable::new();
    for key in 0..1_000_u64 {
        table.insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), key, key);
    }
    let mut cursor = 0;
    for _ in 0..2_000 {
        table.sweep(&mut cursor, 3, |value| *value % 2 == 0, |_| true);
    }
    assert_eq!(table.len(), 500);
    assert!(table.iter().all(|(_, key, _)| key % 2 == 1));
}

/// Keys of one subtask of 128: the top seven bits of their hashes are the same.
fn narrow(key: u64) -> u64 {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7) | 0x2A << 57
}

#[test]
fn the_bits_that_all_keys_have_in_common_cost_nothing() {
    let mut table = KeyedTable::new();
    for key in 0..100_000_u64 {
        table.insert_new(narrow(key), key, key);
    }
    let segments = table.segments.len();
    assert!((49..128).contains(&segments), "{segments} segments");
    assert!(
        table.segments.directory_bytes() <= 128 * 16,
        "{}",
        table.segments.directory_bytes()
    );
    for key in 0..100_000_u64 {
        assert_eq!(table.get(narrow(key), &key), Some(&key));
        assert_eq!(table.get(narrow(key), &(key + 1)), None);
    }
}

#[test]
fn keys_that_do_not_have_those_bits_are_welcome_too() {
    let mut table = KeyedTable::new();
    let hash = |key: u64| match key % 3 {
        0 => narrow(key),
        1 => narrow(key) ^ 1 << 60,
        _ => narrow(key) ^ 1 << 63,
    };
    let keys = [0, 1, 2].map(|rest| (0..10_000_u64).filter(move |key| key % 3 == rest));
    for key in keys.clone().into_iter().flatten() {
        table.insert_new(hash(key), key, key);
    }
    assert_eq!(table.len(), 10_000);
    for key in keys.into_iter().flatten() {
        assert_eq!(table.remove(hash(key), &key), Some(key));
    }
    assert!(table.is_empty());
    assert!(
        table.allocated_bytes() < 32 * 1_024,
        "{}",
        table.allocated_bytes()
    );
}

#[test]
fn many_rows_of_one_key_stay_in_one_segment() {
    // A million namespaces of one key have the upper half of their hashes in common.
    let hash = |key: u64| 7 << 40 | key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let mut table = KeyedTable::new();
    for key in 0..20_000_u64 {
        table.insert_new(hash(key), key, key);
    }
    assert_eq!(table.segments.len(), 1);
    for key in 0..20_000_u64 {
        table.insert_new(narrow(key), key + 1_000_000, key);
    }
    assert!(
        table.segments.directory_bytes() < 64 * 1024,
        "{}",
        table.segments.directory_bytes()
    );
    for key in 0..20_000_u64 {
        assert_eq!(table.get(hash(key), &key), Some(&key));
        assert_eq!(table.get(narrow(key), &(key + 1_000_000)), Some(&key));
    }
}

#[test]
fn small_tables_are_small() {
    let mut table = KeyedTable::<u64, u64>::new();
    assert_eq!(table.allocated_bytes(), 0);
    for key in 0..4 {
        table.insert(narrow(key), key, key);
    }
    assert!(table.allocated_bytes() < 256, "{}", table.allocated_bytes());
}

#[test]
fn a_snapshot_shares_what_does_not_change() {
    let mut table = KeyedTable::new();
    for key in 0..10_000_u64 {
        table.insert_new(narrow(key), key, key);
    }
    let shared = |table: &KeyedTable<u64, u64>| table.segments.shared();
    let all = table.segments.len();
    let snapshot = table.snapshot();
    assert_eq!(shared(&table), all);
    *table.get_mut(narrow(7), &7).unwrap() = 0;
    assert_eq!(shared(&table), all - 1);
    assert!(snapshot.iter().all(|(_, key, value)| key == value));
    let mut back = KeyedTable::from_snapshot(&snapshot);
    assert_eq!(back.get(narrow(7), &7), Some(&7));

    // Without a snapshot nothing is copied.
    drop(snapshot);
    drop(table);
    back.snapshot();
    let value = back.get(narrow(7), &7).unwrap() as *const u64;
    assert!(std::ptr::eq(back.get_mut(narrow(7), &7).unwrap(), value));
}

#[test]
fn a_snapshot_is_in_the_order_of_key_groups() {
    for keys in [100, 10_000] {
        let mut table = KeyedTable::new();
        for key in 0..keys {
            table.insert_new(narrow(key) << 5, key, key);
        }
        let snapshot = table.snapshot();
        let mut seen: Vec<_> = snapshot
            .by_group(300)
            .map(|(group, hash, key, _)| {
                assert_eq!(group, flott_record::hash::key_group(hash, 300));
                (group, *key)
            })
            .collect();
        assert!(seen.is_sorted_by_key(|(group, _)| *group));
        seen.sort_by_key(|(_, key)| *key);
        assert!(seen.iter().map(|(_, key)| *key).eq(0..keys));
    }
}
