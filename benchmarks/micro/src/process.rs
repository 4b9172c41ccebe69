//! A measurement is a process of its own: its memory and its processor time are its own, too.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::jobs::{Done, Setting, wordcount};
use crate::measure::{peak_resident, timed};
use crate::rows::{ROWS, Row, What};
use crate::saturation::{self, Latency};

/// Which side of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    Flott,
    Other,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Flott => "flott",
            Self::Other => "other",
        }
    }
}

/// The figures of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) events: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) done: Option<Done>,
    pub(crate) latency: Option<Latency>,
}

impl Figures {
    pub(crate) fn cpu_ns_per_event(&self) -> f64 {
        self.cpu_seconds * 1e9 / self.events as f64
    }

    /// Million events per second of processor time.
    pub(crate) fn speed(&self) -> f64 {
        self.events as f64 / self.cpu_seconds / 1e6
    }

    /// The best of several runs; of memory and latency, where a good run proves nothing, the worst and the median.
    fn best(runs: Vec<Self>) -> Option<Self> {
        let first = runs.first()?.clone();
        let fold = |of: fn(&Self) -> f64| runs.iter().map(of).fold(f64::INFINITY, f64::min);
        let (cpu_seconds, wall_seconds) =
            (fold(|run| run.cpu_seconds), fold(|run| run.wall_seconds));
        let peak_bytes = runs.iter().map(|run| run.peak_bytes).max()?;
        Some(Self {
            cpu_seconds,
            wall_seconds,
            peak_bytes,
            latency: Latency::median(runs.iter().filter_map(|run| run.latency)),
            ..first
        })
    }
}

/// The best of several runs of each side.
pub(crate) struct Best {
    pub(crate) flott: Figures,
    pub(crate) other: Figures,
}

/// Measures both sides of a row in turn.
pub(crate) fn measure(row: &Row, runs: u32, scratch: &Path) -> Result<Best> {
    if row.name.starts_with("wordcount") {
        wordcount::prepare(scratch)?;
    }
    let (mut flott, mut other) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (side, all) in [(Side::Flott, &mut flott), (Side::Other, &mut other)] {
            let figures = spawn(row, side, scratch);
            all.push(figures.with_context(|| format!("{} ({})", row.name, side.as_str()))?);
        }
    }
    let (Some(flott), Some(other)) = (Figures::best(flott), Figures::best(other)) else {
        bail!("no run was asked for");
    };
    ensure!(
        flott.done == other.done,
        "{}: the two sides do not agree: {:?} and {:?}",
        row.name,
        flott.done,
        other.done
    );
    Ok(Best { flott, other })
}

fn spawn(row: &Row, side: Side, scratch: &Path) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command
        .args(["--only", row.name, "--side", side.as_str(), "--scratch"])
        .arg(scratch)
        .env("FLOTT_CONF_DIR", configuration(row, scratch)?)
        .stderr(Stdio::inherit());
    let output = command.output().context("starting a run")?;
    ensure!(output.status.success(), "the run ended: {}", output.status);
    serde_json::from_slice(&output.stdout).context("reading the run's figures")
}

/// A directory with the configuration of the row.
fn configuration(row: &Row, scratch: &Path) -> Result<std::path::PathBuf> {
    let directory = scratch.join(row.name);
    std::fs::create_dir_all(&directory).context("creating a configuration")?;
    let slots = match row.what {
        What::Job {
            slots: Some(slots), ..
        } => format!("taskmanager.numberOfTaskSlots: {slots}\n"),
        What::Job { slots: None, .. } | What::Saturation(_) => String::new(),
    };
    std::fs::write(directory.join("flott-conf.yaml"), slots).context("writing it")?;
    Ok(directory)
}

/// Measures one side here, and prints the figures.
pub(crate) fn measure_here(
    name: &str,
    side: Side,
    fewer: Option<u64>,
    scratch: &Path,
) -> Result<()> {
    let row = ROWS.iter().find(|row| row.name == name);
    let row = row.with_context(|| format!("there is no row {name:?}"))?;
    let mut figures = match row.what {
        What::Job {
            job,
            by_hand,
            events,
            parallelism,
            ..
        } => {
            let events = fewer.unwrap_or(events);
            let setting = Setting {
                events,
                parallelism,
                scratch,
            };
            let run = if side == Side::Flott { job } else { by_hand };
            let (done, cpu, wall) = timed(|| run(&setting))?;
            Figures {
                events,
                cpu_seconds: cpu.as_secs_f64(),
                wall_seconds: wall.as_secs_f64(),
                peak_bytes: 0,
                done: Some(done),
                latency: None,
            }
        }
        What::Saturation(shape) => saturation::run(shape, side == Side::Flott)?,
    };
    figures.peak_bytes = peak_resident()?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
