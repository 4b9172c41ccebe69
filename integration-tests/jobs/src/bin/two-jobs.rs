//! Two jobs, one after the other, in one `main()`. Both use one value of `once()`, which must be
//! the same everywhere: it names the directories below `--output`.

use clap::Parser;
use flott::prelude::*;
use flott_test_jobs::Size;

/// Calls `execute()` twice.
#[derive(Debug, Parser)]
struct Arguments {
    /// The results are in `first-<id>` and `second-<id>` below this directory.
    #[arg(long)]
    output: String,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    // Every process has another id: only the submitter's may be seen.
    let id = env.once("id", std::process::id)?;
    for name in ["first", "second"] {
        let numbers = arguments.size.numbers(&env);
        let output = format!("{}/{name}-{id}", arguments.output);
        arguments.size.write_sums(numbers, &output);
        env.execute(name)?;
    }
    Ok(())
}
