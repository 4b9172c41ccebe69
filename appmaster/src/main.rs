//! `flott-appmaster`: the JobManager of a YARN application. Runs its job (or its driver, or a
//! session), then tells YARN how it went.

mod application;
mod asks;
mod container_launch;
mod listeners;
mod outcome;
mod resources;
mod run;
mod sizes;
mod spread;
mod yarn_driver;
mod yarn_loop;

use std::process::ExitCode;

use crate::application::Application;
use crate::run::{End, run};

const LOG_FILE: &str = "jobmanager.log";
/// The attempt failed for reasons of our own: YARN may start another.
const EXIT_INTERNAL: u8 = 1;
/// As a process that SIGTERM ended.
const EXIT_TERMINATED: u8 = 143;
/// The control plane of one application needs no more.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let application = Application::load().and_then(|application| {
        let log = application.log_directory.join(LOG_FILE);
        flott_logging::init(Some(&log), application.log_levels().as_deref())?;
        Ok(application)
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let end = application.and_then(|application| {
        let runtime = runtime?;
        runtime.block_on(run(application))
    });
    match end {
        Ok(End::Unregistered) => ExitCode::SUCCESS,
        Ok(End::Terminated) => ExitCode::from(EXIT_TERMINATED),
        Err(error) => {
            tracing::error!("{error:#}");
            // Where the log could not be set up, stderr is kept by the NodeManager.
            let text = format!("{error:#}\n");
            std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap_or_default();
            ExitCode::from(EXIT_INTERNAL)
        }
    }
}
