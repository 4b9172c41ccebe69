//! Sums numbers per key, then passes the sums on slowly: in BATCH the second stage takes its time, and
//! there is time to kill what holds the first one's partitions.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{Pace, Size};

/// Sums numbers per key; the sums come not faster than told.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory that does not exist yet, or is empty.
    #[arg(long)]
    output: String,
    /// Sums a second in each subtask of the second stage.
    #[arg(long, default_value_t = 300)]
    per_second: u32,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let mut pace = Pace::new(arguments.per_second);
    arguments
        .size
        .sums(arguments.size.numbers(&env))
        .map(move |sum| {
            pace.wait();
            sum
        })
        .name("slow")
        .write_text(&arguments.output, |(key, sum), line| {
            use std::fmt::Write;
            // Writing to a String cannot fail.
            let _ = write!(line, "{key} {sum}");
        });
    env.execute("two-stages")?;
    Ok(())
}
