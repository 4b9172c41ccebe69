//! A job that runs until it is cancelled, and uses next to no processor time.

use std::time::Duration;

use clap::Parser;
use flott::prelude::*;

/// Sleeps at every record, for ever.
#[derive(Debug, Parser)]
struct Arguments {
    /// Sleeps so long at each record. A task sees its cancellation between two batches of records.
    #[arg(long, default_value_t = 1)]
    millis: u64,
    /// Number of subtasks; default: that of the configuration.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    parallelism: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    if let Some(parallelism) = arguments.parallelism {
        env.set_parallelism(parallelism);
    }
    let pause = Duration::from_millis(arguments.millis);
    env.from_sequence(1, i64::MAX)
        .map(move |n| {
            std::thread::sleep(pause);
            n
        })
        .name("sleeper")
        .discard();
    env.execute("sleeper")?;
    Ok(())
}
