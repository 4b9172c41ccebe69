//! The table of what is measured, with the goals.

mod checkpoint;
mod failover;
mod synchronous;
mod throughput;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::report;

/// What a row is measured with.
pub(crate) struct Setting {
    pub(crate) only: String,
    pub(crate) runs: u32,
    pub(crate) scratch: PathBuf,
    pub(crate) keep: bool,
}

/// A row of the result.
pub(crate) struct Figures {
    pub(crate) row: String,
    /// Name, value, unit.
    pub(crate) values: Vec<(&'static str, f64, &'static str)>,
    pub(crate) goals: Vec<Goal>,
}

/// What a figure should be.
pub(crate) struct Goal {
    pub(crate) figure: &'static str,
    pub(crate) value: f64,
    pub(crate) bound: f64,
    /// At least that much; else at most.
    pub(crate) at_least: bool,
}

impl Goal {
    pub(crate) fn held(&self) -> bool {
        if self.at_least {
            self.value >= self.bound
        } else {
            self.value <= self.bound
        }
    }

    pub(crate) fn sentence(&self) -> String {
        let (word, than) = if self.held() {
            ("held", "")
        } else {
            ("MISSED", "")
        };
        let bound = if self.at_least { "at least" } else { "at most" };
        format!("{word}{than}: {} {bound} {}", self.figure, self.bound)
    }
}

impl Figures {
    pub(crate) fn to_json(&self) -> Value {
        let values = self.values.iter();
        let values =
            values.map(|(name, value, unit)| json!({"figure": name, "value": value, "unit": unit}));
        let goals = self.goals.iter().map(|goal| {
            json!({
                "figure": goal.figure,
                "bound": goal.bound,
                "at_least": goal.at_least,
                "held": goal.held(),
            })
        });
        json!({
            "row": self.row,
            "values": values.collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    }
}

/// The state backends: a row for each. RocksDB is not among them yet: this program is built without it.
const BACKENDS: &[(&str, &[(&str, &str)])] = &[("heap", &[])];

/// Where tasks find their state after a failure: who survives in memory, who takes the place of the killed one in storage
/// or in the container; or all in storage.
const MEMORY: &[(&str, &str)] = &[];
const LOCAL: &[(&str, &str)] = &[("execution.checkpointing.local-backup.enabled", "true")];
const STORAGE: &[(&str, &str)] = &[("execution.state-recovery.from-local", "false")];

type Settings = Vec<(&'static str, &'static str)>;
type Measure = fn(&Setting, &str, &Settings, u64) -> Result<Figures>;

struct Row {
    name: &'static str,
    keys: u64,
    settings: &'static [(&'static str, &'static str)],
    /// Whether the backend makes a difference.
    backends: bool,
    measure: Measure,
}

const fn row(name: &'static str, keys: u64, measure: Measure) -> Row {
    Row {
        name,
        keys,
        settings: &[],
        backends: true,
        measure,
    }
}

const fn failover(
    name: &'static str,
    keys: u64,
    settings: &'static [(&'static str, &'static str)],
) -> Row {
    Row {
        settings,
        ..row(name, keys, failover::measure)
    }
}

const ROWS: &[Row] = &[
    row("checkpoint-1m", 1_000_000, checkpoint::measure),
    row("checkpoint-10m", 10_000_000, checkpoint::measure),
    row("throughput-1m", 1_000_000, throughput::measure),
    Row {
        backends: false,
        ..row("synchronous-1m", 1_000_000, synchronous::measure)
    },
    Row {
        backends: false,
        ..row("synchronous-10m", 10_000_000, synchronous::measure)
    },
    failover("failover-1m-memory", 1_000_000, MEMORY),
    failover("failover-1m-local", 1_000_000, LOCAL),
    failover("failover-1m-storage", 1_000_000, STORAGE),
    failover("failover-10m-memory", 10_000_000, MEMORY),
    failover("failover-10m-local", 10_000_000, LOCAL),
    failover("failover-10m-storage", 10_000_000, STORAGE),
];

/// Measures the rows that are wanted, and prints each.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Figures>> {
    let mut results = Vec::new();
    for row in ROWS {
        let backends = if row.backends {
            BACKENDS
        } else {
            &BACKENDS[..1]
        };
        for (backend, of_backend) in backends {
            let name = format!("{} {backend}", row.name);
            if !name.contains(&setting.only) {
                continue;
            }
            let settings = row.settings.iter().chain(*of_backend).copied().collect();
            let figures = (row.measure)(setting, &name, &settings, row.keys);
            let figures = figures.with_context(|| format!("measuring {name}"))?;
            report::row(&figures);
            results.push(figures);
        }
    }
    anyhow::ensure!(
        !results.is_empty(),
        "no row's name contains {:?}",
        setting.only
    );
    Ok(results)
}

/// The middle one; of none, 0.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The one below which that share of the values is.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share).ceil() as usize;
    let at = at.clamp(1, values.len().max(1)) - 1;
    values.get(at).copied().unwrap_or_default()
}

/// A directory for a run, and a runtime for its cluster.
fn in_cluster<F>(setting: &Setting, name: &str, run: impl FnOnce(PathBuf) -> F) -> Result<F::Output>
where
    F: Future,
{
    let mut at = 0;
    let directory = loop {
        let directory = setting
            .scratch
            .join(format!("{}-{at}", name.replace(' ', "-")));
        if !directory.exists() {
            break directory;
        }
        at += 1;
    };
    std::fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let output = runtime.block_on(run(directory.clone()));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    if !setting.keep {
        std::fs::remove_dir_all(&directory).context("removing what a run left")?;
    }
    Ok(output)
}
