//! Ends the process with a chosen exit code before `execute()`.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::{OnlyIn, Size};

/// Calls `exit()` in `main()`.
#[derive(Debug, Parser)]
struct Arguments {
    /// The exit code.
    #[arg(long, default_value_t = 3)]
    code: i32,
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
        std::process::exit(arguments.code);
    }
    env.execute("exits-with")?;
    Ok(())
}
