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
    /// Measure the distribution in target/dist
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
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Verify => verify::verify(),
        Chore::Fix => verify::fix(),
        Chore::Tidy => tidy::tidy(),
        Chore::Dist => dist::dist(),
        Chore::Bench(Benchmark::Startup { runs }) => verify::bench_startup(runs),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
