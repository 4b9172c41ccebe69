//! The table against a `BTreeMap`, with honest and with colliding hashes, with snapshots at any
//! moment, with rows so large that there are many segments.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use flott_record::hash::{key_group, stable_hash};
use flott_state::{KeyedTable, TableSnapshot};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Insert(u16, u32),
    Add(u16, u32),
    Change(u16, u32),
    Remove(u16),
    Retain(u16),
    Sweep(usize, u32),
    Walk,
    Drain(usize),
    TakeAll(usize),
    Clear,
    Snapshot,
    Forget(usize),
    RollBack(usize),
    Clone,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..300_u16;
    prop_oneof![
        20 => (key.clone(), 0..1_000_u32).prop_map(|(key, value)| Op::Insert(key, value)),
        20 => (key.clone(), 0..1_000_u32).prop_map(|(key, value)| Op::Add(key, value)),
        8 => (key.clone(), 0..1_000_u32).prop_map(|(key, value)| Op::Change(key, value)),
        16 => key.prop_map(Op::Remove),
        2 => (2..7_u16).prop_map(Op::Retain),
        4 => (0..20_usize, 1..9_u32).prop_map(|(rows, divisor)| Op::Sweep(rows, divisor)),
        2 => Just(Op::Walk),
        1 => (0..400_usize).prop_map(Op::Drain),
        1 => (0..400_usize).prop_map(Op::TakeAll),
        1 => Just(Op::Clear),
        6 => Just(Op::Snapshot),
        3 => any::<usize>().prop_map(Op::Forget),
        2 => any::<usize>().prop_map(Op::RollBack),
        1 => Just(Op::Clone),
    ]
}

/// Inserts first, so that there is something to do.
fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let fill = prop::collection::vec((0..300_u16, 0..1_000_u32), 0..most);
    let fill = fill.prop_map(|rows| rows.into_iter().map(|(k, v)| Op::Insert(k, v)));
    let rest = prop::collection::vec(op(), 0..most);
    (fill, rest).prop_map(|(fill, rest)| fill.chain(rest).collect())
}

/// A value that is a number, but may be large, and may own memory.
trait Value: Clone + Debug + PartialEq + Send + Sync {
    fn of(number: u32) -> Self;
    fn number(&self) -> u32;
    fn set(&mut self, number: u32) {
        *self = Self::of(number);
    }
}

impl Value for u32 {
    fn of(number: u32) -> Self {
        number
    }
    fn number(&self) -> u32 {
        *self
    }
}

/// So large that a segment has but 64 slots.
#[derive(Debug, Clone, PartialEq)]
struct Wide(String, [u64; 64]);

impl Value for Wide {
    fn of(number: u32) -> Self {
        Self(number.to_string(), [u64::from(number); 64])
    }
    fn number(&self) -> u32 {
        assert_eq!(self.0, self.1[63].to_string());
        self.0.parse().unwrap()
    }
}

type Rows = BTreeMap<u16, u32>;

/// A table, its oracle, where the sweep is, and snapshots with what they should hold. `hash_of` may
/// collide.
struct Pair<V> {
    table: KeyedTable<u16, V>,
    oracle: Rows,
    cursor: usize,
    snapshots: Vec<(TableSnapshot<u16, V>, Rows)>,
    hash_of: fn(&u16) -> u64,
}

impl<V: Value> Pair<V> {
    fn step(&mut self, op: Op) {
        let Self {
            table,
            oracle,
            cursor,
            hash_of,
            ..
        } = self;
        match op {
            Op::Insert(key, value) => {
                let before = table.insert(hash_of(&key), key, V::of(value));
                let before = before.map(|value| value.number());
                assert_eq!(before, oracle.insert(key, value));
            }
            Op::Add(key, value) => {
                let present = table.get_or_insert_with(hash_of(&key), &key, || V::of(7));
                present.set(present.number() + value);
                *oracle.entry(key).or_insert(7) += value;
            }
            Op::Change(key, value) => match table.find(hash_of(&key), &key) {
                Some(position) => {
                    let present = table.at_mut(position).unwrap();
                    assert_eq!(oracle.insert(key, value), Some(present.number()));
                    present.set(value);
                }
                None => {
                    assert_eq!(oracle.get(&key), None);
                    assert_eq!(table.get_mut(hash_of(&key), &key), None);
                }
            },
            Op::Remove(key) => {
                let removed = table.remove(hash_of(&key), &key);
                let removed = removed.map(|value| value.number());
                assert_eq!(removed, oracle.remove(&key));
            }
            Op::Retain(divisor) => {
                table.retain(|_, key, _| key % divisor != 0);
                oracle.retain(|key, _| key % divisor != 0);
            }
            Op::Sweep(rows, divisor) => {
                let before = table.len();
                table.sweep(
                    cursor,
                    rows,
                    |value| value.number() % divisor == 0,
                    |value| value.number() % (2 * divisor) == 0,
                );
                assert!(before - table.len() <= rows, "a sweep looks at {rows} rows");
                let swept = |key: &u16| table.get(hash_of(key), key).is_none();
                oracle.retain(|key, value| !(swept(key) && *value % (2 * divisor) == 0));
            }
            whole => self.step_whole(whole),
        }
    }

