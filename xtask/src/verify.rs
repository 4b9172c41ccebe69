//! Chores that are a few calls of cargo: the gate, the repairs that need no thought, the benchmarks.

use std::path::Path;
use std::process::Stdio;

use anyhow::Result;

use crate::tidy;
use crate::workspace::{cargo, run};

/// What needs a Hadoop; `scripts/test.sh` runs it.
const INTEGRATION: &str = "flott-integration-tests";
const BENCHMARKS: &str = "flott-benchmarks";
const STATE_BENCHMARKS: &str = "flott-benchmarks-state";

pub(crate) fn verify() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    run(cargo().args(["test", "--workspace", "--exclude", INTEGRATION]))?;
    run(cargo()
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["doc", "--workspace", "--no-deps"]))?;
    tidy::tidy()?;
    deny()
}

/// Licences, sources and banned packages; the tool is no part of the toolchain and takes minutes to build.
fn deny() -> Result<()> {
    let installed = cargo()
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !installed {
        println!("skipped: cargo deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    run(cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}

pub(crate) fn fix() -> Result<()> {
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ]))?;
    run(cargo().args(["fmt", "--all"]))
}

/// The program is where the harness is: it needs the development Hadoop and the tests' view of it.
pub(crate) fn bench_startup(runs: u32) -> Result<()> {
    run(cargo().args([
        "run",
        "--release",
        "--package",
        INTEGRATION,
        "--bin",
        "bench-startup",
        "--",
        &runs.to_string(),
    ]))
}

/// The program is a user's: it needs the SDK, which this one must not know.
pub(crate) fn bench_micro(only: Option<&str>, runs: u32, json: Option<&Path>) -> Result<()> {
    bench(BENCHMARKS, only, runs, json)
}

/// The same.
pub(crate) fn bench_state(only: Option<&str>, runs: u32, json: Option<&Path>) -> Result<()> {
    bench(STATE_BENCHMARKS, only, runs, json)
}

fn bench(package: &str, only: Option<&str>, runs: u32, json: Option<&Path>) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--release", "--package", package, "--"]);
    command.args(["--runs", &runs.to_string()]);
    if let Some(only) = only {
        command.args(["--only", only]);
    }
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    run(&mut command)
}
