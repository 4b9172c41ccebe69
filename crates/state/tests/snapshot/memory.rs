//! A roll back in memory gives what the storage would have given.

use std::collections::BTreeMap;

use flott_record::hash::stable_hash;
use flott_state::{
    Compression, KeyedTable, ListStateDescriptor, OperatorBackend, OperatorSnapshot, RestorePlace,
    RestoredOperator, StateBlob, StateError, TimeDomain, Timers,
};
use proptest::prelude::*;

use crate::{encode_with, reopen};

/// A change to a table, or a timer that is registered or deleted.
#[derive(Debug, Clone)]
enum Change {
    Set(u16, String),
    Append(u16, char),
    Remove(u16),
    Register(i8, u16),
    Delete(i8, u16),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (0..800_u16, "[a-z]{0,40}").prop_map(|(key, value)| Change::Set(key, value)),
        (0..800_u16, any::<char>()).prop_map(|(key, letter)| Change::Append(key, letter)),
        (0..800_u16).prop_map(Change::Remove),
        (any::<i8>(), 0..50_u16).prop_map(|(at, key)| Change::Register(at, key)),
        (any::<i8>(), 0..50_u16).prop_map(|(at, key)| Change::Delete(at, key)),
    ];
    proptest::collection::vec(change, 0..600)
}

#[derive(Default)]
struct Operator {
    table: KeyedTable<u16, String>,
    timers: Timers<u16, ()>,
}

impl Operator {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Set(key, value) => {
                    self.table.insert(stable_hash(key), *key, value.clone());
                }
                Change::Append(key, letter) => {
                    let row = || (*key, String::new());
                    let value = self.table.get_or_insert_row(stable_hash(key), key, row);
                    value.push(*letter);
                }
                Change::Remove(key) => {
                    self.table.remove(stable_hash(key), key);
                }
                Change::Register(at, key) => {
                    let timers = self.timers.of(TimeDomain::EventTime);
                    timers.register(i64::from(*at), stable_hash(key), key, &());
                }
                Change::Delete(at, key) => {
                    let timers = self.timers.of(TimeDomain::EventTime);
                    timers.delete(i64::from(*at), stable_hash(key), key, &());
                }
            }
        }
    }

    fn snapshot(&mut self) -> OperatorSnapshot {
        let mut snapshot = OperatorSnapshot::new(128);
        snapshot.table("rows", &mut self.table).unwrap();
        snapshot.timers("timers", &mut self.timers).unwrap();
        snapshot
    }

    fn restored(from: &RestoredOperator) -> Self {
        Self {
            table: from.table("rows").unwrap(),
            timers: from.timers("timers").unwrap(),
        }
    }

    fn rows(&self) -> BTreeMap<u16, String> {
        let rows = self.table.iter();
        rows.map(|(_, key, value)| (*key, value.clone())).collect()
    }

    /// In the order in which they fire; those of one time in any.
    fn fire(&self) -> Vec<(i64, u16)> {
        let timers = self.timers.event_time.iter();
        let mut timers: Vec<_> = timers.map(|(at, _, key, ())| (at, *key)).collect();
        assert!(timers.is_sorted_by_key(|(at, _)| *at));
        timers.sort_unstable();
        timers
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn memory_and_storage_give_the_same(
        before in changes(),
        lost in changes(),
        again in changes(),
        lost_again in changes(),
    ) {
        let mut operator = Operator::default();
        operator.apply(&before);
        let kept = operator.snapshot();
        let blobs = encode_with(&kept, Compression::None);
        // Two failures go back to the same checkpoint.
        operator.apply(&lost);
        let place = || RestorePlace::new(0, 1, 128, 1);
        let mut first = Operator::restored(&RestoredOperator::retained(place(), &kept));
        first.apply(&lost_again);
        drop(operator);
        let mut memory = Operator::restored(&RestoredOperator::retained(place(), &kept));
        let mut storage = Operator::restored(&reopen(&blobs));
        prop_assert_eq!(memory.rows(), storage.rows());
        prop_assert_eq!(memory.fire(), storage.fire());
        memory.apply(&again);
        storage.apply(&again);
        prop_assert_eq!(memory.rows(), storage.rows());
        prop_assert_eq!(memory.fire(), storage.fire());
        // What is kept is still what it was.
        prop_assert_eq!(encode_with(&kept, Compression::None), blobs);
    }
}

#[test]
fn states_of_all_subtasks_come_from_all_of_them() {
    let of_subtask = |subtask: u64| {
        let mut table = KeyedTable::<u64, u64>::new();
        table.insert(stable_hash(&1), 1, subtask);
        let mut backend = OperatorBackend::new();
        let all = backend.union_list_state(ListStateDescriptor::new("all"));
        all.unwrap().add(&mut backend, subtask);
        let mut snapshot = OperatorSnapshot::new(128);
        snapshot.table("rows", &mut table).unwrap();
        snapshot.operator(&mut backend).unwrap();
        snapshot
    };
    let snapshots = [of_subtask(0), of_subtask(1)];
    let blobs = snapshots
        .each_ref()
        .map(|it| encode_with(it, Compression::None).operator);
    let blobs = (0..).zip(blobs).map(|(subtask, blob)| {
        let blob: Box<dyn StateBlob> = Box::new(blob);
        (subtask, blob)
    });
    let place = RestorePlace::new(1, 2, 128, 2);
    let from = RestoredOperator::retained_keyed(place, &snapshots[1], blobs.collect()).unwrap();
    assert_eq!(from.unclaimed().len(), 2);
    let mut backend = OperatorBackend::restored(&from);
    let all = backend.union_list_state(ListStateDescriptor::<u64>::new("all"));
    assert_eq!(all.unwrap().get(&backend), [0, 1]);
    let table = from.table::<u64, u64>("rows").unwrap();
    assert_eq!(table.get(stable_hash(&1), &1), Some(&1));
    assert_eq!(from.unclaimed(), []);
}

#[test]
fn a_keyed_state_is_handed_out_once() {
    let mut operator = Operator::default();
    operator.apply(&[Change::Set(1, "one".to_owned())]);
    let snapshot = operator.snapshot();
    assert!(snapshot.is_retainable());
    assert!(snapshot.allocated_bytes() > 0);
    let from = RestoredOperator::retained(RestorePlace::new(0, 1, 128, 1), &snapshot);
    assert_eq!(from.unclaimed().len(), 2);
    assert_eq!(from.table::<u16, String>("rows").unwrap().len(), 1);
    let again = from.table::<u16, String>("rows").err();
    assert!(
        matches!(&again, Some(StateError::AlreadyRegistered { name, .. }) if name == "rows"),
        "{again:?}"
    );
    assert_eq!(from.table::<u16, String>("other").unwrap().len(), 0);
    assert_eq!(from.unclaimed().len(), 1);
}
