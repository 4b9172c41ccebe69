//! Many seeds, and those that once found something.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flott_simulation::{Trace, simulate};

/// Seeds that failed once; each with what it found.
const REGRESSIONS: &[(u64, &str)] = &[
    (53, "a launch that comes twice is not a second launch"),
    (
        98,
        "a container that ended before its allocation was told was not asked for again",
    ),
    (
        601,
        "a commit spent its tries while a lost agent was still believed to be there",
    ),
    (744, "the same as 98, with one job"),
];

#[test]
fn any_seed_ends_well() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seeds = match number("FLOTT_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLOTT_SIMULATION_SEEDS").unwrap_or(1_000),
    };
    let many = seeds.end - seeds.start >= 100;
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let (mut happenings, mut restarts) = (0, 0);
    let mut failed = Vec::new();
    for seed in seeds {
        let Ok(report) = catch_unwind(AssertUnwindSafe(|| simulate(seed, Trace::Off))) else {
            failed.push(seed);
            continue;
        };
        happenings += report.happenings;
        restarts += report.restarts;
        for status in report.statuses {
            *ends.entry(status.to_string()).or_default() += 1;
        }
    }
    assert!(
        failed.is_empty(),
        "FLOTT_SIMULATION_SEED=<seed> runs one alone; failed: {failed:?}"
    );
    println!("{happenings} happenings, {restarts} restarts, ends: {ends:?}");
    if many {
        // A simulation that never reaches an end or never restarts anything would prove nothing.
        for end in ["FINISHED", "FAILED", "CANCELED"] {
            assert!(ends.contains_key(end), "no job ended {end}");
        }
        assert!(ends["FINISHED"] > ends["FAILED"], "most jobs survive");
        assert!(restarts > 100, "only {restarts} restarts");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..30 {
        let report = simulate(seed, Trace::Hash);
        assert_eq!(report, simulate(seed, Trace::Hash), "seed {seed}");
        assert!(report.trace.is_some());
    }
    assert_ne!(
        simulate(1, Trace::Hash).trace,
        simulate(2, Trace::Hash).trace
    );
}

#[test]
fn what_was_found_once_stays_fixed() {
    for (seed, what) in REGRESSIONS {
        let report = simulate(*seed, Trace::Off);
        assert!(report.happenings > 0, "{what}");
    }
}
