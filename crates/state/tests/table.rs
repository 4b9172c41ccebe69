//! The table against a `BTreeMap`, with honest and with colliding hashes.

use std::collections::BTreeMap;

use flott_record::hash::stable_hash;
use flott_state::KeyedTable;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Insert(u16, u32),
    Add(u16, u32),
    Change(u16, u32),
    Remove(u16),
    Retain(u16),
    Sweep(usize, u32),
    Drain,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..300_u16;
    prop_oneof![
        10 => (key.clone(), 0..1_000_u32).prop_map(|(key, value)| Op::Insert(key, value)),
        10 => (key.clone(), 0..1_000_u32).prop_map(|(key, value)| Op::Add(key, value)),
        4 => (key.clone(), 0..1_000_u32).prop_map(|(key, value)| Op::Change(key, value)),
        8 => key.prop_map(Op::Remove),
        1 => (2..7_u16).prop_map(Op::Retain),
        2 => (0..20_usize, 1..9_u32).prop_map(|(rows, divisor)| Op::Sweep(rows, divisor)),
        1 => Just(Op::Drain),
        1 => Just(Op::Clear),
    ]
}

/// A table, its oracle, and where the sweep is. `hash_of` may collide.
struct Pair {
    table: KeyedTable<u16, u32>,
    oracle: BTreeMap<u16, u32>,
    cursor: usize,
    hash_of: fn(&u16) -> u64,
}

impl Pair {
    fn step(&mut self, op: Op) {
        let Self {
            table,
            oracle,
            cursor,
            hash_of,
        } = self;
        match op {
            Op::Insert(key, value) => {
                let before = table.insert(hash_of(&key), key, value);
                assert_eq!(before, oracle.insert(key, value));
            }
            Op::Add(key, value) => {
                *table.get_or_insert_with(hash_of(&key), &key, || 7) += value;
                *oracle.entry(key).or_insert(7) += value;
            }
            Op::Change(key, value) => match table.find(hash_of(&key), &key) {
                Some(position) => {
                    let present = table.at_mut(position).expect("it has just been found");
                    assert_eq!(oracle.insert(key, value), Some(*present));
                    *present = value;
                }
                None => assert_eq!(oracle.get(&key), None),
            },
            Op::Remove(key) => {
                assert_eq!(table.remove(hash_of(&key), &key), oracle.remove(&key));
            }
            Op::Retain(divisor) => {
                table.retain(|_, key, _| key % divisor != 0);
                oracle.retain(|key, _| key % divisor != 0);
            }
            Op::Sweep(rows, divisor) => {
                let before = table.len();
                table.sweep(cursor, rows, |value| *value % divisor == 0);
                assert!(before - table.len() <= rows, "a sweep looks at {rows} rows");
                let swept = |key: &u16| table.get(hash_of(key), key).is_none();
                oracle.retain(|key, value| !(swept(key) && *value % divisor == 0));
            }
            Op::Drain => {
                let drained: BTreeMap<_, _> = table
                    .drain()
                    .map(|(hash, key, value)| {
                        assert_eq!(hash, hash_of(&key));
                        (key, value)
                    })
                    .collect();
                assert_eq!(drained, *oracle);
                oracle.clear();
            }
            Op::Clear => {
                table.clear();
                oracle.clear();
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.oracle.len());
        assert_eq!(self.table.is_empty(), self.oracle.is_empty());
        let rows: BTreeMap<_, _> = self
            .table
            .iter()
            .map(|(hash, key, value)| {
                assert_eq!(hash, (self.hash_of)(key));
                (*key, *value)
            })
            .collect();
        assert_eq!(rows, self.oracle);
        for key in 0..300 {
            let value = self.table.get((self.hash_of)(&key), &key);
            assert_eq!(value, self.oracle.get(&key));
        }
    }
}

fn run(ops: Vec<Op>, hash_of: fn(&u16) -> u64) {
    let mut pair = Pair {
        table: KeyedTable::new(),
        oracle: BTreeMap::new(),
        cursor: 0,
        hash_of,
    };
    for op in ops {
        pair.step(op);
        pair.check();
    }
}

proptest! {
    #[test]
    fn it_is_a_map(ops in prop::collection::vec(op(), 0..200)) {
        run(ops, stable_hash);
    }

    #[test]
    fn it_is_a_map_when_hashes_collide(ops in prop::collection::vec(op(), 0..100)) {
        run(ops, |key| u64::from(key % 3) << 62);
    }
}
