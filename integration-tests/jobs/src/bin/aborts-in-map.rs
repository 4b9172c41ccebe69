//! A map aborts the worker at the n-th record: the process dies of SIGABRT, the executor tells.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{Size, Trigger};

/// Aborts in a map.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    trigger: Trigger,
    #[command(flatten)]
    size: Size,
    /// Writes the sums per key there, if the job survives; default: nothing.
    #[arg(long)]
    output: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let trigger = arguments.trigger.clone();
    let numbers = arguments
        .size
        .numbers(&env)
        .map(move |n| {
            if trigger.fires(n) {
                std::process::abort();
            }
            n
        })
        .name("unreliable")
        .seal();
    match &arguments.output {
        Some(output) => arguments.size.write_sums(numbers, output),
        None => _ = numbers.discard(),
    }
    env.execute("aborts-in-map")?;
    Ok(())
}
