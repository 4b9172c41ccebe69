//! `cargo xtask bench state`: what checkpoints cost and how long a failure is felt. Jobs run on a cluster of this machine
//! whose workers are processes of their own, started by the agent that runs in YARN's containers; checkpoints go to a
//! local directory.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal"
)]
#![allow(
    clippy::cast_precision_loss,
    reason = "figures for people and for ratios"
)]

mod beats;
mod cluster;
mod driver;
mod job;
#[path = "../../micro/src/measure.rs"]
#[allow(dead_code, reason = "shared with the micro benchmarks")]
mod measure;
mod report;
mod rows;
mod running;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Benchmarks of state, checkpoints and recovery.
#[derive(Debug, Parser)]
#[command(name = "bench-state")]
struct Arguments {
    /// Only the rows whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// How often each row is measured; the table says which run is shown
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Writes the figures as JSON to this file, instead of below the table
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where checkpoints and the containers' directories go; a temporary directory without it
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Keeps the logs of the processes in the scratch directory
    #[arg(long, requires = "scratch")]
    keep: bool,
    /// A job of a row, in JSON: the process is a program that the cluster runs
    #[arg(long, hide = true)]
    job: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(job) = &arguments.job {
        return job::run(&serde_json::from_str(job)?);
    }
    let temporary = tempfile::tempdir()?;
    let scratch = match &arguments.scratch {
        Some(scratch) => {
            std::fs::create_dir_all(scratch)?;
            scratch.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    let setting = rows::Setting {
        only: arguments.only.unwrap_or_default(),
        runs: arguments.runs.max(1),
        scratch,
        keep: arguments.keep,
    };
    report::head();
    let results = rows::measure(&setting)?;
    report::json(&results, arguments.json.as_deref())
}
