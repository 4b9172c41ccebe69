//! Rows that come and go between the tiers, with snapshots and restores in between, against a map
//! that holds them all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use flott_record::hash::stable_hash;
use proptest::prelude::*;

use super::*;
use crate::{
    Compression, KeyedBackend, ListStateDescriptor, OperatorSnapshot, RestorePlace,
    RestoredOperator, StateTtlConfig, ValueState, ValueStateDescriptor,
};

const GROUPS: u32 = 128;

/// The stores to be tested, each with the budget of hot rows.
fn tiers(budget: u64) -> (OperatorTiers, Option<tempfile::TempDir>) {
    #[cfg(feature = "rocksdb")]
    {
        let directory = tempfile::tempdir().unwrap();
        let options = RocksOptions {
            memory_bytes: Some(8 << 20),
            ..RocksOptions::default()
        };
        let stores = Arc::new(RocksStores::new(options));
        let place = directory.path().join("store");
        let tiers = OperatorTiers::new(stores, place, HotPool::new(budget), GROUPS);
        (tiers, Some(directory))
    }
    #[cfg(not(feature = "rocksdb"))]
    {
        let pool = HotPool::new(budget);
        let tiers = OperatorTiers::new(Arc::new(MemoryStores), PathBuf::new(), pool, GROUPS);
        (tiers, None)
    }
}

/// Those of a heap backend are read by the other one and the reverse.
fn restored(snapshot: &OperatorSnapshot) -> RestoredOperator {
    let (mut keyed, mut operator) = (Vec::new(), Vec::new());
    snapshot
        .encode(Compression::None, &mut keyed, &mut operator)
        .unwrap();
    RestoredOperator::open(
        RestorePlace::new(0, 1, GROUPS, 1),
        vec![Box::new(keyed)],
        vec![(0, Box::new(operator))],
    )
    .unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    /// Adds to the values of these keys.
    Batch(Vec<u16>),
    Remove(u16),
    MakeRoom,
    /// A snapshot is taken, and encoded when the next one is taken or at the end.
    Snapshot,
    /// Goes back to what the last snapshot holds: from bytes, or from the snapshot itself.
    Restore {
        retained: bool,
    },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => prop::collection::vec(0..300_u16, 1..40).prop_map(Step::Batch),
        3 => (0..300_u16).prop_map(Step::Remove),
        6 => Just(Step::MakeRoom),
        2 => Just(Step::Snapshot),
        1 => any::<bool>().prop_map(|retained| Step::Restore { retained }),
        1 => Just(Step::Clear),
    ]
}

type Oracle = BTreeMap<String, u64>;

fn key(number: u16) -> String {
    format!("key {number}")
}

struct Subject {
    tiers: OperatorTiers,
    table: TieredTable<String, u64>,
    oracle: Oracle,
    taken: Option<(OperatorSnapshot, Oracle)>,
}

impl Subject {
    fn run(&mut self, step: Step) {
        match step {
            Step::Batch(numbers) => {
                for number in &numbers {
                    let key = key(*number);
                    self.table.want(stable_hash(&key), &key).unwrap();
                }
                self.table.fetch().unwrap();
                for number in numbers {
                    let key = key(number);
                    let hash = stable_hash(&key);
                    *self.table.get_or_insert_with(hash, &key, || 0) += u64::from(number) + 1;
                    *self.oracle.entry(key).or_default() += u64::from(number) + 1;
                }
            }
            Step::Remove(number) => {
                let key = key(number);
                let hash = stable_hash(&key);
                self.table.want(hash, &key).unwrap();
                self.table.fetch().unwrap();
                assert_eq!(self.table.remove(hash, &key), self.oracle.remove(&key));
            }
            Step::MakeRoom => self.table.make_room().unwrap(),
            Step::Snapshot => {
                self.check_taken();
                let mut snapshot = OperatorSnapshot::new(GROUPS);
                snapshot.tiered("rows", &mut self.table).unwrap();
                self.taken = Some((snapshot, self.oracle.clone()));
            }
            Step::Restore { retained } => self.restore(retained),
            Step::Clear => {
                self.table.clear();
                self.oracle.clear();
            }
        }
        assert_eq!(self.table.rows(), self.oracle.len());
    }

