//! Many subtasks and many channels in one process: they work, and within how much memory.
#![allow(clippy::expect_used, reason = "tests")]

use std::process::Command;

use serde_json::Value;

/// The figures of one run of a row, with so many events.
fn run(row: &str, events: u64) -> Value {
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_bench-micro"))
        .args(["--only", row, "--side", "flott"])
        .args(["--events", &events.to_string(), "--scratch"])
        .arg(scratch.path())
        .env("FLOTT_CONF_DIR", scratch.path())
        .output()
        .expect("the program was built");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{row}: {text}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn megabytes(figures: &Value) -> u64 {
    let bytes = figures["peak_bytes"].as_u64();
    bytes.expect("the memory is measured") / 1_000_000
}

#[test]
fn ten_thousand_channels_fit_into_150_megabytes() {
    let figures = run("channels-10000", 2_000_000);
    assert_eq!(figures["done"]["records"], 2_000_000);
    assert!(megabytes(&figures) <= 150, "{figures}");
}

#[test]
fn a_thousand_subtasks_work() {
    let events = 1_000_000_u64;
    let figures = run("subtasks-1000", events);
    assert_eq!(figures["done"]["records"], events);
    // Each number, and two for each.
    assert_eq!(
        figures["done"]["checksum"],
        events * (events + 1) / 2 + 2 * events
    );
    assert!(megabytes(&figures) <= 200, "{figures}");
}
