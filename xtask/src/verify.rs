//! The gate, and the repairs that need no thought.

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
    tidy::tidy()
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