    fn restore(&mut self, retained: bool) {
        let Some((snapshot, oracle)) = &self.taken else {
            return;
        };
        let from = if retained {
            RestoredOperator::retained(RestorePlace::new(0, 1, GROUPS, 1), snapshot)
        } else {
            restored(snapshot)
        };
        self.table = self.tiers.table("rows");
        from.tiered("rows", &mut self.table).unwrap();
        self.oracle = oracle.clone();
    }

    /// What the heap backend finds in the snapshot.
    fn check_taken(&mut self) {
        if let Some((snapshot, oracle)) = self.taken.take() {
            let table = restored(&snapshot).table::<String, u64>("rows").unwrap();
            let rows = table.iter().map(|(_, key, value)| (key.clone(), *value));
            assert_eq!(rows.collect::<Oracle>(), oracle);
        }
    }

    fn check(&mut self) {
        self.run(Step::Snapshot);
        self.check_taken();
        for number in 0..300 {
            let key = key(number);
            self.table.want(stable_hash(&key), &key).unwrap();
        }
        self.table.fetch().unwrap();
        assert_eq!(self.table.len(), self.oracle.len(), "all are hot");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(feature = "rocksdb") { 48 } else { 128 }))]
    #[test]
    fn two_tiers_are_one_table(
        budget in prop_oneof![Just(0_u64), Just(2_000), Just(10_000)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (tiers, _directory) = tiers(budget);
        let table = tiers.table("rows");
        let mut subject = Subject { tiers, table, oracle: Oracle::new(), taken: None };
        for step in steps {
            subject.run(step);
        }
        subject.check();
    }
}

#[test]
fn rows_go_until_the_rest_fits() {
    let (tiers, _directory) = tiers(100_000);
    let mut table = tiers.table::<u64, u64>("rows");
    for key in 0..20_000_u64 {
        table.insert_new(stable_hash(&key), key, key);
        if key % 500 == 0 {
            table.make_room().unwrap();
            assert!(table.len() < 3_000, "{}", table.len());
        }
    }
    table.make_room().unwrap();
    assert!(table.len() > 1_000 && table.has_cold());
    assert_eq!(table.rows(), 20_000);
    let cold = tiers
        .counts()
        .cold
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(cold as usize, table.rows() - table.len());
}

#[test]
fn what_is_used_stays() {
    let (tiers, _directory) = tiers(200_000);
    let mut table = tiers.table::<u64, u64>("rows");
    let asked = || {
        let counts = tiers.counts();
        counts.loaded.load(std::sync::atomic::Ordering::Relaxed)
    };
    let mut batch = |keys: std::ops::Range<u64>| {
        for key in keys.clone() {
            table.want(stable_hash(&key), &key).unwrap();
        }
        table.fetch().unwrap();
        for key in keys {
            *table.get_or_insert_with(stable_hash(&key), &key, || 0) += 1;
        }
        table.make_room().unwrap();
    };
    for first in (0..20_000).step_by(500) {
        batch(first..first + 500);
    }
    let hot = 0..500;
    for _ in 0..3 {
        batch(hot.clone());
    }
    let before = asked();
    // Others come and go, but each time the hot ones are used.
    for first in (0..20_000).step_by(500) {
        batch(hot.clone());
        batch(first..first + 500);
    }
    let loaded = asked() - before;
    assert!(loaded < 20_500, "{loaded}: hot rows had to be fetched");
}

/// A backend whose rows go at once.
fn backend() -> (KeyedBackend<u64>, OperatorTiers, Option<tempfile::TempDir>) {
    let (tiers, directory) = tiers(0);
    let backend = KeyedBackend::new().with_tiers(Some(tiers.clone()));
    (backend, tiers, directory)
}

