//! Children: this executable once more, with settings of its own: how many containers there are
//! decides whether exchanges are local or remote.

use std::process::{Command, Stdio};

use proptest::test_runner::{Config, TestRunner};

/// Names the program that a child runs.
const PROGRAM: &str = "FLOTT_TEST_PROGRAM";

/// Cases per child; `FLOTT_TEST_CASES` asks for more.
const CASES: u32 = 8;

/// Runs a program in one container, in several, and in one for each slot.
pub(crate) fn run_everywhere(program: &str) {
    for (slots, timeout) in [("8", "0 ms"), ("3", "1 ms"), ("1", "0 ms")] {
        run(
            program,
            &[
                ("taskmanager.numberOfTaskSlots", slots),
                ("execution.buffer-timeout.interval", timeout),
            ],
        );
    }
}

/// Runs a program under these settings.
pub(crate) fn run(program: &str, settings: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    let lines = settings
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"));
    let text: String = lines.collect();
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
        "'{program}' under {settings:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
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
        Ok("random") => crate::random::random_jobs(),
        Ok("late") => crate::late::random_jobs(),
        Ok("joins") => crate::joins::random_jobs(),
        Ok("batch") => crate::batch::random_jobs(),
        Ok(other) => panic!("no program is called '{other}'"),
    }
}
