//! Looks at a running job, and does things to its workers.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flott_coordination::checkpoint::{CheckpointRecord, CheckpointStatus};
use flott_jobmanager::{DispatcherHandle, JobSnapshot};
use flott_model::{ExecutionState, JobId, JobStatus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often it is looked.
pub(crate) const LOOK: Duration = Duration::from_millis(1);
/// Nothing takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A job that is looked at.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) job: JobId,
}

impl Running {
    pub(crate) fn snapshot(&self) -> Result<JobSnapshot> {
        let job = self.dispatcher.job(self.job);
        job.context("the job was just submitted")
    }

    /// Waits until something is so; when that was.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&JobSnapshot) -> bool,
    ) -> Result<Instant> {
        let begin = Instant::now();
        loop {
            let job = self.snapshot()?;
            if is_so(&job) {
                return Ok(Instant::now());
            }
            if job.status.is_terminal() {
                bail!(
                    "waiting until {what}: the job is {}: {:?}",
                    job.status,
                    job.failures.first().map(|it| &it.root.message)
                );
            }
            if begin.elapsed() > PATIENCE {
                bail!("waiting until {what}: that takes longer than {PATIENCE:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until all tasks run; when that was.
    pub(crate) async fn until_running(&self) -> Result<Instant> {
        let what = "all tasks run";
        self.until(what, |job| all_in(job, ExecutionState::Running))
            .await
    }

    /// The next so many complete checkpoints that begin from now on.
    pub(crate) async fn checkpoints(&self, count: usize) -> Result<Vec<CheckpointRecord>> {
        let since = self.snapshot()?;
        let known = since.checkpoints.history.back().map(|it| it.checkpoint);
        let mut found: Vec<CheckpointRecord> = Vec::new();
        while found.len() < count {
            let newest = found.last().map(|it| it.checkpoint).max(known);
            let newer = |job: &JobSnapshot| {
                let latest = job.checkpoints.latest_completed.clone();
                latest.filter(|it| Some(it.checkpoint) > newest)
            };
            self.until("there is a checkpoint", |job| newer(job).is_some())
                .await?;
            found.extend(newer(&self.snapshot()?));
        }
        Ok(found)
    }

    /// Records that all subtasks of the first vertex have sent.
    pub(crate) fn produced(job: &JobSnapshot) -> u64 {
        let sources = job.vertices.first().into_iter();
        let subtasks = sources.flat_map(|vertex| &vertex.subtasks);
        subtasks.map(|subtask| subtask.metrics.records_out).sum()
    }
}

pub(crate) fn all_in(job: &JobSnapshot, state: ExecutionState) -> bool {
    let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    job.status == JobStatus::Running && subtasks.all(|subtask| subtask.state == state)
}

/// How long a checkpoint took.
pub(crate) fn duration(record: &CheckpointRecord) -> Option<Duration> {
    matches!(record.status, CheckpointStatus::Completed { .. })
        .then(|| record.ended())
        .flatten()
        .map(|ended| ended.saturating_sub(record.triggered))
}

/// The worker processes of this one's agents, with their containers' names.
pub(crate) fn workers() -> Result<Vec<(String, Pid)>> {
    let own = std::process::id().to_string();
    let mut workers = Vec::new();
    for entry in std::fs::read_dir("/proc").context("looking for the workers")? {
        let path = entry?.path();
        let Some((container, pid)) = worker(&path, &own) else {
            continue;
        };
        workers.push((container, Pid::from_raw(pid)));
    }
    workers.sort();
    Ok(workers)
}

/// A child of this process that has the role of a worker.
fn worker(path: &Path, parent: &str) -> Option<(String, i32)> {
    let pid: i32 = path.file_name()?.to_str()?.parse().ok()?;
    let status = std::fs::read_to_string(path.join("status")).ok()?;
    let of = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim();
    let environment = std::fs::read(path.join("environ")).ok()?;
    let is_worker = environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == b"FLOTT_ROLE=worker");
    if of != parent || !is_worker {
        return None;
    }
    // <container>/workers/<worker>
    let directory = std::fs::read_link(path.join("cwd")).ok()?;
    let container = directory.parent()?.parent()?.file_name()?;
    Some((container.to_str()?.to_owned(), pid))
}

/// SIGKILL; when.
pub(crate) fn kill_worker(pid: Pid) -> Result<Instant> {
    let now = Instant::now();
    kill(pid, Signal::SIGKILL).context("killing a worker")?;
    Ok(now)
}
