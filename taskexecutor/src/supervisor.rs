//! One worker process from its preparation to its end.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flott_hadoop::token::TOKEN_FILE_VARIABLE;
use flott_model::{Failure, FailureClass};
use flott_protocol::environment::{ROLE, Role, WORKER_SPEC};
use flott_protocol::executor::EXECUTOR;
use flott_protocol::message::{StartWorker, WorkerExited};
use flott_protocol::node::{ElfError, Node};
use flott_protocol::process::{describe_exit, exit_class, tail};
use flott_protocol::rpc::Secret;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::bundle::{self, BundleError, Verified};

const SPEC_FILE: &str = "worker.pb";

/// Where workers run.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) node: Node,
    pub(crate) container: String,
    pub(crate) directory: PathBuf,
    pub(crate) log_directory: PathBuf,
    pub(crate) job_manager: String,
    pub(crate) secret: Secret,
    pub(crate) verified: Verified,
}

/// What a supervisor is to do with its worker.
#[derive(Debug)]
pub(crate) enum Order {
    /// SIGTERM, and SIGKILL after so long.
    Stop(Duration),
    /// SIGKILL, for that reason: nobody asked for it, and it counts as a failure.
    Kill(String),
    /// Sources are to pause for so many milliseconds.
    Ease(u8),
}

/// How a worker process ended.
enum End {
    ByItself(ExitStatus),
    Stopped(ExitStatus),
    Killed(String),
}

/// A worker could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("the job's executable cannot run on node {node}: {reason}")]
    Unfit { node: String, reason: ElfError },
    #[error("{doing} for the worker failed: {source}")]
    Io {
        doing: &'static str,
        source: io::Error,
    },
    #[error("running {} failed: {source}", path.display())]
    Spawn { path: PathBuf, source: io::Error },
}

impl StartError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Bundle(error) => error.class(),
            // Another node may be fit, but the job's nodes are to be alike.
            Self::Unfit { .. } => FailureClass::Fatal,
            Self::Io { .. } | Self::Spawn { .. } => FailureClass::Transient,
        }
    }
}

/// Runs a worker and tells how it ended.
pub(crate) async fn supervise(
    place: Arc<Place>,
    start: StartWorker,
    orders: mpsc::Receiver<Order>,
    pid: Arc<AtomicU32>,
) -> WorkerExited {
    let name = format!("{}-{}", start.job, start.incarnation);
    let directory = place.directory.join("workers").join(&name);
    let stderr = place.log_directory.join(format!("worker-{name}.err"));
    let ended = run(&place, &start, &directory, &name, orders, &pid).await;
    let (failure, expected) = match ended {
        Ok(End::ByItself(status)) => (exit_failure(status, false, &stderr), false),
        Ok(End::Stopped(status)) => (exit_failure(status, true, &stderr), true),
        Ok(End::Killed(why)) => (Failure::new(FailureClass::Transient, why), false),
        Err(error) => (Failure::new(error.class(), error.to_string()), false),
    };
    if let Err(error) = std::fs::remove_dir_all(&directory)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %directory.display(), "a worker's directory is left");
    }
    let failure = failure.at(format!("{} ({})", place.container, place.node.host()));
    WorkerExited {
        job: start.job,
        incarnation: start.incarnation,
        failure,
        expected,
    }
}

async fn run(
    place: &Place,
    start: &StartWorker,
    directory: &Path,
    name: &str,
    mut orders: mpsc::Receiver<Order>,
    pid: &AtomicU32,
) -> Result<End, StartError> {
    let executable = prepare(place, start, directory).await?;
    let mut child = spawn(place, start, &executable, directory, name)?;
    // Taken out because waiting for a child closes what is left of its standard input.
    let mut lifeline = child.stdin.take();
    pid.store(child.id().unwrap_or(0), Ordering::Relaxed);
    tracing::info!(worker = name, pid = child.id(), "worker started");
    let ended = obey(&mut child, lifeline.as_mut(), &mut orders).await;
    // From now on another process may have that id.
    pid.store(0, Ordering::Relaxed);
    ended.map_err(|source| StartError::Io {
        doing: "waiting",
        source,
    })
}

