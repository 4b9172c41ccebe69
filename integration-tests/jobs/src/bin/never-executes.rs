//! Builds a graph, never calls `execute()`, and ends with exit code 0.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::Size;

/// Forgets to call `execute()`.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let env = StreamExecutionEnvironment::get()?;
    Arguments::parse().size.numbers(&env).discard();
    Ok(())
}
