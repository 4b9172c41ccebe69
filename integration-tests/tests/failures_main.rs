//! Programs whose `main()` goes wrong, on YARN: one clear sentence, a non-zero exit, nothing left behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use flott_integration_tests::{Mode, Output, TestHadoop, check_left_nothing, test_job};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test job in both modes; what it says must contain the words, and the cause once.
fn check(program: &str, arguments: &[&str], words: &[&str], cause: &str) -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let call = mode
            .call(&hadoop, &[], &test_job(program)?, arguments)
            .run()?;
        call.check_failed(words)?;
        call.check_said_once(cause)?;
        check_end(&hadoop, mode, &call, cause)?;
    }
    Ok(())
}

/// In application mode YARN knows the cause; per-job there never was an application.
fn check_end(hadoop: &TestHadoop, mode: Mode, call: &Output, cause: &str) -> Result<()> {
    let ids = call.application_ids();
    let expected = usize::from(mode == Mode::Application);
    ensure!(ids.len() == expected, "{ids:?} in {}", call.text());
    for id in ids {
        let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
        assert_eq!(
            (report.state.as_str(), report.final_status.as_str()),
            ("FINISHED", "FAILED")
        );
        ensure!(report.diagnostics.contains(cause), "{}", report.diagnostics);
        check_left_nothing(hadoop, &id)?;
    }
    Ok(())
}

#[test]
fn main_returns_an_error() -> Result<()> {
    let cause = "the test job was told to fail before execute()";
    check(
        "fails-before-execute",
        &[],
        &["main()", "exit code 1"],
        cause,
    )
}

#[test]
fn main_panics() -> Result<()> {
    let cause = "the test job was told to panic in main()";
    check("panics-in-main", &[], &["main()", "panic"], cause)
}

#[test]
fn main_never_calls_execute() -> Result<()> {
    let cause = "ended without calling execute()";
    check("never-executes", &[], &["main()"], cause)
}

#[test]
fn main_exits_with_a_code() -> Result<()> {
    check("exits-with", &["--code", "3"], &["main()"], "exit code 3")?;
    let cause = "ended without calling execute()";
    check("exits-with", &["--code", "0"], &["main()"], cause)
}

/// A job that fails in its workers before anything runs: the cause is said once in whatever mode, YARN and the
/// JobManager know it, and the strategy is not asked if trying again cannot help.
fn check_on_worker(
    mode: Mode,
    options: &[&str],
    program: &str,
    arguments: &[&str],
) -> Result<(Output, String)> {
    let hadoop = TestHadoop::shared()?;
    let call = mode
        .call(&hadoop, options, &test_job(program)?, arguments)
        .run()?;
    call.check_failed(&[])?;
    let id = call.application_id()?;
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    assert_eq!(report.final_status, "FAILED", "{}", call.text());
    check_left_nothing(&hadoop, &id)?;
    Ok((call, report.diagnostics))
}

#[test]
fn another_graph_on_the_worker_is_named_and_not_tried_again() -> Result<()> {
    let restart = [
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.attempts=5",
        "-Drestart-strategy.fixed-delay.delay=60 s",
    ];
    for mode in Mode::BOTH {
        let (call, diagnostics) = check_on_worker(mode, &restart, "other-graph-on-worker", &[])?;
        call.check_failed(&["built another graph on the worker", "parallelism"])?;
        call.check_said_once("built another graph on the worker")?;
        ensure!(diagnostics.contains("parallelism"), "{diagnostics}");
        ensure!(!call.stderr.contains("exhausted"), "{}", call.text());
        ensure!(call.elapsed < PATIENCE, "it was tried again after a minute");
    }
    Ok(())
}

#[test]
fn main_goes_wrong_on_the_worker_only() -> Result<()> {
    for (program, words) in [
        (
            "fails-before-execute",
            ["exit code 1", "told to fail before execute()"],
        ),
        (
            "panics-in-main",
            ["exit code 101", "told to panic in main()"],
        ),
        ("exits-with", ["exit code 3", "main()"]),
    ] {
        let (call, diagnostics) =
            check_on_worker(Mode::PerJob, &[], program, &["--only-in", "worker"])?;
        call.check_failed(&words)?;
        for word in words {
            ensure!(diagnostics.contains(word), "no {word:?} in {diagnostics}");
        }
        call.check_said_once(words[0])?;
    }
    Ok(())
}