/// Waits for the end of a worker, which may be ordered.
async fn obey(
    child: &mut Child,
    mut lifeline: Option<&mut ChildStdin>,
    orders: &mut mpsc::Receiver<Order>,
) -> io::Result<End> {
    loop {
        let order = tokio::select! {
            status = child.wait() => return Ok(End::ByItself(status?)),
            order = orders.recv() => order,
        };
        match order {
            Some(Order::Ease(pause_ms)) => {
                if let Some(lifeline) = &mut lifeline {
                    // One that does not listen is none of ours, or has ended.
                    let byte = [pause_ms];
                    let told = lifeline.write_all(&byte);
                    let _ = tokio::time::timeout(Duration::ZERO, told).await;
                }
            }
            Some(Order::Kill(why)) => {
                child.start_kill()?;
                child.wait().await?;
                return Ok(End::Killed(why));
            }
            stop @ (Some(Order::Stop(_)) | None) => {
                // Without a sender the agent is gone: no grace.
                let grace = match stop {
                    Some(Order::Stop(grace)) => grace,
                    _ => Duration::ZERO,
                };
                terminate(child, grace).await?;
                return Ok(End::Stopped(child.wait().await?));
            }
        }
    }
}

/// SIGTERM, then SIGKILL.
async fn terminate(child: &mut Child, grace: Duration) -> io::Result<()> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // It may have ended just now; it is not reaped yet, so the id is still its own.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(grace, child.wait()).await.is_err() {
        child.start_kill()?;
    }
    Ok(())
}

/// Lays out the working directory; the executable's path.
async fn prepare(
    place: &Place,
    start: &StartWorker,
    directory: &Path,
) -> Result<PathBuf, StartError> {
    let failed = |doing| move |source| StartError::Io { doing, source };
    std::fs::create_dir_all(directory).map_err(failed("creating the working directory"))?;
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(directory, private).map_err(failed("closing the directory"))?;
    let executable = bundle::locate(place, &start.bundle.executable, true).await?;
    place
        .node
        .check(&executable)
        .map_err(|reason| StartError::Unfit {
            node: place.node.host().to_owned(),
            reason,
        })?;
    for file in &start.bundle.files {
        let found = bundle::locate(place, file, false).await?;
        let link = directory.join(bundle::inner_path(&file.name)?);
        if let Some(parent) = link.parent() {
            std::fs::create_dir_all(parent).map_err(failed("creating a directory"))?;
        }
        symlink(found, link).map_err(failed("linking a shipped file"))?;
    }
    let spec = directory.join(SPEC_FILE);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options
        .open(spec)
        .and_then(|mut file| file.write_all(&start.spec));
    written.map_err(failed("writing the spec"))?;
    Ok(executable)
}

fn spawn(
    place: &Place,
    start: &StartWorker,
    executable: &Path,
    directory: &Path,
    name: &str,
) -> Result<Child, StartError> {
    let log = |kind: &str| {
        let path = place.log_directory.join(format!("worker-{name}.{kind}"));
        File::create(path).map_err(|source| StartError::Io {
            doing: "creating a log file",
            source,
        })
    };
    Command::new(executable)
        .args(&start.args)
        .envs(&start.environment)
        // The application's secret is in that file; workers get a token derived from it.
        .env_remove(TOKEN_FILE_VARIABLE)
        .env_remove(EXECUTOR)
        .env(ROLE, Role::Worker.as_str())
        .env(WORKER_SPEC, directory.join(SPEC_FILE))
        .current_dir(directory)
        // Its end tells the worker that its agent is gone; a byte is how long sources are to pause.
        .stdin(Stdio::piped())
        .stdout(log("out")?)
        .stderr(log("err")?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| StartError::Spawn {
            path: executable.to_owned(),
            source,
        })
}

fn exit_failure(status: ExitStatus, expected: bool, stderr: &Path) -> Failure {
    if expected {
        let message = format!("the worker process was stopped ({})", describe_exit(status));
        return Failure::new(FailureClass::Transient, message);
    }
    let mut message = format!(
        "the worker process ended unexpectedly: {}",
        describe_exit(status)
    );
    let tail = tail(stderr).unwrap_or_default();
    if !tail.is_empty() {
        message.push_str("; the end of its stderr:\n");
        message.push_str(&tail);
    }
    Failure::new(exit_class(status), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_is_told_how_long_its_sources_pause() {
        let mut child = Command::new("sh")
            .args(["-c", "exit $(head -c 1 | od -An -tu1)"])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lifeline = child.stdin.take();
        let (sender, mut orders) = mpsc::channel(1);
        sender.send(Order::Ease(42)).await.unwrap();
        let ended = obey(&mut child, lifeline.as_mut(), &mut orders);
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        let End::ByItself(status) = ended.unwrap().unwrap() else {
            panic!("nobody stopped it");
        };
        assert_eq!(status.code(), Some(42));
    }
}
