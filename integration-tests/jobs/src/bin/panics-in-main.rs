//! `main()` panics before `execute()`: no job, exit code 101, the panic on stderr.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{OnlyIn, Size};

/// Panics in `main()`.
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
    assert!(
        !arguments.only_in.applies(env.role()),
        "the test job was told to panic in main()"
    );
    env.execute("panics-in-main")?;
    Ok(())
}
