//! A job whose state is several times the memory that it may take, alone in its process: what the
//! process takes is bounded.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flott::prelude::*;
use flott_state::cold::evicted_in_this_process;

const KEYS: u64 = 1_000_000;
const ROUNDS: u64 = 2;
/// Bytes of each row beside its key.
const PAYLOAD: usize = 500;
/// What the process may take beyond what it took before the job. In memory the state has more than twice as much; batches on their way, and
/// what the allocator keeps, are the larger part of this.
const MOST_BYTES: u64 = 300 << 20;

/// The most memory that this process has taken so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

#[test]
fn memory_is_bounded_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(1);
    for (key, value) in [
        ("state.backend.type", "rocksdb"),
        ("state.backend.rocksdb.localdir", &path("local")),
        ("state.backend.rocksdb.memory.fixed-per-tm", "32 mb"),
        ("execution.checkpointing.dir", &path("chk")),
    ] {
        env.configure(key, value).unwrap();
    }
    env.enable_checkpointing(Duration::from_secs(2)).unwrap();
    let (seen, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (Arc::clone(&seen), Arc::clone(&wrong));
    let before = peak();
    env.from_sequence(0, (KEYS * ROUNDS) as i64 - 1)
        .map(|n| (n.cast_unsigned() % KEYS, 1_u64, "x".repeat(PAYLOAD)))
        .key_by(|row| row.0)
        .reduce(|sum, row| sum.1 += row.1)
        .map(move |(_, count, payload)| {
            // Keys come in the same order in each round.
            let expected = counters.0.fetch_add(1, Ordering::Relaxed) / KEYS + 1;
            if count != expected || payload.len() != PAYLOAD {
                counters.1.fetch_add(1, Ordering::Relaxed);
            }
            count
        })
        .discard();
    env.execute("larger than memory").unwrap();
    let taken = peak() - before;
    assert_eq!(seen.load(Ordering::Relaxed), KEYS * ROUNDS);
    assert_eq!(
        wrong.load(Ordering::Relaxed),
        0,
        "rows are not as they were"
    );
    assert!(evicted_in_this_process() > KEYS, "rows stayed in memory");
    assert!(taken < MOST_BYTES, "{} MiB", taken >> 20);
}
