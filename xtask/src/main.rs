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
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Verify => verify::verify(),
        Chore::Fix => verify::fix(),
        Chore::Tidy => tidy::tidy(),
        Chore::Dist => dist::dist(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
