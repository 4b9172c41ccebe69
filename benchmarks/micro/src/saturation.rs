//! The scheduler with both cores saturated: tasks on the scheduler against the same tasks on a thread each.

mod drive;
mod tasks;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::measure::timed;
use crate::process::Figures;
use tasks::Seen;

/// Threads of the scheduler.
const THREADS: usize = 2;

/// One row of the benchmark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) pipelines: usize,
    pub(crate) tasks: usize,
    pub(crate) rows: u64,
}

/// How long batches were on their way, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// The medians of several runs.
    pub(crate) fn median(runs: impl Iterator<Item = Self>) -> Option<Self> {
        let runs: Vec<Self> = runs.collect();
        let middle = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Self {
            p50: middle(|run| run.p50)?,
            p99: middle(|run| run.p99)?,
            max: middle(|run| run.max)?,
        })
    }
}

pub(crate) fn run(shape: Shape, on_scheduler: bool) -> Result<Figures> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let ((), cpu, wall) = timed(|| {
        let tasks = tasks::pipelines(shape.pipelines, shape.tasks, shape.rows, &seen);
        if on_scheduler {
            drive::scheduled(THREADS, tasks)
        } else {
            drive::threaded(tasks)
        }
    })?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let expected = shape.rows / shape.pipelines as u64 * shape.pipelines as u64;
    ensure!(
        seen.rows == expected,
        "{} rows of {expected} arrived",
        seen.rows
    );
    seen.latencies.sort_unstable();
    let at = |percent: usize| {
        let index = (seen.latencies.len() * percent / 100).min(seen.latencies.len() - 1);
        seen.latencies[index] as f64 / 1e6
    };
    Ok(Figures {
        events: expected,
        cpu_seconds: cpu.as_secs_f64(),
        wall_seconds: wall.as_secs_f64(),
        peak_bytes: 0,
        done: None,
        latency: Some(Latency {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }),
    })
}
