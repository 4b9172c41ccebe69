//! `flott-taskexecutor`: runs in a container, told what to do by its environment.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use flott_hadoop::Credentials;
use flott_protocol::application::SECRET_KEY;
use flott_protocol::executor::{EXECUTOR, ExecutorSpec};
use flott_protocol::rpc::Secret;
use flott_taskexecutor::{Agent, AgentEnd, AgentSettings};
use tokio::signal::unix::{SignalKind, signal};

const LOG_FILE: &str = "taskmanager.log";

fn main() -> ExitCode {
    // One thread: the agent waits, and what is long runs on threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let end = runtime
        .context("starting the runtime failed")
        .and_then(|runtime| runtime.block_on(run()));
    match end {
        Ok(AgentEnd::Stopped) => ExitCode::SUCCESS,
        Ok(AgentEnd::Lost) => ExitCode::FAILURE,
        Err(error) => {
            // Where the log could not be set up, stderr is kept by the NodeManager.
            tracing::error!("{error:#}");
            std::io::Write::write_all(&mut std::io::stderr(), format!("{error:#}\n").as_bytes())
                .unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<AgentEnd> {
    let log_directory = first_directory("LOG_DIRS")?;
    let levels = std::env::var(flott_logging::LEVEL_VARIABLE).ok();
    flott_logging::init(Some(&log_directory.join(LOG_FILE)), levels.as_deref())?;
    let settings = settings(log_directory)?;
    let mut terminate = signal(SignalKind::terminate()).context("watching SIGTERM failed")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching SIGINT failed")?;
    let agent = Agent::new(settings);
    let end = agent
        .run(async {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        })
        .await?;
    Ok(end)
}

fn settings(log_directory: PathBuf) -> anyhow::Result<AgentSettings> {
    let spec = ExecutorSpec::from_variable(&variable(EXECUTOR)?)?;
    let credentials = Credentials::of_container().context("reading the container's tokens")?;
    let secret = credentials.secrets.get(SECRET_KEY);
    let secret = secret.with_context(|| {
        format!("the container's token file has no {SECRET_KEY}: the appmaster must put it there")
    })?;
    let container = variable("CONTAINER_ID")?;
    let directory = std::env::current_dir().context("finding the working directory failed")?;
    // YARN removes them with the application, also after an agent that could not.
    let disk = first_directory("LOCAL_DIRS").unwrap_or_else(|_| directory.clone());
    Ok(AgentSettings {
        partition_directory: disk.join(format!("flott-partitions-{container}")),
        local_state_directory: disk.join(format!("flott-local-state-{container}")),
        container,
        host: variable("NM_HOST")?,
        job_manager: spec.job_manager,
        secret: Secret::new(secret),
        slots: spec.slots,
        memory_bytes: spec.memory_bytes,
        job_manager_lost_timeout: Duration::from_millis(spec.job_manager_lost_timeout_ms),
        directory,
        log_directory,
    })
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| {
        format!("the environment variable {name} is missing: this program is started by YARN")
    })
}

/// The first of a comma-separated list, which YARN sorts by free space.
fn first_directory(name: &str) -> anyhow::Result<PathBuf> {
    let directories = variable(name)?;
    let first = directories.split(',').next().unwrap_or_default();
    anyhow::ensure!(
        !first.is_empty(),
        "the environment variable {name} is empty"
    );
    Ok(Path::new(first).to_owned())
}
