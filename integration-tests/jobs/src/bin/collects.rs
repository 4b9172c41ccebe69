//! Programs that do more with a job than wait for it. Each ends with code 0 only if all it saw was as it should be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use flott::prelude::*;
use flott::{Error, JobStatus};

#[derive(Debug, Parser)]
struct Arguments {
    /// What to do.
    #[arg(value_enum)]
    what: What,
    /// So many records are collected.
    #[arg(long, default_value_t = 100_000)]
    records: i64,
    /// Where results are written to.
    #[arg(long, default_value = "")]
    output: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Takes the records of a job, and writes their sum in a second one.
    Rows,
    /// Two jobs side by side.
    Beside,
    /// Cancels its job.
    Cancel,
    /// Takes a few records of a job that never ends.
    Limit,
}

fn write(env: &StreamExecutionEnvironment, lines: Vec<String>, output: &str) {
    env.from_collection(lines)
        .write_text(output, |text, line| line.push_str(text));
}

fn rows(env: &StreamExecutionEnvironment, arguments: &Arguments) -> Result<()> {
    let numbers = env.from_sequence(1, arguments.records).rebalance();
    let records = numbers.execute_and_collect("rows")?;
    let job = records.job().clone();
    let (mut count, mut sum) = (0_i64, 0_i64);
    for number in records {
        count += 1;
        sum += number?;
    }
    // In a worker of the second job these must be the same.
    let result = job.result()?;
    let lines = vec![
        format!("count {count}"),
        format!("sum {sum}"),
        format!("job {}", result.job_id),
        format!("runtime {}", result.net_runtime.as_millis()),
    ];
    write(env, lines, &arguments.output);
    env.execute("sum")?;
    Ok(())
}

fn beside(env: &StreamExecutionEnvironment, arguments: &Arguments) -> Result<()> {
    for name in ["one", "other"] {
        let output = format!("{}/{name}", arguments.output);
        write(env, vec![name.to_owned()], &output);
        let job = env.execute_async(name)?;
        ensure!(job.job_id() != flott::JobId(0), "the job has an id");
    }
    Ok(())
}

fn cancel(env: &StreamExecutionEnvironment) -> Result<()> {
    env.from_sequence(1, i64::MAX).rebalance().discard();
    let job = env.execute_async("endless")?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while job.status()? != JobStatus::Running {
        ensure!(Instant::now() < deadline, "the job is {}", job.status()?);
        std::thread::sleep(Duration::from_millis(50));
    }
    job.cancel()?;
    match job.result() {
        Err(Error::Ended {
            status: JobStatus::Canceled,
            ..
        }) => Ok(()),
        other => anyhow::bail!("it should have been cancelled: {other:?}"),
    }
}

fn limit(env: &StreamExecutionEnvironment) -> Result<()> {
    let numbers = env.from_sequence(1, i64::MAX).map(|n| n * 2);
    let found = numbers.execute_and_collect_with_limit("endless", 1_000)?;
    let last = found.iter().max().context("nothing was collected")?;
    ensure!(
        found.len() == 1_000 && last % 2 == 0,
        "{} records up to {last}",
        found.len()
    );
    Ok(())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    match arguments.what {
        What::Rows => rows(&env, &arguments),
        What::Beside => beside(&env, &arguments),
        What::Cancel => cancel(&env),
        What::Limit => limit(&env),
    }
}
