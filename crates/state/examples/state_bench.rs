//! What tables, handles, timers and snapshots cost:
//! `cargo run --release -p flott-state --example state_bench`.
//!
//! Rounds are short, and the fastest counts, so that a busy machine shows the same figures.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use flott_record::hash::stable_hash;
use flott_state::{
    Compression, KeyedBackend, KeyedTable, OperatorSnapshot, RestorePlace, RestoredOperator,
    TimeDomain, TimerQueue, Timers, ValueStateDescriptor,
};

/// Updates of a round.
const UPDATES: u64 = 1 << 16;
const ROUNDS: u64 = 100;
/// Rows whose memory is asked for before the first of them is looked up.
const BATCH: usize = 128;
const TIMERS: u64 = 1_000_000;
const MAX_PARALLELISM: u32 = 128;

fn main() {
    for keys in [1_000, 10_000, 100_000, 1_000_000] {
        tables(keys);
    }
    for times in [1, 1_000, TIMERS] {
        let best = fastest(3, || fire(times));
        report(
            &format!("{TIMERS} timers at {times} times: register and fire"),
            best,
            TIMERS,
        );
    }
    snapshots(1_000_000);
    #[cfg(feature = "rocksdb")]
    tiers(1_000_000);
}

/// A table of which a tenth fits into memory: updates of keys that are there, and of all keys.
#[cfg(feature = "rocksdb")]
fn tiers(keys: u64) {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use flott_state::cold::{HotPool, OperatorTiers, RocksOptions, RocksStores, TieredTable};

    fn update(table: &mut TieredTable<u64, u64>, numbers: std::ops::Range<u64>, keys: u64) {
        let batch = numbers.map(|number| {
            let key = scatter(number, keys);
            (key, stable_hash(&key))
        });
        let batch: Vec<_> = batch.collect();
        for (key, hash) in &batch {
            table.want(*hash, key).expect("a number can be encoded");
        }
        table.fetch().expect("the disk can be read");
        for (key, hash) in &batch {
            add(table, *hash, *key);
        }
        table.make_room().expect("the disk has room");
    }

    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let stores = RocksStores::new(RocksOptions {
        memory_bytes: Some(64 << 20),
        ..RocksOptions::default()
    });
    // A row takes 44 bytes as it is counted.
    let pool = HotPool::new(keys / 10 * 44);
    let place = directory.path().join("rows");
    let tiers = OperatorTiers::new(Arc::new(stores), place, pool, MAX_PARALLELISM);
    let mut table = tiers.table("rows");
    let filling = Instant::now();
    for from in (0..keys * 3).step_by(1024) {
        update(&mut table, from..from + 1024, keys);
    }
    report(
        &format!("two tiers, {keys} keys, a tenth fits: fill"),
        filling.elapsed(),
        keys * 3,
    );
    let counts = tiers.counts();
    for (name, of) in [("those that fit", keys / 20), ("all", keys)] {
        for round in 0..4 {
            let before = counts.loaded.load(Ordering::Relaxed);
            let started = Instant::now();
            for from in (0..UPDATES * 4).step_by(1024) {
                update(&mut table, from + round..from + round + 1024, of);
            }
            let loaded = counts.loaded.load(Ordering::Relaxed) - before;
            report(
                &format!("two tiers, updates of {name}, {loaded} loaded"),
                started.elapsed(),
                UPDATES * 4,
            );
        }
    }
}

fn fastest<T>(rounds: u64, mut run: impl FnMut() -> T) -> Duration {
    let rounds = (0..rounds).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    });
    rounds.min().unwrap_or_default()
}

fn report(name: &str, took: Duration, operations: u64) {
    let each = took.as_nanos() as f64 / operations as f64;
    println!("{name:<56} {each:8.1} ns");
}

/// Numbers below `limit` without visible order.
fn scatter(at: u64, limit: u64) -> u64 {
    let mixed = (at ^ (at >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 32) * limit) >> 32
}

fn filled(keys: u64) -> KeyedTable<u64, u64> {
    let mut table = KeyedTable::new();
    for key in 0..keys {
        table.insert_new(stable_hash(&key), key, 0);
    }
    table
}

fn add(table: &mut KeyedTable<u64, u64>, hash: u64, key: u64) -> u64 {
    match table
        .find(hash, &key)
        .and_then(|position| table.at_mut(position))
    {
        Some(sum) => {
            *sum += key;
            *sum
        }
        None => *table.insert_new(hash, key, key),
    }
}