    /// What is done with all rows at once.
    fn step_whole(&mut self, op: Op) {
        let Self {
            table,
            oracle,
            snapshots,
            hash_of,
            ..
        } = self;
        match op {
            Op::Walk => {
                let (mut from, mut seen) = (0, Rows::new());
                while let Some((slot, hash, key, value)) = table.next_row(from) {
                    assert_eq!(hash, hash_of(key));
                    assert_eq!(seen.insert(*key, value.number()), None);
                    value.set(value.number() + 1);
                    from = slot + 1;
                }
                assert_eq!(seen, *oracle);
                oracle.values_mut().for_each(|value| *value += 1);
            }
            Op::Drain(rows) => check_taken(table.drain().take(rows), oracle, rows),
            Op::TakeAll(rows) => {
                let mut taken = std::mem::take(table).into_iter();
                assert_eq!(taken.len(), oracle.len());
                check_taken(taken.by_ref().take(rows), oracle, rows);
            }
            Op::Clear => {
                table.clear();
                oracle.clear();
            }
            Op::Snapshot => snapshots.push((table.snapshot(), oracle.clone())),
            Op::Forget(nth) if !snapshots.is_empty() => {
                snapshots.swap_remove(nth % snapshots.len());
            }
            Op::RollBack(nth) if !snapshots.is_empty() => {
                let (snapshot, rows) = &snapshots[nth % snapshots.len()];
                *table = KeyedTable::from_snapshot(snapshot);
                oracle.clone_from(rows);
            }
            Op::Clone => *table = table.clone(),
            _ => {}
        }
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.oracle.len());
        assert_eq!(self.table.is_empty(), self.oracle.is_empty());
        self.check_rows(self.table.iter(), &self.oracle);
        for key in 0..300 {
            let value = self.table.get((self.hash_of)(&key), &key);
            assert_eq!(value.map(V::number), self.oracle.get(&key).copied());
        }
    }

    fn check_snapshots(&self) {
        for (snapshot, oracle) in &self.snapshots {
            assert_eq!(snapshot.len(), oracle.len());
            self.check_rows(snapshot.iter(), oracle);
            let mut last = 0;
            let by_group = snapshot.by_group(50).map(|(group, hash, key, value)| {
                assert!(group >= last && group == key_group(hash, 50));
                last = group;
                (hash, key, value)
            });
            self.check_rows(by_group, oracle);
        }
    }

    fn check_rows<'a>(&self, rows: impl Iterator<Item = (u64, &'a u16, &'a V)>, oracle: &Rows)
    where
        V: 'a,
    {
        let rows = rows.map(|(hash, key, value)| {
            assert_eq!(hash, (self.hash_of)(key));
            (*key, value.number())
        });
        assert!(rows.collect::<Vec<_>>().len() == oracle.len());
    }
}

/// The first rows have been taken, and the others dropped.
fn check_taken<V: Value>(
    taken: impl Iterator<Item = (u64, u16, V)>,
    oracle: &mut Rows,
    rows: usize,
) {
    let mut count = 0;
    for (_, key, value) in taken {
        assert_eq!(oracle.remove(&key), Some(value.number()));
        count += 1;
    }
    assert!(count == rows || oracle.is_empty());
    oracle.clear();
}

fn run<V: Value>(ops: Vec<Op>, hash_of: fn(&u16) -> u64) {
    let mut pair = Pair::<V> {
        table: KeyedTable::new(),
        oracle: BTreeMap::new(),
        cursor: 0,
        snapshots: Vec::new(),
        hash_of,
    };
    for (op, number) in ops.into_iter().zip(0..) {
        pair.step(op);
        if number % CHECK_EACH == 0 {
            pair.check();
        }
    }
    pair.check();
    pair.check_snapshots();
}

/// As for the keys of one subtask of many.
fn narrow(key: &u16) -> u64 {
    stable_hash(key) >> 9 | 0x155 << 55
}

const CHECK_EACH: u32 = if cfg!(miri) { 40 } else { 5 };

/// Under Miri a step takes its time.
const MOST: usize = if cfg!(miri) { 80 } else { 200 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 64 }))]

    #[test]
    fn it_is_a_map(ops in ops(MOST)) {
        run::<u32>(ops, stable_hash);
    }

    #[test]
    fn it_is_a_map_of_large_rows(ops in ops(MOST)) {
        run::<Wide>(ops, stable_hash);
    }

    #[test]
    fn it_is_a_map_of_the_keys_of_one_subtask(ops in ops(MOST)) {
        run::<Wide>(ops, narrow);
    }

    #[test]
    fn it_is_a_map_when_hashes_collide(ops in ops(MOST)) {
        run::<Wide>(ops, |key| u64::from(key % 3) << 62);
    }

    #[test]
    fn it_is_a_map_when_hashes_differ_in_the_lower_half_only(ops in ops(MOST)) {
        run::<Wide>(ops, |key| stable_hash(key) >> 32 | u64::from(key % 5) << 40);
    }
}

#[test]
fn another_thread_reads_while_the_table_changes() {
    let keys = if cfg!(miri) { 150 } else { 20_000 };
    let mut table = KeyedTable::<u16, Wide>::new();
    for key in 0..keys {
        table.insert_new(stable_hash(&key), key, Wide::of(0));
    }
    for round in 0..3 {
        let snapshot = table.snapshot();
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let rows = snapshot.by_group(128).map(|(.., value)| value.number());
                assert_eq!(
                    rows.filter(|value| *value == round).count(),
                    usize::from(keys)
                );
            });
            for key in 0..keys {
                table
                    .get_mut(stable_hash(&key), &key)
                    .unwrap()
                    .set(round + 1);
            }
            reader.join().unwrap();
        });
    }
}
