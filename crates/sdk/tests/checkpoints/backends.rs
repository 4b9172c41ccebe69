//! The state backends that jobs are run with. Where RocksDB is not built in, a map stands for it: what
//! is tested then is everything but the library.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flott::prelude::*;
use flott_state::cold::{MemoryStores, evicted_in_this_process, use_instead_of_rocksdb};

use crate::exactly_once::with_checkpoints;
use crate::support::{environment, lines, text};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Backend {
    HashMap,
    /// With so little memory that rows come and go all the time.
    RocksDb,
}

impl Backend {
    pub(crate) fn choose(self, env: &StreamExecutionEnvironment, directory: &Path) {
        if self == Self::HashMap {
            return;
        }
        if cfg!(not(feature = "rocksdb")) {
            use_instead_of_rocksdb(Arc::new(MemoryStores));
        }
        let local = directory.join("local");
        for (key, value) in [
            ("state.backend.type", "rocksdb"),
            ("state.backend.rocksdb.localdir", text(&local)),
            // Of which hot rows have a quarter; RocksDB has a few megabytes at least, whatever this says.
            ("state.backend.rocksdb.memory.fixed-per-tm", "2000 b"),
            ("flott.state.backend.rocksdb.memory.hot-ratio", "0.25"),
        ] {
            env.configure(key, value).unwrap();
        }
    }
}

#[test]
fn rows_leave_memory_and_the_disk_is_empty_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let env = environment(1);
    Backend::RocksDb.choose(&env, directory.path());
    with_checkpoints(&env, &directory.path().join("chk"));
    let before = evicted_in_this_process();
    env.from_sequence(0, 9_999)
        .map(|n| (n % 2_000, n))
        .key_by(|row| row.0)
        .sum(|row| &mut row.1)
        .write_text(text(&output), |(key, sum), line| {
            line.push_str(&format!("{key} {sum}"));
        });
    env.execute("cold").unwrap();
    assert!(
        evicted_in_this_process() - before > 2_000,
        "rows stayed in memory"
    );
    let mut expected: Vec<String> = (0..10_000_i64)
        .map(|n| {
            let (key, round) = (n % 2_000, n / 2_000);
            let sum: i64 = (0..=round).map(|round| key + round * 2_000).sum();
            format!("{key} {sum}")
        })
        .collect();
    expected.sort();
    assert_eq!(lines(&output), expected);
    // The worker ends a little after its job.
    let local = directory.path().join("local");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(&local).unwrap().next().is_some() {
        assert!(Instant::now() < deadline, "state is left on disk");
        std::thread::yield_now();
    }
}
