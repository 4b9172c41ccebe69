//! Sums numbers per key that it reads slowly from many small files: while the first stage reads there is time to kill who
//! tells its subtasks what to read next.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{Pace, Size};

/// Sums the numbers in the files of a directory, not faster than told.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory of text files with a number in each line.
    #[arg(long)]
    input: String,
    /// A directory that does not exist yet, or is empty.
    #[arg(long)]
    output: String,
    /// Records a second in each subtask of the source.
    #[arg(long, default_value_t = 1_000)]
    per_second: u32,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    arguments.size.spread(&env);
    let mut pace = Pace::new(arguments.per_second);
    let numbers = env
        .read_text_file(&arguments.input)
        .try_map(|line| line.parse::<i64>())
        .map(move |n| {
            pace.wait();
            n
        })
        .name("slow");
    arguments.size.write_sums(numbers.seal(), &arguments.output);
    env.execute("slow-files")?;
    Ok(())
}
