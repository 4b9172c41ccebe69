//! The table and the JSON.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::rows::{Figures, Goal};

/// The table's head, with how busy the machine is: the figures are those of a machine that may have more to do.
pub(crate) fn head() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores; load of the machine at the begin: {}",
        load()
    );
    println!("Medians of the runs; throughput: the best run of each side.\n");
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first: Vec<&str> = load.split_whitespace().take(3).collect();
    first.join(" ")
}

/// A row of the table.
pub(crate) fn row(figures: &Figures) {
    println!("{:<30} load {}", figures.row, load());
    for (name, value, unit) in &figures.values {
        let places = if value.abs() < 10.0 { 3 } else { 1 };
        println!("  {name:<26} {value:>12.places$} {unit}");
    }
    for goal in &figures.goals {
        println!("  {}", goal.sentence());
    }
}

/// All figures, to a file or below the table.
pub(crate) fn json(results: &[Figures], file: Option<&Path>) -> Result<()> {
    let missed = results.iter().flat_map(|figures| &figures.goals);
    let missed = missed.filter(|goal| !Goal::held(goal)).count();
    let rows: Vec<Value> = results.iter().map(Figures::to_json).collect();
    let text = serde_json::to_string_pretty(&json!({"rows": rows, "load": load()}))?;
    println!("\n{missed} goals missed");
    match file {
        Some(file) => std::fs::write(file, text).context("writing the JSON")?,
        None => println!("\n{text}"),
    }
    Ok(())
}
