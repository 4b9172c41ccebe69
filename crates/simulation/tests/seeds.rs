//! Many seeds, and those that once found something.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flott_simulation::{Jobs, Report, Trace, simulate};

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

/// Regressions of runs with blocking edges.
const STAGED_REGRESSIONS: &[(u64, &str)] = &[];

/// Regressions of runs with checkpoints.
const CHECKPOINTED_REGRESSIONS: &[(u64, &str)] = &[
    (
        279,
        "storage that takes longer than a checkpoint may is no fault of anybody",
    ),
    (
        791,
        "the next JobManager did not know that a claimed savepoint was the job's own",
    ),
    (
        1569,
        "chains stayed stopped for a savepoint that another one's failure had ended",
    ),
    (1775, "the same as 1569, with checkpoints for ever"),
];

/// What many runs came to.
#[derive(Debug, Default)]
struct Sum {
    happenings: u64,
    restarts: u32,
    rewritten: u32,
    completed: u32,
    restored: u32,
    stopped: u32,
    takeovers: u32,
    ends: BTreeMap<String, u32>,
}

impl Sum {
    fn add(&mut self, report: Report) {
        self.happenings += report.happenings;
        self.restarts += report.restarts;
        self.rewritten += report.rewritten;
        self.completed += report.completed;
        self.restored += report.restored;
        self.stopped += report.stopped;
        self.takeovers += report.takeovers;
        for status in report.statuses {
            *self.ends.entry(status.to_string()).or_default() += 1;
        }
    }
}

/// Runs as many seeds as the environment says; whether they are enough to draw conclusions from.
fn run(jobs: Jobs) -> (Sum, bool) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number of seeds"))
    };
    let seeds = match number("FLOTT_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLOTT_SIMULATION_SEEDS").unwrap_or(1_000),
    };
    let many = seeds.end - seeds.start >= 100;
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| simulate(seed, jobs, Trace::Off))) {
            Ok(report) => sum.add(report),
            Err(_) => failed.push(seed),
        }
    }
    assert!(
        failed.is_empty(),
        "{jobs:?}: FLOTT_SIMULATION_SEED=<seed> runs one alone; failed: {failed:?}"
    );
    (sum, many)
}

/// A simulation that never reaches an end or never restarts anything would prove nothing.
fn check(sum: &Sum) {
    for end in ["FINISHED", "FAILED", "CANCELED"] {
        assert!(sum.ends.contains_key(end), "no job ended {end}");
    }
    assert!(
        sum.ends["FINISHED"] > sum.ends["FAILED"],
        "most jobs survive"
    );
    assert!(sum.restarts > 100, "only {} restarts", sum.restarts);
}

#[test]
fn any_seed_ends_well() {
    let (sum, many) = run(Jobs::Pipelined);
    println!("{sum:?}");
    if many {
        check(&sum);
        assert_eq!(sum.rewritten, 0, "nothing is written that could be lost");
    }
}

#[test]
fn any_seed_of_staged_jobs_ends_well() {
    let (sum, many) = run(Jobs::Staged);
    println!("{sum:?}");
    if many {
        check(&sum);
        assert!(sum.rewritten > 100, "only {} rewritten", sum.rewritten);
    }
}

#[test]
fn any_seed_of_sized_jobs_ends_well() {
    let (sum, many) = run(Jobs::Sized);
    println!("{sum:?}");
    if many {
        check(&sum);
    }
}

#[test]
fn any_seed_of_jobs_with_checkpoints_ends_well() {
    let (sum, many) = run(Jobs::Checkpointed);
    println!("{sum:?}");
    if many {
        check(&sum);
        assert!(sum.completed > 1_000, "only {} complete", sum.completed);
        assert!(sum.restored > 1_000, "only {} restored", sum.restored);
        assert!(sum.stopped > 10, "only {} stopped", sum.stopped);
        assert!(sum.takeovers > 50, "only {} takeovers", sum.takeovers);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed, jobs| simulate(seed, jobs, Trace::Hash);
    for seed in 0..30 {
        for jobs in [
            Jobs::Pipelined,
            Jobs::Staged,
            Jobs::Sized,
            Jobs::Checkpointed,
        ] {
            let report = run(seed, jobs);
            assert_eq!(report, run(seed, jobs), "seed {seed}");
            assert!(report.trace.is_some());
        }
    }
    assert_ne!(run(1, Jobs::Pipelined).trace, run(2, Jobs::Pipelined).trace);
    assert_ne!(run(1, Jobs::Pipelined).trace, run(1, Jobs::Staged).trace);
}

#[test]
fn what_was_found_once_stays_fixed() {
    for (jobs, regressions) in [
        (Jobs::Pipelined, REGRESSIONS),
        (Jobs::Staged, STAGED_REGRESSIONS),
        (Jobs::Checkpointed, CHECKPOINTED_REGRESSIONS),
    ] {
        for (seed, what) in regressions {
            let report = simulate(*seed, jobs, Trace::Off);
            assert!(report.happenings > 0, "{what}");
        }
    }
}
