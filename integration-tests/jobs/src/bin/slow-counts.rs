//! As `counts`, but slow: there is time to kill executors while it runs.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{Pace, Size};

/// Sums numbers per key, not faster than told.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory that does not exist yet, or is empty.
    #[arg(long)]
    output: String,
    /// Records a second in each subtask of the source.
    #[arg(long, default_value_t = 2_000)]
    per_second: u32,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let mut pace = Pace::new(arguments.per_second);
    let numbers = arguments
        .size
        .numbers(&env)
        .map(move |n| {
            pace.wait();
            n
        })
        .name("slow");
    arguments.size.write_sums(numbers.seal(), &arguments.output);
    env.execute("slow-counts")?;
    Ok(())
}
