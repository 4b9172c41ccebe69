//! User functions that panic, abort or kill their process, on YARN: what the user, YARN and the JobManager are told.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    JobManager, Mode, Output, TestHadoop, check_left_nothing, expected_sums, largest_counts,
    test_job, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of 100,000 numbers in four subtasks the second has the 30,000th.
const SECOND_OF_FOUR: &[&str] = &["--parallelism", "4", "--at", "30000"];
const TWO_SLOTS: &str = "-Dtaskmanager.numberOfTaskSlots=2";

/// Runs a job that fails, in both modes; gives what was said and YARN's diagnostics.
fn failed(mode: Mode, options: &[&str], program: &str) -> Result<(Output, String)> {
    let hadoop = TestHadoop::shared()?;
    let mut all = vec![TWO_SLOTS];
    all.extend(options);
    let call = mode
        .call(&hadoop, &all, &test_job(program)?, SECOND_OF_FOUR)
        .run()?;
    let id = call.application_id()?;
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    assert_eq!(report.final_status, "FAILED", "{}", call.text());
    check_left_nothing(&hadoop, &id)?;
    Ok((call, report.diagnostics))
}

/// Both the call and the diagnostics say all of this, the call the first of it once.
fn check_said(mode: Mode, options: &[&str], program: &str, words: &[&str]) -> Result<()> {
    let (call, diagnostics) = failed(mode, options, program)?;
    call.check_failed(words)?;
    call.check_said_once(words[0])?;
    for word in words {
        ensure!(diagnostics.contains(word), "no {word:?} in {diagnostics}");
    }
    Ok(())
}

#[test]
fn a_panic_is_told_with_its_task_and_its_place() -> Result<()> {
    let words = [
        "record 30000 does not suit the test job",
        "unreliable",
        "(2/4)",
        "container_",
        "127.0.0.",
    ];
    for mode in Mode::BOTH {
        check_said(mode, &[], "panics-in-map", &words)?;
    }
    Ok(())
}

#[test]
fn an_abort_is_told_in_words() -> Result<()> {
    for mode in Mode::BOTH {
        check_said(
            mode,
            &[],
            "aborts-in-map",
            &["SIGABRT", "abort", "container_", "127.0.0."],
        )?;
    }
    Ok(())
}

#[test]
fn a_killed_worker_is_told_in_words() -> Result<()> {
    for mode in Mode::BOTH {
        check_said(
            mode,
            &[],
            "kills-itself",
            &["killed by SIGKILL", "container_", "127.0.0."],
        )?;
    }
    Ok(())
}

#[test]
fn restarts_are_counted_and_their_end_is_told() -> Result<()> {
    let restart = [
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.attempts=2",
        "-Drestart-strategy.fixed-delay.delay=100 ms",
    ];
    let words = ["exhausted after 2 restarts"];
    for program in ["panics-in-map", "aborts-in-map", "kills-itself"] {
        check_said(Mode::PerJob, &restart, program, &words)?;
    }
    check_said(Mode::Application, &restart, "panics-in-map", &words)
}

/// A job that fails again and again until it is cancelled; how it looks in REST after some failures.
#[test]
fn rest_tells_every_failure() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let restart = [
        TWO_SLOTS,
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.attempts=2",
        // So that there is a state to look at.
        "-Drestart-strategy.fixed-delay.delay=3 s",
    ];
    let mut running = Mode::PerJob
        .call(
            &hadoop,
            &restart,
            &test_job("panics-in-map")?,
            SECOND_OF_FOUR,
        )
        .spawn()?;
    let id = running.wait_for_application_id(PATIENCE)?;
    let manager = hadoop.yarn().wait_for_job_manager(&id, PATIENCE)?;
    let job = manager.only_job()?;
    for restart in 1..=2 {
        wait_until(&format!("restart {restart}"), PATIENCE, || {
            let restarting = manager.details(&job)?["state"] == "RESTARTING";
            Ok(restarting && manager.failures(&job)? == restart)
        })?;
        check_exceptions(&manager, &job)?;
    }
    let call = running.wait()?;
    call.check_failed(&["exhausted after 2 restarts"])?;
    check_left_nothing(&hadoop, &id)
}

fn check_exceptions(manager: &JobManager, job: &str) -> Result<()> {
    let exceptions = manager.exceptions(job)?;
    let newest = &exceptions["exceptionHistory"]["entries"][0];
    let text = |name: &str| newest[name].as_str().with_context(|| format!("{newest}"));
    ensure!(text("taskName")?.ends_with("(2/4)"), "{newest}");
    ensure!(
        text("stacktrace")?.contains("record 30000 does not suit"),
        "{newest}"
    );
    ensure!(text("location")?.contains("container_"), "{newest}");
    ensure!(text("location")?.contains("127.0.0."), "{newest}");
    let root = exceptions["root-exception"].as_str().unwrap_or_default();
    ensure!(root.contains("record 30000 does not suit"), "{exceptions}");
    Ok(())
}

#[test]
fn after_one_failure_the_job_runs_again_and_its_result_is_right() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let restart = [
        TWO_SLOTS,
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.delay=100 ms",
    ];
    for program in ["panics-in-map", "aborts-in-map", "kills-itself"] {
        let markers = tempfile::tempdir()?;
        let marker = markers.path().join("failed-once");
        let output = format!("/out/once-{program}");
        hadoop.hdfs().delete(&output)?;
        let arguments = [
            "--marker",
            &marker.to_string_lossy(),
            "--output",
            &format!("hdfs://{output}"),
        ]
        .map(str::to_owned);
        let call = Mode::PerJob
            .call(&hadoop, &restart, &test_job(program)?, SECOND_OF_FOUR)
            .args(arguments)
            .run()?;
        ensure!(call.success(), "{}", call.text());
        ensure!(marker.exists(), "it failed once");
        let sums = largest_counts(&hadoop.hdfs().read_output(&output)?)?;
        assert_eq!(sums, expected_sums(100_000, 100));
    }
    Ok(())
}

#[test]
fn a_failed_job_leaves_no_output() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let output = format!("/out/failed-{}", mode.name());
        hadoop.hdfs().delete(&output)?;
        let call = mode
            .call(
                &hadoop,
                &[TWO_SLOTS],
                &test_job("panics-in-map")?,
                SECOND_OF_FOUR,
            )
            .args(["--output", &format!("hdfs://{output}")])
            .run()?;
        call.check_failed(&["record 30000 does not suit the test job"])?;
        check_left_nothing(&hadoop, &call.application_id()?)?;
        assert_eq!(hadoop.hdfs().status(&output)?, None);
    }
    Ok(())
}