fn tables(keys: u64) {
    let filling = fastest(5, || filled(keys));
    report(&format!("table, {keys} keys, fill"), filling, keys);
    let mut table = filled(keys);
    let mut at = 0;
    let mut round = |update: &mut dyn FnMut(u64) -> u64| {
        fastest(ROUNDS, || {
            at += UPDATES;
            update(at)
        })
    };
    let took = round(&mut |from| {
        (from..from + UPDATES).fold(0, |last, number| {
            let key = scatter(number, keys);
            last ^ add(&mut table, stable_hash(&key), key)
        })
    });
    report(&format!("table, {keys} keys, row by row"), took, UPDATES);
    let took = round(&mut |from| prefetched(&mut table, keys, from));
    report(
        &format!("table, {keys} keys, {BATCH} prefetched"),
        took,
        UPDATES,
    );
    let mut state = KeyedBackend::<u64>::new();
    let sum = state
        .value_state(ValueStateDescriptor::<u64>::new("sum"))
        .expect("the name is free");
    let mut with_handle = |from: u64| {
        let mut last = 0;
        for number in from..from + UPDATES {
            let key = scatter(number, keys);
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
    };
    (0..keys * 8 / UPDATES).for_each(|number| {
        with_handle(number * UPDATES);
    });
    let took = round(&mut with_handle);
    report(&format!("value state, {keys} keys"), took, UPDATES);
}

fn prefetched(table: &mut KeyedTable<u64, u64>, keys: u64, from: u64) -> u64 {
    let mut last = 0;
    let mut rows = [(0, 0); BATCH];
    for at in (from..from + UPDATES).step_by(BATCH) {
        for (row, number) in rows.iter_mut().zip(at..) {
            let key = scatter(number, keys);
            let hash = stable_hash(&key);
            table.prefetch(hash);
            *row = (key, hash);
        }
        for (key, hash) in rows {
            last ^= add(table, hash, key);
        }
    }
    last
}

fn fire(times: u64) -> u64 {
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

/// What a checkpoint of a table and as many timers costs: at the barrier, after it, beside it.
fn snapshots(keys: u64) {
    let mut table = filled(keys);
    let mut timers = Timers::<u64>::default();
    for key in 0..keys {
        let time = scatter(key, 1_000).cast_signed();
        timers
            .of(TimeDomain::EventTime)
            .register(time, stable_hash(&key), &key, &());
    }
    let name = format!("snapshot of {keys} rows");
    println!(
        "{name:<56} {:8.1} us",
        micros(fastest(50, || table.snapshot()))
    );
    println!(
        "{:<56} {:8.1} us",
        "first change after it, median",
        copy(&mut table, keys)
    );
    let mut both = || {
        let mut snapshot = OperatorSnapshot::new(MAX_PARALLELISM);
        let taken = snapshot.table("table", &mut table);
        taken
            .and_then(|()| snapshot.timers("timers", &mut timers))
            .map(|()| snapshot)
    };
    let took = fastest(20, &mut both);
    println!(
        "{:<56} {:8.1} us",
        "snapshot with as many timers",
        micros(took)
    );
    let snapshot = both().expect("the names are free");
    for compression in [Compression::None, Compression::Lz4] {
        let mut bytes = Vec::new();
        let took = fastest(5, || {
            bytes.clear();
            snapshot.encode(compression, &mut bytes, &mut Vec::new())
        });
        report(
            &format!(
                "encode, {compression:?}, {} bytes, per row or timer",
                bytes.len()
            ),
            took,
            2 * keys,
        );
        let took = fastest(3, || restore(&bytes));
        report("restore, per row or timer", took, 2 * keys);
    }
    let place = RestorePlace::new(0, 1, MAX_PARALLELISM, 1);
    let took = fastest(20, || {
        let from = RestoredOperator::retained(place.clone(), &snapshot);
        from.table::<u64, u64>("table").map(|table| table.len())
    });
    println!("{:<56} {:8.1} us", "roll back of the table", micros(took));
}

fn restore(bytes: &[u8]) -> usize {
    let place = RestorePlace::new(0, 1, MAX_PARALLELISM, 1);
    let from = RestoredOperator::open(place, vec![Box::new(bytes.to_vec())], Vec::new());
    let from = from.expect("it has just been written");
    let table = from.table::<u64, u64>("table").expect("it is there");
    let timers = from.timers::<u64, ()>("timers").expect("they are there");
    table.len() + timers.event_time.len()
}

/// How long changes take that copy a segment, in microseconds.
fn copy(table: &mut KeyedTable<u64, u64>, keys: u64) -> f64 {
    let mut copies = Vec::new();
    for _ in 0..5 {
        let snapshot = table.snapshot();
        for number in 0..100 {
            let key = scatter(number * 7_919, keys);
            let start = Instant::now();
            black_box(add(table, stable_hash(&key), key));
            copies.push(start.elapsed());
        }
        drop(snapshot);
    }
    copies.sort_unstable();
    micros(copies[copies.len() / 2])
}

fn micros(took: Duration) -> f64 {
    took.as_nanos() as f64 / 1_000.0
}
