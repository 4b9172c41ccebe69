//! Sums the numbers from 1 to N per key: a whole job with a shuffle, whose result is known.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::Size;

/// Sums numbers per key.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory that does not exist yet, or is empty.
    #[arg(long)]
    output: String,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let numbers = arguments.size.numbers(&env);
    arguments.size.write_sums(numbers, &arguments.output);
    env.execute("counts")?;
    Ok(())
}
