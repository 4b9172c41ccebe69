//! A map kills its worker with SIGKILL at the n-th record: nothing of the process can say why.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{Size, Trigger};
use nix::sys::signal::Signal;

/// Kills its own worker in a map.
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
                // If even this fails, the process goes on, and the test sees that.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), Signal::SIGKILL);
            }
            n
        })
        .name("unreliable")
        .seal();
    match &arguments.output {
        Some(output) => arguments.size.write_sums(numbers, output),
        None => _ = numbers.discard(),
    }
    env.execute("kills-itself")?;
    Ok(())
}
