//! Children: this executable once more, with a configuration of its own: how many containers there
//! are decides whether exchanges are local or remote.

use std::process::{Command, Stdio};

use proptest::test_runner::{Config, TestRunner};

/// Names the program that a child runs.
const PROGRAM: &str = "FLOTT_TEST_PROGRAM";

/// Cases per child; `FLOTT_TEST_CASES` asks for more.
const CASES: u32 = 8;

/// Runs a program in one container, in several, and in one for each slot, in both modes.
pub(crate) fn run_everywhere(program: &str) {
    let streaming = [("8", "0 ms"), ("2", "1 ms"), ("1", "0 ms")];
    let streaming = streaming.map(|(slots, timeout)| (slots, timeout, "STREAMING"));
    let batch = [("8", "0 ms", "BATCH"), ("1", "0 ms", "BATCH")];
    for (slots, timeout, mode) in streaming.into_iter().chain(batch) {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "taskmanager.numberOfTaskSlots: {slots}\nexecution.buffer-timeout.interval: {timeout}\n\
             execution.runtime-mode: {mode}\n"
        );
        std::fs::write(directory.path().join("flott-conf.yaml"), text).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child::entry", "--exact", "--nocapture"])
            .env(PROGRAM, program)
            .env("FLOTT_CONF_DIR", directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "'{program}' in {mode} with {slots} slots: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Runs random cases.
pub(crate) fn runner() -> TestRunner {
    let cases_wanted = std::env::var("FLOTT_TEST_CASES");
    TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::with_cases(cases_wanted.map_or(CASES, |cases| cases.parse().unwrap()))
    })
}

/// In a child: its program.
#[test]
fn entry() {
    match std::env::var(PROGRAM).as_deref() {
        Err(_) => (),
        Ok("keyed") => crate::keyed::random_jobs(),
        Ok("interval") => crate::interval::random_jobs(),
        Ok("broadcast") => crate::broadcast::random_jobs(),
        Ok("connected") => crate::connected::random_jobs(),
        Ok("async") => crate::asynchronous::random_jobs(),
        Ok(other) => panic!("no program is called '{other}'"),
    }
}
