//! `cargo xtask …`: the chores of the repository that are more than one command. `verify` is the gate for people and CI.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal"
)]

mod dist;
mod tidy;
mod verify;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check everything that needs no Hadoop: format, clippy, tests, documentation, tidy. Changes nothing
    Verify,
    /// Repair what can be repaired automatically: clippy's suggestions and the format
    Fix,
    /// Check the rules of the repository that no compiler knows
    Tidy,
    /// Build what an administrator unpacks, in target/dist
    Dist,
    /// Measure: the distribution in target/dist, or the data plane
    #[command(subcommand)]
    Bench(Benchmark),
}

#[derive(Subcommand)]
enum Benchmark {
    /// How long a job takes to run on YARN, what it uploads, and the memory it takes there
    Startup {
        /// How often it is measured; medians are printed
        #[arg(long, default_value_t = 5)]
        runs: u32,
    },
    /// What an event costs in processor time, job by job, beside loops by hand and a thread for each task
    Micro {
        /// Only the rows whose name contains this
        #[arg(long)]
        only: Option<String>,
        /// How often each side of a row is measured; the best run is printed
        #[arg(long, default_value_t = 3)]
        runs: u32,
        /// Writes the figures as JSON to this file, instead of below the table
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// What checkpoints cost, how long a failure is felt, how fast state comes back
    State {
        /// Only the rows whose name contains this
        #[arg(long)]
        only: Option<String>,
        /// How often each row is measured; medians are printed
        #[arg(long, default_value_t = 3)]
        runs: u32,
        /// Writes the figures as JSON to this file, instead of below the table
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Verify => verify::verify(),
        Chore::Fix => verify::fix(),
        Chore::Tidy => tidy::tidy(),
        Chore::Dist => dist::dist(),
        Chore::Bench(Benchmark::Startup { runs }) => verify::bench_startup(runs),
        Chore::Bench(Benchmark::Micro { only, runs, json }) => {
            verify::bench_micro(only.as_deref(), runs, json.as_deref())
        }
        Chore::Bench(Benchmark::State { only, runs, json }) => {
            verify::bench_state(only.as_deref(), runs, json.as_deref())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
