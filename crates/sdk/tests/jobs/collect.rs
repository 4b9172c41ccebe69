//! Records of a job in `main()`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use flott::prelude::*;
use flott::{CollectedRecords, Error, JobStatus, Role};
use flott_protocol::program::JobEnded;

use crate::child;
use crate::support::environment;

fn all<T: flott::Record>(records: CollectedRecords<T>) -> Vec<T> {
    records.collect::<Result<_, _>>().unwrap()
}

#[test]
fn all_records_in_order_of_one_subtask() {
    let env = environment(1);
    let numbers = env.from_sequence(1, 100_000);
    let mut numbers = numbers.execute_and_collect("numbers").unwrap();
    let found: Vec<i64> = numbers.by_ref().map(Result::unwrap).collect();
    assert_eq!(found, (1..=100_000).collect::<Vec<_>>());
    // The job is over with its records.
    assert_eq!(numbers.job().status().unwrap(), JobStatus::Finished);
    assert!(numbers.next().is_none());
}

#[test]
fn records_of_several_subtasks_and_kinds() {
    let env = environment(4);
    let words = env.from_sequence(1, 1_000).rebalance().map(|n| {
        let text = (n % 3 > 0).then(|| "x".repeat(n as usize % 50));
        (n, text)
    });
    let mut found = all(words.execute_and_collect("words").unwrap());
    found.sort();
    assert_eq!(found.len(), 1_000);
    assert_eq!(found[1], (2, Some("xx".to_owned())));
    assert_eq!(found[2], (3, None));
    // Records without bytes are counted, too.
    let nothing = env.from_sequence(1, 5_000).map(|_| ());
    assert_eq!(
        all(nothing.execute_and_collect("nothing").unwrap()).len(),
        5_000
    );
    let none = env.from_collection([0_i64; 0]);
    assert_eq!(all(none.execute_and_collect("none").unwrap()), [0_i64; 0]);
    let large = env.from_collection(["y".repeat(3_000_000), "z".to_owned()]);
    let mut large = all(large.execute_and_collect("large").unwrap());
    large.sort();
    assert_eq!(large[0].len(), 3_000_000);
}

#[test]
fn who_does_not_take_records_holds_the_job_up() {
    let env = environment(1);
    let made = Arc::new(AtomicI64::new(0));
    let count = Arc::clone(&made);
    let rows = env.from_sequence(1, i64::MAX).map(move |n| {
        count.store(n, Ordering::SeqCst);
        (n, [n; 30])
    });
    let mut rows = rows.execute_and_collect("endless").unwrap();
    assert_eq!(rows.next().unwrap().unwrap().0, 1);
    // Until nothing moves any more.
    let mut before = 0;
    let mut same = 0;
    while same < 20 {
        let now = made.load(Ordering::SeqCst);
        same = if now == before { same + 1 } else { 0 };
        before = now;
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    assert!(before < 200_000, "{before} records were made");
    // It goes on where it was.
    for n in 2..=before + 1_000 {
        assert_eq!(rows.next().unwrap().unwrap().0, n);
    }
    let job = rows.job().clone();
    drop(rows);
    assert!(job.result().is_err());
    assert_eq!(job.status().unwrap(), JobStatus::Canceled);
}

#[test]
fn a_limit_ends_the_job() {
    let env = environment(2);
    let numbers = env.from_sequence(1, i64::MAX).rebalance();
    let found = numbers
        .execute_and_collect_with_limit("some", 1_000)
        .unwrap();
    assert_eq!(found.len(), 1_000);
    let few = env.from_sequence(1, 3);
    let mut few = few.execute_and_collect_with_limit("few", 10).unwrap();
    // Two readers: whose rows come first is not said.
    few.sort_unstable();
    assert_eq!(few, [1, 2, 3]);
    let none = env.from_sequence(1, i64::MAX);
    assert_eq!(
        none.execute_and_collect_with_limit("none", 0).unwrap(),
        [0_i64; 0]
    );
}

#[test]
fn a_failure_comes_after_the_records() {
    let env = environment(1);
    env.configure("restart-strategy.type", "none").unwrap();
    let taken = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&taken);
    // An exchange, so that records reach the sink while the map waits.
    let rows = env.from_sequence(1, 300_000).map(move |n| {
        while n == 300_000 && !told.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert!(n < 300_000, "this is too much");
        n
    });
    let mut rows = rows.rebalance().execute_and_collect("fails").unwrap();
    let mut before_it = 0;
    let error = loop {
        match rows.next().unwrap() {
            Ok(row) => before_it = row,
            Err(error) => break error,
        }
        taken.store(true, Ordering::SeqCst);
    };
    assert!(error.to_string().contains("this is too much"), "{error}");
    assert!((1..300_000).contains(&before_it), "{before_it}");
    assert!(rows.next().is_none());
}

