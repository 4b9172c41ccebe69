//! What checkpoints take from throughput: the same records with one each second, and without.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use flott_model::JobStatus;

use super::{Figures, Goal, Setting, Settings, in_cluster};
use crate::cluster::Cluster;
use crate::job::JobSpec;
use crate::running::Running;

const PARALLELISM: u32 = 2;
const RECORDS: u64 = 60_000_000;

pub(super) fn measure(
    setting: &Setting,
    name: &str,
    settings: &Settings,
    keys: u64,
) -> Result<Figures> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    // In turn: what else the machine does meets both.
    for _ in 0..setting.runs {
        for (interval, runs) in [
            (None, &mut without),
            (Some(Duration::from_secs(1)), &mut with),
        ] {
            let settings = settings.clone();
            runs.push(in_cluster(setting, name, |directory| {
                run(directory, settings, keys, interval)
            })??);
        }
    }
    let best = |runs: &[Run]| {
        runs.iter()
            .map(|run| run.seconds)
            .fold(f64::INFINITY, f64::min)
    };
    let share = best(&without) / best(&with);
    let speed = |seconds: f64| RECORDS as f64 / seconds / 1e6;
    let taken = with.iter().map(|run| run.checkpoints).max();
    Ok(Figures {
        row: name.to_owned(),
        values: vec![
            ("with", speed(best(&with)), "M/s"),
            ("without", speed(best(&without)), "M/s"),
            ("share", share, ""),
            ("checkpoints", taken.unwrap_or_default() as f64, ""),
        ],
        goals: vec![Goal {
            figure: "share",
            value: share,
            bound: 0.95,
            at_least: true,
        }],
    })
}

struct Run {
    seconds: f64,
    checkpoints: u64,
}

async fn run(
    directory: PathBuf,
    settings: Settings,
    keys: u64,
    interval: Option<Duration>,
) -> Result<Run> {
    let checkpoints = format!("file://{}", directory.join("checkpoints").display());
    let mut settings: Vec<(&str, &str)> = settings;
    settings.push(("execution.checkpointing.dir", &checkpoints));
    settings.push(("taskmanager.memory.process.size", "4 gb"));
    let cluster = Cluster::start(&directory, PARALLELISM, &settings).await?;
    let spec = JobSpec {
        keys,
        records: Some(RECORDS),
        per_second: None,
        parallelism: PARALLELISM,
        interval,
        beats: None,
    };
    let program = cluster.run(&spec).await?;
    let running = Running {
        dispatcher: cluster.dispatcher.clone(),
        job: program.job,
    };
    let begin = running.until_running().await?;
    let job = cluster.dispatcher.wait(program.job).await;
    let seconds = begin.elapsed().as_secs_f64();
    let job = job.context("the job was just submitted")?;
    anyhow::ensure!(
        job.status == JobStatus::Finished,
        "the job is {}",
        job.status
    );
    let checkpoints = job.checkpoints.counts.completed;
    cluster.end(program).await?;
    Ok(Run {
        seconds,
        checkpoints,
    })
}
