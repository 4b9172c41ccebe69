//! From any number of subtasks to any other: together they have what there was.

use std::collections::BTreeMap;

use flott_record::hash::{key_group, stable_hash, subtask_of};
use flott_state::{
    KeyedTable, ListStateDescriptor, MapStateDescriptor, OperatorBackend, OperatorSnapshot, Timers,
};
use proptest::prelude::*;

use crate::{Blobs, encode, open};

const MAX_PARALLELISM: u32 = 32;

fn subtask(hash: u64, parallelism: u32) -> usize {
    let group = key_group(hash, MAX_PARALLELISM);
    subtask_of(group, parallelism, MAX_PARALLELISM) as usize
}

/// What the subtasks have, each row where it belongs.
fn write(rows: &BTreeMap<u32, (String, i64)>, items: &[u64], parallelism: u32) -> Vec<Blobs> {
    let mut tables = vec![KeyedTable::<u32, String>::new(); parallelism as usize];
    let mut timers = vec![Timers::<u32, ()>::default(); parallelism as usize];
    for (key, (value, time)) in rows {
        let hash = stable_hash(key);
        let at = subtask(hash, parallelism);
        tables[at].insert(hash, *key, value.clone());
        timers[at].event_time.register(*time, hash, key, &());
    }
    let subtasks = tables.iter_mut().zip(&mut timers).zip(0_u32..);
    let blobs = subtasks.map(|((table, timers), subtask)| {
        let mut snapshot = OperatorSnapshot::new(MAX_PARALLELISM);
        snapshot.table("table", table).unwrap();
        snapshot.timers("timers", timers).unwrap();
        snapshot.value("index", &subtask).unwrap();
        let own = items.iter().skip(subtask as usize);
        let own: Vec<u64> = own.step_by(parallelism as usize).copied().collect();
        snapshot.list("items", &own).unwrap();
        let mut state = OperatorBackend::new();
        let union = state
            .union_list_state(ListStateDescriptor::<u64>::new("union"))
            .unwrap();
        union.update(&mut state, own);
        let rules = state.broadcast_state(MapStateDescriptor::<u8, u8>::new("rules"));
        rules.unwrap().put(&mut state, 1, 2);
        snapshot.operator(&mut state).unwrap();
        encode(&snapshot)
    });
    blobs.collect()
}

fn check(
    rows: &BTreeMap<u32, (String, i64)>,
    items: &[u64],
    old: u32,
    new: u32,
) -> Result<(), TestCaseError> {
    let blobs = write(rows, items, old);
    let mut found = BTreeMap::new();
    let mut found_items = Vec::new();
    let mut all = items.to_vec();
    all.sort_unstable();
    for index in 0..new {
        let from = open(&blobs, (index, new, MAX_PARALLELISM)).unwrap();
        let table = from.table::<u32, String>("table").unwrap();
        let timers = from.timers::<u32, ()>("timers").unwrap();
        prop_assert_eq!(timers.event_time.len(), table.len());
        for (time, hash, key, ()) in timers.event_time.iter() {
            prop_assert_eq!(subtask(hash, new), index as usize);
            let value = table.get(hash, key).cloned().unwrap();
            prop_assert_eq!(found.insert(*key, (value, time)), None);
        }
        found_items.extend(from.list::<u64>("items").unwrap());
        let indexes: Vec<(u32, u32)> = from.value("index").unwrap();
        prop_assert_eq!(indexes, (0..old).map(|at| (at, at)).collect::<Vec<_>>());
        let mut state = OperatorBackend::restored(&from);
        let union = state.union_list_state(ListStateDescriptor::<u64>::new("union"));
        let mut union = union.unwrap().get(&state).to_vec();
        union.sort_unstable();
        prop_assert_eq!(&union, &all);
        let rules = state.broadcast_state(MapStateDescriptor::<u8, u8>::new("rules"));
        prop_assert_eq!(rules.unwrap().get(&state, &1), Some(&2));
    }
    prop_assert_eq!(&found, rows);
    found_items.sort_unstable();
    prop_assert_eq!(found_items, all);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_is_lost_and_nothing_comes_twice(
        rows in prop::collection::btree_map(any::<u32>(), (".{0,8}", -9..9_i64), 0..200),
        items in prop::collection::vec(any::<u64>(), 0..40),
        old in 1..=MAX_PARALLELISM,
        new in 1..=MAX_PARALLELISM,
    ) {
        check(&rows, &items, old, new)?;
    }
}

#[test]
fn a_subtask_keeps_its_own_elements_when_nothing_has_changed() {
    let blobs = write(&BTreeMap::new(), &[1, 2, 3, 4, 5], 2);
    let lists = [0, 1].map(|index| {
        let from = open(&blobs, (index, 2, MAX_PARALLELISM)).unwrap();
        from.list::<u64>("items").unwrap()
    });
    assert_eq!(lists, [vec![1, 3, 5], vec![2, 4]]);
}

#[test]
fn another_number_of_key_groups_is_refused() {
    let blobs = write(&BTreeMap::new(), &[], 1);
    let refused = open(&blobs, (0, 1, 64)).err().unwrap().to_string();
    assert_eq!(
        refused,
        "a snapshot in memory was taken with a maximum parallelism of 32, and the job has 64; set \
         the maximum parallelism to 32"
    );
}
