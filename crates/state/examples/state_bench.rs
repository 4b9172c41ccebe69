//! What tables, handles and timers cost per operation:
//! `cargo run --release -p flott-state --example state_bench`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{hint::black_box, time::Instant};

use flott_record::hash::stable_hash;
use flott_state::{KeyedBackend, KeyedTable, Position, TimerQueue, ValueStateDescriptor};

const ROUNDS: usize = 5;
const UPDATES: u64 = 4_000_000;
const TIMERS: u64 = 1_000_000;
/// Rows that are looked up before the first of them is changed.
const AHEAD: usize = 32;
/// Rows whose memory is asked for before the first of them is looked up.
const PREFETCHED: usize = 128;

fn main() {
    for keys in [10_000, 100_000, 1_000_000] {
        measure(&format!("table, {keys} keys, row by row"), UPDATES, || {
            row_by_row(keys)
        });
        measure(
            &format!("table, {keys} keys, {AHEAD} ahead"),
            UPDATES,
            || ahead(keys),
        );
        measure(
            &format!("table, {keys} keys, {PREFETCHED} prefetched"),
            UPDATES,
            || prefetched(keys),
        );
        measure(&format!("value state, {keys} keys"), UPDATES, || {
            handles(keys)
        });
    }
    for times in [1, 1_000, TIMERS] {
        let name = format!("{TIMERS} timers at {times} times: register and fire");
        measure(&name, TIMERS, || timers(times));
    }
}

/// The fastest round, in nanoseconds per operation.
fn measure(name: &str, operations: u64, mut run: impl FnMut() -> u64) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(run());
        best = best.min(start.elapsed().as_nanos() as f64 / operations as f64);
    }
    println!("{name:<56} {best:8.1} ns");
}

/// Numbers below `limit` without visible order.
fn scatter(at: u64, limit: u64) -> u64 {
    let mixed = (at ^ (at >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 32) * limit) >> 32
}

fn add(table: &mut KeyedTable<u64, u64>, found: Option<Position>, hash: u64, key: u64) -> u64 {
    match found.and_then(|position| table.at_mut(position)) {
        Some(sum) => {
            *sum += key;
            *sum
        }
        None => {
            // An earlier row of the batch may have been the key's first.
            let sum = table.get_or_insert_with(hash, &key, || 0);
            *sum += key;
            *sum
        }
    }
}

fn row_by_row(keys: u64) -> u64 {
    let mut table = KeyedTable::new();
    let mut last = 0;
    for at in 0..UPDATES {
        let key = scatter(at, keys);
        let hash = stable_hash(&key);
        let found = table.find(hash, &key);
        last ^= add(&mut table, found, hash, key);
    }
    last
}

fn ahead(keys: u64) -> u64 {
    let mut table = KeyedTable::new();
    let mut last = 0;
    let mut rows = [(0, 0, None); AHEAD];
    for at in (0..UPDATES).step_by(AHEAD) {
        for (row, number) in rows.iter_mut().zip(at..) {
            let key = scatter(number, keys);
            let hash = stable_hash(&key);
            *row = (key, hash, table.find(hash, &key));
        }
        let before = table.len();
        for (key, hash, found) in rows {
            // A new row may have moved the others.
            let found = found.filter(|_| table.len() == before);
            last ^= add(&mut table, found, hash, key);
        }
    }
    last
}

fn prefetched(keys: u64) -> u64 {
    let mut table = KeyedTable::new();
    let mut last = 0;
    let mut rows = [(0, 0); PREFETCHED];
    for at in (0..UPDATES).step_by(PREFETCHED) {
        for (row, number) in rows.iter_mut().zip(at..) {
            let key = scatter(number, keys);
            let hash = stable_hash(&key);
            table.prefetch(hash);
            *row = (key, hash);
        }
        for (key, hash) in rows {
            let found = table.find(hash, &key);
            last ^= add(&mut table, found, hash, key);
        }
    }
    last
}

fn handles(keys: u64) -> u64 {
    let mut state = KeyedBackend::<u64>::new();
    let sum = state
        .value_state(ValueStateDescriptor::<u64>::new("sum"))
        .expect("the name is free");
    let mut last = 0;
    for at in 0..UPDATES {
        let key = scatter(at, keys);
        state.set_current_key(stable_hash(&key), &key);
        match sum.value_mut(&mut state) {
            Some(sum) => {
                *sum += key;
                last ^= *sum;
            }
            None => sum.update(&mut state, key),
        }
    }
    last
}

fn timers(times: u64) -> u64 {
    let mut timers = TimerQueue::<u64>::default();
    for key in 0..TIMERS {
        let time = scatter(key, times).cast_signed();
        timers.register(time, stable_hash(&key), &key, &());
    }
    let mut fired = 0;
    while timers.pop_due(i64::MAX).is_some() {
        fired += 1;
    }
    fired
}
