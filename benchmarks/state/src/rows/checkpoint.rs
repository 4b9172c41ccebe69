//! How long a checkpoint of so many keys takes, and how many bytes it has, while records come as fast as they can.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::{Figures, Setting, Settings, in_cluster, median};
use crate::cluster::Cluster;
use crate::job::JobSpec;
use crate::running::{Running, duration};

const PARALLELISM: u32 = 2;
const CHECKPOINTS: usize = 5;

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
    let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Ok(Figures {
        row: name.to_owned(),
        values: vec![
            ("duration", of(|run| run.duration), "ms"),
            ("bytes", of(|run| run.bytes) / 1e6, "MB"),
            ("longest synchronous part", of(|run| run.synchronous), "ms"),
            ("keys", keys as f64, ""),
        ],
        goals: Vec::new(),
    })
}

struct Run {
    duration: f64,
    bytes: f64,
    synchronous: f64,
}

async fn run(directory: PathBuf, settings: Settings, keys: u64) -> Result<Run> {
    let checkpoints = format!("file://{}", directory.join("checkpoints").display());
    let mut settings: Vec<(&str, &str)> = settings;
    settings.push(("execution.checkpointing.dir", &checkpoints));
    settings.push(("taskmanager.memory.process.size", "4 gb"));
    let cluster = Cluster::start(&directory, PARALLELISM, &settings).await?;
    let spec = JobSpec {
        keys,
        records: None,
        per_second: None,
        parallelism: PARALLELISM,
        interval: Some(Duration::from_secs(1)),
        beats: None,
    };
    let program = cluster.run(&spec).await?;
    let running = Running {
        dispatcher: cluster.dispatcher.clone(),
        job: program.job,
    };
    running.until_running().await?;
    let what = "all keys are there";
    running
        .until(what, |job| Running::produced(job) > keys + keys / 4)
        .await?;
    let records = running.checkpoints(CHECKPOINTS + 1).await?;
    // The first may have begun before all keys were there.
    let records = &records[1..];
    let durations = records.iter().filter_map(duration);
    let subtasks = records
        .iter()
        .flat_map(|record| &record.vertices)
        .flat_map(|vertex| vertex.subtasks.iter().flatten());
    let run = Run {
        duration: median(durations.map(|it| it.as_secs_f64() * 1e3).collect()),
        bytes: median(records.iter().map(|it| it.bytes() as f64).collect()),
        synchronous: subtasks.map(|it| it.sync_ms).max().unwrap_or_default() as f64,
    };
    cluster.end(program).await?;
    Ok(run)
}
