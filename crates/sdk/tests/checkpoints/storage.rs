//! Storage that does not take checkpoints: they fail, and the job goes on as long as that is tolerated.

use std::time::Duration;

use flott::prelude::*;
use flott::source::DataGeneratorSource;

use crate::support::{environment, failure, lines, text};

const RECORDS: u64 = 1_000;

/// Once half of the records have come, `half` happens.
fn build(
    env: &StreamExecutionEnvironment,
    output: &str,
    half: impl Fn() + Clone + Send + Sync + 'static,
) {
    let numbers = DataGeneratorSource::new(|index| index, RECORDS).rate_per_second(1_000.0);
    env.from_source(numbers, WatermarkStrategy::no_watermarks(), "numbers")
        .map(move |n| {
            if n == RECORDS / 2 {
                half();
            }
            n
        })
        .key_by(|n| n % 7)
        .sum(|n| n)
        .write_text(output, |n, line| line.push_str(&n.to_string()));
    env.enable_checkpointing(Duration::from_millis(50)).unwrap();
}

#[test]
fn checkpoints_that_cannot_be_written_are_tolerated_so_often() {
    let directory = tempfile::tempdir().unwrap();
    let (file, output) = (directory.path().join("file"), directory.path().join("out"));
    std::fs::write(&file, "no directory").unwrap();
    let env = environment(2);
    env.configure("execution.checkpointing.dir", text(&file.join("below")))
        .unwrap();
    env.configure(
        "execution.checkpointing.tolerable-failed-checkpoints",
        "1000",
    )
    .unwrap();
    env.configure("restart-strategy.type", "none").unwrap();
    // What the job leaves at its end waits for a checkpoint that succeeds.
    let (below, repaired) = (file.join("below"), file.clone());
    build(&env, text(&output), move || {
        std::fs::remove_file(&repaired).unwrap();
    });
    env.execute("tolerant").unwrap();
    assert!(below.is_dir(), "checkpoints are taken again");
    assert_eq!(lines(&output).len() as u64, RECORDS);
}

#[test]
fn one_more_fails_the_job_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (file, output) = (directory.path().join("file"), directory.path().join("out"));
    std::fs::write(&file, "no directory").unwrap();
    let env = environment(2);
    let below = file.join("below");
    env.configure("execution.checkpointing.dir", text(&below))
        .unwrap();
    env.configure("restart-strategy.type", "none").unwrap();
    build(&env, text(&output), || ());
    let failure = failure(env.execute("intolerant"));
    assert!(failure.message.contains(text(&below)), "{failure}");
}

#[test]
fn without_a_directory_small_state_is_kept_by_the_jobmanager() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let failing = crate::exactly_once::Failing::new(300, 2);
    let fail = failing.clone();
    let env = environment(2);
    env.configure("restart-strategy.type", "fixed-delay")
        .unwrap();
    env.configure("restart-strategy.fixed-delay.attempts", "10")
        .unwrap();
    env.configure("restart-strategy.fixed-delay.delay", "10 ms")
        .unwrap();
    let numbers = DataGeneratorSource::new(|index| index, RECORDS).rate_per_second(1_000.0);
    env.from_source(numbers, WatermarkStrategy::no_watermarks(), "numbers")
        .key_by(|n| n % 7)
        .sum(|n| n)
        .map(move |n| {
            fail.call();
            n
        })
        .write_text(text(&output), |n, line| line.push_str(&n.to_string()));
    env.enable_checkpointing(Duration::from_millis(50)).unwrap();
    env.execute("in memory").unwrap();
    assert_eq!(failing.happened(), 2);
    assert_eq!(lines(&output).len() as u64, RECORDS);
}
