//! Jobs that run beside `main()`, and settings of the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flott::accumulators::LongCounter;
use flott::prelude::*;
use flott::{Error, JobClient, JobStatus, Role, RuntimeExecutionMode};

use crate::child;
use crate::support::{Collected, environment, failure, names, text};

fn endless(env: &StreamExecutionEnvironment) -> JobClient {
    env.from_sequence(1, i64::MAX).rebalance().discard();
    env.execute_async("endless").unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn two_jobs_side_by_side() {
    let env = environment(2);
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let first = Collected::from(
        env.from_sequence(1, 10)
            .map(move |n| {
                while !gate.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                n
            })
            .seal(),
    );
    let waiting = env.execute_async("waits for the other").unwrap();
    let second = Collected::from(env.from_sequence(1, 20));
    // It would never end if jobs ran one after the other.
    env.execute("other").unwrap();
    assert_eq!(second.sorted().len(), 20);
    assert!(!waiting.status().unwrap().is_terminal());
    open.store(true, Ordering::SeqCst);
    let result = waiting.result().unwrap();
    assert_eq!(result.job_id, waiting.job_id());
    assert_eq!(first.sorted().len(), 10);
    // As often as wanted, on any thread.
    let again = std::thread::spawn({
        let client = waiting.clone();
        move || client.result().unwrap()
    });
    assert_eq!(again.join().unwrap(), result);
    assert_eq!(waiting.status().unwrap(), JobStatus::Finished);
}

#[test]
fn a_job_is_cancelled_by_its_client() {
    let env = environment(2);
    let job = endless(&env);
    until("it runs", || job.status().unwrap() == JobStatus::Running);
    job.cancel().unwrap();
    let error = job.result().unwrap_err();
    let canceled = JobStatus::Canceled;
    assert!(matches!(error, Error::Ended { status, .. } if status == canceled));
    assert_eq!(job.status().unwrap(), canceled);
    job.cancel().unwrap();
}

#[test]
fn a_failure_is_told_and_its_output_removed() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let env = environment(1);
    env.configure("restart-strategy.type", "none").unwrap();
    env.from_sequence(1, 10)
        .map(|n| {
            assert!(n < 5, "five is too much");
            n
        })
        .write_text(text(&output), |n, line| line.push_str(&n.to_string()));
    let job = env.execute_async("fails").unwrap();
    let failure = failure(job.result());
    assert!(failure.message.contains("five is too much"), "{failure}");
    assert!(!output.exists() || names(&output).is_empty());
}

#[tokio::test]
async fn clients_block_inside_a_tokio_runtime() {
    let env = environment(1);
    let job = endless(&env);
    job.cancel().unwrap();
    assert!(job.result().is_err());
}

/// In a child: `main()` ends before its job does.
pub(crate) fn main_ends_first() {
    let directory = std::env::var("FLOTT_TEST_OUTPUT").unwrap();
    let env = environment(2);
    env.from_sequence(1, 2_000_000)
        .rebalance()
        .map(|n| n % 7)
        .filter(|n| *n == 3)
        .write_text(&directory, |n, line| line.push_str(&n.to_string()));
    // Neither the client nor its job is looked at again.
    drop(env.execute_async("longer than main").unwrap());
}

#[test]
fn the_end_of_main_waits_for_its_jobs() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let mut program = child::command("main-ends-first");
    let status = program.env("FLOTT_TEST_OUTPUT", &output).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    assert_eq!(crate::support::lines(&output).len(), 285_714);
}

#[test]
fn accumulators_of_a_job_under_way() {
    let env = environment(1);
    let job = endless(&env);
    let missing = job.accumulators().unwrap().result::<LongCounter>("rows");
    assert!(matches!(missing, Err(Error::Accumulator(_))));
    job.cancel().unwrap();
    assert!(job.result().is_err());
}

#[test]
fn settings_of_the_program() {
    let env = environment(2);
    env.set_runtime_mode(RuntimeExecutionMode::Batch)
        .set_max_parallelism(64)
        .set_buffer_timeout(None)
        .set_buffer_timeout(Some(Duration::from_millis(3)))
        .disable_operator_chaining();
    env.configure("parallelism.default", "3").unwrap();
    assert_eq!(env.default_parallelism(), 3);
    let configuration = env.configuration().to_map();
    for (key, value) in [
        ("execution.runtime-mode", "BATCH"),
        ("pipeline.max-parallelism", "64"),
        ("execution.buffer-timeout.interval", "3 ms"),
        ("execution.buffer-timeout.enabled", "true"),
        ("pipeline.operator-chaining.enabled", "false"),
    ] {
        assert_eq!(configuration[key], value, "{key}");
    }
    let wrong = env.configure("parallelism.default", "many").unwrap_err();
    assert!(matches!(wrong, Error::Configuration(_)), "{wrong}");
    assert_eq!(env.default_parallelism(), 3);
    let sums = env.from_sequence(1, 6).key_by(|n| n % 2).sum(|n| n);
    let mut sums: Vec<i64> = sums
        .execute_and_collect("sums")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    sums.sort_unstable();
    assert_eq!(sums, [9, 12]);
}

/// In a child whose user gave a parallelism of 2 and no mode.
pub(crate) fn configured() {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.configure("parallelism.default", "5").unwrap();
    env.set_runtime_mode(RuntimeExecutionMode::Batch);
    env.from_sequence(1, 10).discard();
    env.execute("configured").unwrap();
}

#[test]
fn the_command_line_counts_for_more_than_the_program() {
    let mut program = child::command("configured");
    let graphs = crate::plan::launch(&mut program, Role::Driver, 1);
    let configuration = &graphs[0].configuration;
    assert_eq!(configuration["parallelism.default"], "2");
    assert_eq!(configuration["execution.runtime-mode"], "BATCH");
    assert_eq!(graphs[0].vertices[0].parallelism, 2);
    assert_eq!(graphs[0].mode(), flott_model::RuntimeMode::Batch);
}
