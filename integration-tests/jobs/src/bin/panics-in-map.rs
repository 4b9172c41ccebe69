//! A map panics at the n-th record: the task fails with the text of the panic, the worker lives.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{Size, Trigger};

/// Panics in a map.
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
            assert!(!trigger.fires(n), "record {n} does not suit the test job");
            n
        })
        .name("unreliable")
        .seal();
    match &arguments.output {
        Some(output) => arguments.size.write_sums(numbers, output),
        None => _ = numbers.discard(),
    }
    env.execute("panics-in-map")?;
    Ok(())
}
