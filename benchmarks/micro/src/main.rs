//! `cargo xtask bench micro`: what an event costs, in processor time, beside a loop by hand that does the same. Each
//! measurement is a process of its own, the two sides in turn; the best run of each side is shown, as the figures of a
//! shared machine are only ever too high.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal"
)]
#![allow(
    clippy::cast_precision_loss,
    reason = "figures for people and for ratios"
)]

mod by_hand;
mod jobs;
mod measure;
mod process;
mod report;
mod rows;
mod saturation;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use process::Side;
use rows::ROWS;

/// Micro benchmarks of the data plane.
#[derive(Debug, Parser)]
#[command(name = "bench-micro")]
struct Arguments {
    /// Only the rows whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// How often each side of a row is measured
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Writes the figures as JSON to this file, instead of below the table
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures one side of a row once, in this process; prints JSON
    #[arg(long, value_enum, requires = "only", hide = true)]
    side: Option<Side>,
    /// So many events, instead of the row's own number
    #[arg(long, requires = "side", hide = true)]
    events: Option<u64>,
    /// A directory for inputs, shared by the runs
    #[arg(long, hide = true)]
    scratch: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let name = arguments.only.as_deref().unwrap_or_default();
    if let Some(side) = arguments.side {
        let scratch = arguments.scratch.unwrap_or_else(std::env::temp_dir);
        return process::measure_here(name, side, arguments.events, &scratch);
    }
    ensure!(arguments.runs > 0, "the number of runs must be positive");
    let rows: Vec<_> = ROWS.iter().filter(|row| row.name.contains(name)).collect();
    ensure!(!rows.is_empty(), "no row's name contains {name:?}");
    let scratch = tempfile::tempdir()?;
    let mut results = Vec::with_capacity(rows.len());
    report::head();
    for row in rows {
        let best = process::measure(row, arguments.runs, scratch.path())?;
        report::row(row, &best);
        results.push((row, best));
    }
    report::json(&results, arguments.json.as_deref())
}
