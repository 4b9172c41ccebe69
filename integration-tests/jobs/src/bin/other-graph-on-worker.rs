//! Breaks the one rule of `main()`: builds another graph on the worker than was submitted. The job
//! must fail with a sentence that names the difference.

use clap::Parser;
use flott::Role;
use flott::prelude::*;
use flott_test_jobs::Size;

/// Builds a map of another parallelism on the worker.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let parallelism = if env.role() == Role::Worker { 3 } else { 2 };
    arguments
        .size
        .numbers(&env)
        .map(|n| n + 1)
        .name("differs")
        .set_parallelism(parallelism)
        .discard();
    env.execute("other-graph-on-worker")?;
    Ok(())
}
