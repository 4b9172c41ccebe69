//! The table and the JSON.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process::{Best, Figures};
use crate::rows::Row;

/// The table's head.
pub(crate) fn head() {
    println!(
        "M/cpu-s: million events per second of processor time, best run. Peak: resident memory, worst run."
    );
    println!(
        "Other: a loop by hand, or (saturation) a thread for each task. Latency: median run.\n"
    );
    println!(
        "{:<18} {:>8} {:>8} {:>6} {:>7} {:>7} {:>8}  {:<24} judgement",
        "row", "M/cpu-s", "other", "share", "floor", "aim", "peak MB", "p99 ms (other)"
    );
}

/// A line of the table.
pub(crate) fn row(row: &Row, best: &Best) {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.0}"));
    let latency = match (best.flott.latency, best.other.latency) {
        (Some(flott), Some(other)) => format!("{:.3} ({:.3})", flott.p99, other.p99),
        _ => String::new(),
    };
    println!(
        "{:<18} {:>8.1} {:>8.1} {:>6.2} {:>7} {:>7} {:>8.0}  {:<24} {}",
        row.name,
        best.flott.speed(),
        best.other.speed(),
        best.flott.speed() / best.other.speed(),
        number(row.targets.floor),
        number(row.targets.aim),
        megabytes(&best.flott),
        latency,
        judgement(row, best).join("; ")
    );
}

fn megabytes(figures: &Figures) -> f64 {
    figures.peak_bytes as f64 / 1e6
}

/// What is missed, or how good it is.
fn judgement(row: &Row, best: &Best) -> Vec<String> {
    let (targets, flott) = (&row.targets, &best.flott);
    let mut missed = Vec::new();
    if let Some(floor) = targets.floor.filter(|floor| flott.speed() < *floor) {
        missed.push(format!("MISSED: at least {floor:.0} M/cpu-s"));
    }
    if let Some(most) = targets
        .cpu_ns
        .filter(|most| flott.cpu_ns_per_event() > *most)
    {
        missed.push(format!("MISSED: at most {most} cpu-ns per event"));
    }
    if let (true, Some(own), Some(other)) =
        (targets.p99_as_threads, flott.latency, best.other.latency)
        && own.p99 > other.p99
    {
        missed.push("MISSED: p99 not above one thread per task".to_owned());
    }
    if megabytes(flott) > targets.megabytes {
        missed.push(format!("MISSED: at most {} MB", targets.megabytes));
    }
    if missed.is_empty() {
        let reached = targets.aim.is_some_and(|aim| flott.speed() >= aim);
        missed.push(if reached { "aim reached" } else { "holds" }.to_owned());
    }
    missed
}

/// All figures, to a file or below the table.
pub(crate) fn json(results: &[(&Row, Best)], file: Option<&Path>) -> Result<()> {
    let rows: Vec<Value> = results
        .iter()
        .map(|(row, best)| {
            let targets = &row.targets;
            json!({
                "row": row.name,
                "flott": side(&best.flott),
                "other": side(&best.other),
                "targets": {
                    "floor": targets.floor,
                    "aim": targets.aim,
                    "cpu_ns": targets.cpu_ns,
                    "megabytes": targets.megabytes,
                },
                "judgement": judgement(row, best),
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows)?;
    match file {
        Some(file) => std::fs::write(file, text).context("writing the JSON")?,
        None => println!("\n{text}"),
    }
    Ok(())
}

fn side(figures: &Figures) -> Value {
    json!({
        "events": figures.events,
        "cpu_ns_per_event": figures.cpu_ns_per_event(),
        "million_per_cpu_second": figures.speed(),
        "wall_seconds": figures.wall_seconds,
        "peak_megabytes": megabytes(figures),
        "latency_ms": figures.latency,
    })
}