/// Fails once, at its last record, when `taken` says that somebody has taken records (or if nobody waits for that).
fn restarting(taken: Option<Arc<AtomicBool>>) -> Vec<Result<i64, Error>> {
    let env = environment(1);
    env.configure("restart-strategy.type", "fixed-delay")
        .unwrap();
    env.configure("restart-strategy.fixed-delay.attempts", "3")
        .unwrap();
    env.configure("restart-strategy.fixed-delay.delay", "1 ms")
        .unwrap();
    let failed = Arc::new(AtomicBool::new(false));
    let seen = taken.clone();
    // An exchange, so that records reach the sink while the map waits.
    let rows = env.from_sequence(1, 300_000).map(move |n| {
        if n == 300_000 && !failed.swap(true, Ordering::SeqCst) {
            while seen
                .as_ref()
                .is_some_and(|seen| !seen.load(Ordering::SeqCst))
            {
                std::thread::yield_now();
            }
            panic!("only once");
        }
        n
    });
    let rows = if taken.is_none() {
        // Nothing is emitted before the failure.
        rows.filter(|n| *n == 300_000).seal()
    } else {
        rows.rebalance()
    };
    let rows = rows.execute_and_collect("restarts").unwrap();
    let note = |row: &Result<i64, Error>| {
        if let (Ok(_), Some(taken)) = (row, &taken) {
            taken.store(true, Ordering::SeqCst);
        }
    };
    rows.inspect(note).collect()
}

#[test]
fn a_restart_before_records_were_taken_is_not_noticed() {
    let rows = restarting(None);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(*rows[0].as_ref().unwrap(), 300_000);
}

#[test]
fn a_restart_after_records_were_taken_is_an_error() {
    let rows = restarting(Some(Arc::default()));
    let (last, rows) = rows.split_last().unwrap();
    let numbers: Vec<i64> = rows.iter().map(|row| *row.as_ref().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    let error = last.as_ref().unwrap_err();
    assert!(matches!(error, Error::Collect(_)), "{error}");
    assert!(error.to_string().contains("restarted"), "{error}");
}

/// In a child, a driver: what it was given of the first job makes the second.
pub(crate) fn collects_then_executes() {
    let env = StreamExecutionEnvironment::get().unwrap();
    let seeds = env.from_collection([1_i64, 2]);
    let seeds = all(seeds.execute_and_collect("seeds").unwrap());
    assert_eq!(seeds, [40, 50, 60]);
    env.from_collection(seeds).discard();
    env.execute("second").unwrap();
}

#[test]
fn what_was_collected_is_shipped_with_later_jobs() {
    let mut program = child::command("collects-then-executes");
    let graphs = crate::plan::launch(&mut program, Role::Driver, 1);
    let names: Vec<_> = graphs.iter().map(|graph| graph.name.as_str()).collect();
    assert_eq!(names, ["seeds", "second"]);
    let record = graphs[1]
        .once
        .iter()
        .find(|value| value.name == "flott.execute.0");
    let record = &record.expect("a record of the first job").value;
    // A worker finds its result and its records.
    assert!(record.len() > 3 * 2 + JobEnded::default().accumulators.len());
    assert!(
        graphs[0]
            .once
            .iter()
            .all(|value| value.name != "flott.execute.0")
    );
}
