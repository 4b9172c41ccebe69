//! The command `flott`: runs programs on this machine or on a cluster.
//!
//! A command ends with 0 if it did what was asked, else with 1 and one message on stderr.

mod cli;
mod cluster;
mod commands;
mod console;
mod elf;
mod jobs;
mod local;
mod program;
mod report;
mod settings;
mod signals;
mod target;
mod time;
mod yarn;

use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::console::Console;

fn main() -> ExitCode {
    let console = Rc::new(Console::new());
    let args: Vec<OsString> = std::env::args_os().collect();
    if let [_, only] = &args[..]
        && (only == "-v" || only == "--version")
    {
        let commit = option_env!("FLOTT_COMMIT").unwrap_or("unknown");
        console.line(&format!(
            "Version: {}, Commit ID: {commit}",
            env!("CARGO_PKG_VERSION")
        ));
        return ExitCode::SUCCESS;
    }
    let command = match parse(args) {
        Ok(command) => command,
        Err(code) => return code,
    };
    match execute(command, &console) {
        Ok(code) => code,
        Err(error) => {
            console.end_progress();
            console.note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn parse(args: Vec<OsString>) -> Result<Command, ExitCode> {
    let parsed = match cli::normalize(args) {
        Ok(args) => Cli::try_parse_from(args),
        Err(message) => Err(clap::Error::raw(
            ErrorKind::UnknownArgument,
            format!("{message}\n"),
        )),
    };
    parsed.map(|cli| cli.command).map_err(|error| {
        // A closed stdout or stderr is nobody's mistake.
        let _ = error.print();
        // clap's code for mistakes is 2, Flink's is 1.
        if error.use_stderr() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    })
}

fn execute(command: Command, console: &Rc<Console>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        match command {
            Command::Run(args) => commands::run(args, console).await,
            Command::RunApplication(args) => commands::run_application(args, console).await,
            Command::Info(args) => commands::info(args, console).await,
            Command::List(args) => commands::list(args, console).await,
            Command::Stop(args) => commands::stop(args, console).await,
            Command::Cancel(args) => commands::cancel(args, console).await,
            Command::Savepoint(command) => commands::savepoint(command, console).await,
            Command::Checkpoint(args) => commands::checkpoint(args, console).await,
            Command::New(args) => commands::new(&args, console),
        }
    });
    // A hash that is still computed must not hold up an interrupted command.
    runtime.shutdown_background();
    result
}
