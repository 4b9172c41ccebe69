//! The gate, and the repairs that need no thought.

use std::process::Stdio;

use anyhow::Result;

use crate::tidy;
use crate::workspace::{cargo, run};

/// What needs a Hadoop; `scripts/test.sh` runs it.
const INTEGRATION: &str = "flott-integration-tests";

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