fn cold(tiers: &OperatorTiers) -> u64 {
    tiers
        .counts()
        .cold
        .load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn handles_find_rows_that_have_gone() {
    let (mut cx, tiers, _directory) = backend();
    let sum = cx
        .value_state(ValueStateDescriptor::<u64>::new("sum"))
        .unwrap();
    let all = cx
        .list_state(ListStateDescriptor::<u64>::new("all"))
        .unwrap();
    for round in 0..3 {
        for key in 0..50_u64 {
            cx.set_current_key(stable_hash(&key), &key);
            let before = sum.value(&mut cx).copied().unwrap_or(0);
            assert_eq!(before, round * key);
            sum.update(&mut cx, before + key);
            all.add(&mut cx, round);
        }
        cx.make_room().unwrap();
        assert_eq!(cold(&tiers), 100, "both states of all keys");
    }
    cx.set_current_key(stable_hash(&7_u64), &7);
    assert_eq!(all.get(&mut cx), &[0, 1, 2]);
    sum.clear(&mut cx);
    let mut keys: Vec<u64> = sum.keys(&mut cx).into_iter().map(|(_, key)| key).collect();
    keys.sort_unstable();
    let expected: Vec<u64> = (0..50).filter(|key| *key != 7).collect();
    assert_eq!(keys, expected);
    cx.make_room().unwrap();
}

#[test]
fn namespaces_merge_wherever_they_are() {
    let (mut cx, _tiers, _directory) = backend();
    let rows = cx
        .list_state_in::<u64, i64>(ListStateDescriptor::new("rows"))
        .unwrap();
    cx.set_current_key(stable_hash(&1_u64), &1);
    for namespace in [10, 20, 30] {
        let scope = &mut crate::InNamespace::new(&mut cx, &namespace);
        rows.add(scope, namespace.cast_unsigned());
    }
    cx.make_room().unwrap();
    rows.merge_namespaces(&mut cx, &10, &[10, 20, 30]);
    cx.make_room().unwrap();
    let all = rows
        .get(&mut crate::InNamespace::new(&mut cx, &10))
        .to_vec();
    assert_eq!(all, [10, 20, 30]);
    assert!(
        rows.get(&mut crate::InNamespace::new(&mut cx, &20))
            .is_empty()
    );
}

#[test]
fn what_has_expired_is_neither_kept_nor_restored() {
    let (mut cx, tiers, _directory) = backend();
    let ttl = StateTtlConfig::new(std::time::Duration::from_millis(100));
    let descriptor = || ValueStateDescriptor::<u64>::new("seen").with_ttl(ttl.clone());
    let seen = cx.value_state(descriptor()).unwrap();
    let put = |cx: &mut KeyedBackend<u64>, key: u64, now: i64| {
        cx.set_processing_time(now);
        cx.set_current_key(stable_hash(&key), &key);
        seen.update(cx, key);
    };
    put(&mut cx, 1, 0);
    put(&mut cx, 2, 50);
    cx.make_room().unwrap();
    assert_eq!(cold(&tiers), 2);
    put(&mut cx, 3, 60);
    cx.set_processing_time(120);
    let mut snapshot = OperatorSnapshot::new(GROUPS);
    snapshot.keyed(&mut cx).unwrap();
    let mut heap = KeyedBackend::<u64>::restored(&restored(&snapshot)).unwrap();
    heap.set_processing_time(120);
    let seen: ValueState<u64> = heap.value_state(descriptor()).unwrap();
    let mut keys: Vec<u64> = seen
        .keys(&mut heap)
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [2, 3]);
    // Key 3 expires while it is hot: it is dropped when it would go.
    cx.set_processing_time(200);
    cx.make_room().unwrap();
    assert_eq!(cold(&tiers), 2);
}

/// A store that fails.
struct Broken;

impl ColdStores for Broken {
    fn open(&self, _: &Path) -> io::Result<Arc<dyn ColdStore>> {
        Err(io::Error::other("no room left"))
    }
}

#[test]
fn rows_that_cannot_go_stay() {
    let tiers = OperatorTiers::new(Arc::new(Broken), PathBuf::new(), HotPool::new(0), GROUPS);
    let mut table = tiers.table::<u64, u64>("sums");
    table.insert(stable_hash(&1_u64), 1, 2);
    let error = table.make_room().unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("\"sums\""));
    assert_eq!(table.get(stable_hash(&1_u64), &1), Some(&2));
}
