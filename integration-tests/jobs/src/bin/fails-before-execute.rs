//! `main()` returns an error before `execute()`: no job, exit code 1, the error on stderr.

use anyhow::bail;
use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{OnlyIn, Size};

/// Returns an error from `main()`.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    only_in: OnlyIn,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    arguments.size.numbers(&env).discard();
    if arguments.only_in.applies(env.role()) {
        bail!("the test job was told to fail before execute()");
    }
    env.execute("fails-before-execute")?;
    Ok(())
}
