//! A source and a sink of one's own: ledgers in a binary format in, one sorted table out.
//!
//! ```text
//! cargo run -p custom-connector
//! cargo run -p custom-connector -- --ledgers ledgers --table balances.csv
//! ```
//! `ledger.rs` reads pieces of files side by side, each on a thread that may block. `table.rs` writes in
//! two phases: each subtask its part, out of sight; then, once, the whole table. Both use nothing but
//! the public traits of the SDK, and files that every machine sees under the same path.

mod ledger;
mod samples;
mod table;

use std::path::PathBuf;

use clap::Parser;
use flott::prelude::*;

use crate::ledger::LedgerSource;
use crate::table::TableSink;

/// Computes the balances of accounts.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory with ledgers: postings of 12 bytes, account (u32) and cents (i64), both little
    /// endian; default: a few that are made.
    #[arg(long)]
    ledgers: Option<PathBuf>,
    /// The file to be written; default: one in a new directory, which is printed.
    #[arg(long)]
    table: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    // Made when the job is submitted, known everywhere.
    let place = env.once("place", || {
        std::env::temp_dir().join(samples::unique_name())
    })?;
    let ledgers = arguments.ledgers.unwrap_or_else(|| {
        let ledgers = place.join("ledgers");
        let samples = ledgers.clone();
        env.on_submit(move || Ok(samples::write(&samples)?));
        ledgers
    });
    let table = arguments.table.unwrap_or_else(|| {
        let table = place.join("balances.csv");
        env.on_submit(move || Ok(std::fs::create_dir_all(&place)?));
        table
    });
    env.from_source(
        LedgerSource::new(ledgers),
        WatermarkStrategy::no_watermarks(),
        "ledgers",
    )
    .key_by(|(account, _)| *account)
    .sum(|(_, cents)| cents)
    .name("balances")
    .sink_to(TableSink::new(&table))
    .name("table");
    env.execute("Balances")?;
    tell(&format!("The balances are in {}", table.display()));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it is the answer")]
fn tell(text: &str) {
    println!("{text}");
}
