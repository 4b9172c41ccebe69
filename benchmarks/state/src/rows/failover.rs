//! How long the end of a worker process is felt: one of two is killed, and the sinks tell when something came.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flott_model::{ExecutionState, JobStatus};

use super::{Figures, Goal, Setting, Settings, in_cluster, median};
use crate::beats::{Beats, Heard};
use crate::cluster::Cluster;
use crate::job::JobSpec;
use crate::running::{Running, all_in, kill_worker, workers};

/// One in each of two processes.
const PARALLELISM: u32 = 2;
/// Records per second while it is measured.
const RATE: f64 = 400_000.0;

pub(super) fn measure(
    setting: &Setting,
    name: &str,
    settings: &Settings,
    keys: u64,
) -> Result<Figures> {
    let mut runs = Vec::new();
    for _ in 0..setting.runs {
        runs.push(in_cluster(setting, name, |directory| {
            run(directory, settings.clone(), keys)
        })??);
    }
    let of = |figure: fn(&Run) -> Duration| {
        median(
            runs.iter()
                .map(|run| figure(run).as_secs_f64() * 1e3)
                .collect(),
        )
    };
    let gap = of(|run| run.gap);
    let bytes = median(runs.iter().map(|run| run.bytes as f64).collect());
    Ok(Figures {
        row: name.to_owned(),
        values: vec![
            ("gap", gap, "ms"),
            ("detect", of(|run| run.detect), "ms"),
            ("cancel and start", of(|run| run.cancel), "ms"),
            ("restore", of(|run| run.restore), "ms"),
            ("first record", of(|run| run.first), "ms"),
            ("caught up after", of(|run| run.replay), "ms"),
            ("state", bytes / 1e6, "MB"),
            (
                "restore per GB",
                of(|run| run.restore) / (bytes / 1e9),
                "ms",
            ),
        ],
        goals: vec![Goal {
            figure: "gap",
            value: gap,
            bound: 1_000.0,
            at_least: false,
        }],
    })
}

#[derive(Debug)]
struct Run {
    /// Between two records at the sinks.
    gap: Duration,
    /// From the kill until the job knows.
    detect: Duration,
    /// From there until the last task is being given its state.
    cancel: Duration,
    /// From there until all tasks run.
    restore: Duration,
    /// From there to the first record at a sink.
    first: Duration,
    /// From the kill until a sink has a record that no sink had before.
    replay: Duration,
    bytes: u64,
}

async fn run(directory: PathBuf, settings: Settings, keys: u64) -> Result<Run> {
    let checkpoints = format!("file://{}", directory.join("checkpoints").display());
    let mut settings: Vec<(&str, &str)> = settings;
    settings.extend([
        ("execution.checkpointing.dir", checkpoints.as_str()),
        ("taskmanager.memory.process.size", "4 gb"),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "10"),
        ("restart-strategy.fixed-delay.delay", "0 ms"),
    ]);
    let cluster = Cluster::start(&directory, 1, &settings).await?;
    let beats = Beats::listen()?;
    let spec = JobSpec {
        keys,
        records: None,
        per_second: Some(RATE.max(keys as f64 / 10.0)),
        parallelism: PARALLELISM,
        interval: Some(Duration::from_secs(1)),
        beats: Some(beats.address().to_owned()),
    };
    let program = cluster.run(&spec).await?;
    let running = Running {
        dispatcher: cluster.dispatcher.clone(),
        job: program.job,
    };
    running.until_running().await?;
    let what = "all keys are there";
    running
        .until(what, |job| Running::produced(job) > keys + keys / 20)
        .await?;
    let records = running.checkpoints(2).await?;
    let bytes = records.last().map(|it| it.bytes()).unwrap_or_default();
    let run = fail(&running, &beats, bytes).await?;
    cluster.end(program).await?;
    Ok(run)
}

async fn fail(running: &Running, beats: &Beats, bytes: u64) -> Result<Run> {
    let (_, victim) = *workers()?.last().context("the job has no workers")?;
    let killed = kill_worker(victim)?;
    let known = running
        .until("the failure is known", |job| {
            job.status != JobStatus::Running
        })
        .await?;
    let initializing = |job: &flott_jobmanager::JobSnapshot| {
        let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let begun = [ExecutionState::Initializing, ExecutionState::Running];
        job.status == JobStatus::Running && subtasks.all(|it| begun.contains(&it.state))
    };
    let restoring = running.until("tasks are restored", initializing).await?;
    let restored = running
        .until("all tasks run", |job| all_in(job, ExecutionState::Running))
        .await?;
    let (gap, first, replayed) = felt(beats, killed, restored).await?;
    Ok(Run {
        gap,
        detect: known - killed,
        cancel: restoring - known,
        restore: restored - restoring,
        first,
        replay: replayed - killed,
        bytes,
    })
}

/// The longest gap at a sink, how long after the restore it ended, and when all sinks had something new.
async fn felt(
    beats: &Beats,
    killed: Instant,
    restored: Instant,
) -> Result<(Duration, Duration, Instant)> {
    let deadline = Instant::now() + crate::running::PATIENCE;
    loop {
        let heard = beats.heard();
        let sinks = (0..u64::from(PARALLELISM)).map(|sink| {
            let of_sink = heard.iter().filter(|it| it.sink == sink).copied();
            felt_at(&of_sink.collect::<Vec<_>>(), killed, restored)
        });
        if let Some(sinks) = sinks.collect::<Option<Vec<_>>>() {
            let (gap, end, _) = sinks
                .iter()
                .max_by_key(|(gap, ..)| *gap)
                .context("there are sinks")?;
            let new = sinks.iter().map(|(.., new)| *new).max().unwrap_or(*end);
            return Ok((*gap, end.saturating_duration_since(restored), new));
        }
        anyhow::ensure!(Instant::now() < deadline, "nothing came after the failure");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The longest time without a record at a sink that ended after the kill, its end, and when there was something new.
fn felt_at(
    heard: &[Heard],
    killed: Instant,
    restored: Instant,
) -> Option<(Duration, Instant, Instant)> {
    let before = heard.iter().filter(|it| it.at < killed);
    let greatest = before.map(|it| it.greatest).max()?;
    let new = heard
        .iter()
        .find(|it| it.at > restored && it.greatest > greatest)?;
    let pairs = heard.windows(2).filter(|pair| pair[1].at > killed);
    let gaps = pairs.map(|pair| (pair[1].at - pair[0].at, pair[1].at));
    let (gap, end) = gaps.max_by_key(|(gap, _)| *gap)?;
    Some((gap, end, new.at))
}
