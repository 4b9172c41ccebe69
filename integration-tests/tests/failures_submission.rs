//! Submissions that are refused, cancelled, interrupted or made twice, on YARN.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    Mode, Running, TestHadoop, check_left_nothing, dist_directory, expected_sums, largest_counts,
    test_job, wait_until,
};
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_output_that_exists_is_refused_in_the_cluster_too() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    hadoop
        .hdfs()
        .put("/out/exists-in-cluster/part-0", "precious")?;
    let arguments = ["--output", "hdfs:///out/exists-in-cluster"];
    for mode in Mode::BOTH {
        let call = mode
            .call(&hadoop, &[], &test_job("counts")?, arguments)
            .run()?;
        call.check_failed(&["/out/exists-in-cluster", "exist"])?;
        for id in call.application_ids() {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "FAILED");
            let said = report.diagnostics;
            ensure!(said.contains("/out/exists-in-cluster"), "{said}");
            check_left_nothing(&hadoop, &id)?;
        }
        let kept = hadoop.hdfs().get_text("/out/exists-in-cluster/part-0")?;
        assert_eq!(kept, "precious");
    }
    Ok(())
}

#[test]
fn a_missing_input_is_refused_in_the_cluster_too() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let program = dist_directory().join("examples/wordcount");
    let arguments = [
        "--input",
        "hdfs:///data/never-there",
        "--output",
        "hdfs:///out/never-there",
    ];
    for mode in Mode::BOTH {
        let call = mode.call(&hadoop, &[], &program, arguments).run()?;
        call.check_failed(&["/data/never-there"])?;
        for id in call.application_ids() {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "FAILED");
            let said = report.diagnostics;
            ensure!(said.contains("/data/never-there"), "{said}");
            check_left_nothing(&hadoop, &id)?;
        }
        assert_eq!(hadoop.hdfs().status("/out/never-there")?, None);
    }
    Ok(())
}

/// A job that never ends by itself, once all its tasks run.
fn sleeper(hadoop: &TestHadoop, mode: Mode, options: &[&str]) -> Result<(Running, String)> {
    let arguments = ["--parallelism", "1"];
    let mut client = mode
        .call(hadoop, options, &test_job("sleeper")?, arguments)
        .spawn()?;
    let id = client.wait_for_application_id(PATIENCE)?;
    let manager = hadoop.yarn().wait_for_job_manager(&id, PATIENCE)?;
    wait_until("the job to run", PATIENCE, || {
        let jobs = manager.jobs()?;
        jobs.first()
            .map_or(Ok(false), |job| manager.is_running(job))
    })?;
    client.wait_for_text("Running", PATIENCE)?;
    Ok((client, id))
}

#[test]
fn a_killed_application_ends_its_client() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let (client, id) = sleeper(&hadoop, mode, &[])?;
        hadoop.yarn().kill(&id)?;
        let call = client.wait()?;
        call.check_failed(&["KILLED", &id])?;
        assert_eq!(hadoop.yarn().application(&id)?.state, "KILLED");
        check_left_nothing(&hadoop, &id)?;
    }
    Ok(())
}

#[test]
fn a_cancelled_job_ends_its_application_in_step() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let (client, id) = sleeper(&hadoop, mode, &[])?;
        let manager = hadoop.yarn().job_manager(&id)?.context("it runs")?;
        manager.cancel(&manager.only_job()?)?;
        let call = client.wait()?;
        call.check_failed(&["CANCELED"])?;
        let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
        assert_eq!(report.final_status, "KILLED", "{}", report.diagnostics);
        ensure!(
            report.diagnostics.contains("cancelled"),
            "{}",
            report.diagnostics
        );
        check_left_nothing(&hadoop, &id)?;
    }
    Ok(())
}

#[test]
fn interrupted_after_it_runs_the_application_goes_on() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let (client, id) = sleeper(&hadoop, mode, &[])?;
        client.signal(Signal::SIGINT)?;
        let call = client.wait()?;
        ensure!(!call.success(), "{}", call.text());
        ensure!(call.stderr.contains("goes on running"), "{}", call.text());
        let manager = hadoop.yarn().job_manager(&id)?.context("it runs")?;
        ensure!(manager.is_running(&manager.only_job()?)?, "the job runs");
        hadoop.yarn().kill(&id)?;
        hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    }
    Ok(())
}

#[test]
fn interrupted_with_sae_the_application_ends() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let (client, id) = sleeper(&hadoop, mode, &["-sae"])?;
        client.signal(Signal::SIGINT)?;
        let call = client.wait()?;
        ensure!(!call.success(), "{}", call.text());
        let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
        assert_eq!(report.final_status, "KILLED", "{}", report.diagnostics);
        check_left_nothing(&hadoop, &id)?;
    }
    Ok(())
}

#[test]
fn interrupted_while_yarn_makes_it_wait_it_leaves_no_ghost() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    // More than all nodes have together: the job is never RUNNING.
    let options = ["-Dtaskmanager.memory.process.size=3500m"];
    for mode in Mode::BOTH {
        let mut client = mode
            .call(
                &hadoop,
                &options,
                &test_job("sleeper")?,
                ["--parallelism", "64"],
            )
            .spawn()?;
        let id = client.wait_for_application_id(PATIENCE)?;
        hadoop.yarn().wait_for_job_manager(&id, PATIENCE)?;
        client.signal(Signal::SIGINT)?;
        let call = client.wait()?;
        ensure!(!call.success(), "{}", call.text());
        assert_eq!(hadoop.yarn().wait_for_end(&id, PATIENCE)?.state, "KILLED");
        check_left_nothing(&hadoop, &id)?;
    }
    Ok(())
}

#[test]
fn two_jobs_are_two_applications_or_one() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for (mode, applications) in [(Mode::PerJob, 2), (Mode::Application, 1)] {
        let output = format!("/out/two-jobs-{}", mode.name());
        hadoop.hdfs().delete(&output)?;
        let url = format!("hdfs://{output}");
        let arguments = ["--records", "10000", "--output", &url];
        let call = mode
            .call(&hadoop, &[], &test_job("two-jobs")?, arguments)
            .run()?;
        ensure!(call.success(), "{}", call.text());
        let ids = call.application_ids();
        ensure!(ids.len() == applications, "{}", call.text());
        let jobs = call
            .stdout
            .matches("Job has been submitted with JobID")
            .count();
        let runtimes = call.stdout.matches("Job Runtime: ").count();
        ensure!((jobs, runtimes) == (2, 2), "{}", call.text());
        let outputs = hadoop.hdfs().list(&output)?;
        let mut names = outputs.iter().map(|entry| entry.path_suffix.as_str());
        let (first, second) = (names.next(), names.next());
        let pair = (first.context("no first")?, second.context("no second")?);
        // The value of once() is the same in both.
        assert_eq!(
            pair.0.strip_prefix("first-"),
            pair.1.strip_prefix("second-")
        );
        for name in [pair.0, pair.1] {
            let text = hadoop.hdfs().read_output(&format!("{output}/{name}"))?;
            assert_eq!(largest_counts(&text)?, expected_sums(10_000, 100));
        }
        for id in ids {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "SUCCEEDED");
            check_left_nothing(&hadoop, &id)?;
        }
    }
    Ok(())
}

/// A copy of a test job in which some bytes are others.
fn patched(directory: &Path, name: &str, patch: impl Fn(&mut Vec<u8>)) -> Result<PathBuf> {
    let original = test_job(name)?;
    let copy = directory.join(name);
    std::fs::copy(&original, &copy)?;
    let mut bytes = std::fs::read(&original)?;
    patch(&mut bytes);
    std::fs::write(&copy, bytes)?;
    Ok(copy)
}

#[test]
fn a_program_of_another_architecture_is_refused() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let directory = tempfile::tempdir()?;
    // e_machine: AArch64.
    let program = patched(directory.path(), "sleeper", |bytes| bytes[18] = 183)?;
    for mode in Mode::BOTH {
        let call = mode.call(&hadoop, &[], &program, [""; 0]).run()?;
        call.check_failed(&["aarch64", std::env::consts::ARCH])?;
        ensure!(call.application_ids().is_empty(), "{}", call.text());
    }
    Ok(())
}

#[test]
fn a_program_for_a_newer_glibc_is_refused_by_the_node() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let directory = tempfile::tempdir()?;
    // The name of a version that nothing here has; the loader would say so in its own words if it were asked.
    let program = patched(directory.path(), "counts", |bytes| {
        raise_needed_glibc(bytes).expect("a test job needs a version of glibc");
    })?;
    let arguments = ["--output", "hdfs:///out/newer-glibc"];
    let call = Mode::Application
        .call(&hadoop, &[], &program, arguments)
        .run()?;
    call.check_failed(&["glibc", "9.99", "127.0.0."])?;
    let id = call.application_id()?;
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    assert_eq!(report.final_status, "FAILED");
    let said = report.diagnostics;
    ensure!(said.contains("9.99") && said.contains("127.0.0."), "{said}");
    check_left_nothing(&hadoop, &id)?;
    // Where main() runs at the client it is the client's system that refuses.
    let call = Mode::PerJob.call(&hadoop, &[], &program, arguments).run()?;
    call.check_failed(&["GLIBC_9.99", "counts"])?;
    ensure!(call.application_ids().is_empty(), "{}", call.text());
    Ok(())
}

/// Renames the newest version of glibc that a program needs, of five digits and points, to 9.99.
fn raise_needed_glibc(bytes: &mut [u8]) -> Option<()> {
    const MARK: &[u8] = b"GLIBC_2.";
    let newest = (0..bytes.len().saturating_sub(MARK.len() + 3))
        .filter(|at| bytes[*at..].starts_with(MARK) && bytes[at + MARK.len() + 2] == 0)
        .max_by_key(|at| [bytes[at + MARK.len()], bytes[at + MARK.len() + 1]])?;
    bytes[newest..newest + MARK.len() + 2].copy_from_slice(b"GLIBC_9.99");
    Some(())
}

#[test]
fn a_program_of_another_protocol_version_is_refused() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let call = mode
            .call(&hadoop, &[], &test_job("other-protocol")?, [""; 0])
            .run()?;
        call.check_failed(&["protocol version 99", "rebuild"])?;
        call.check_said_once("protocol version 99")?;
        for id in call.application_ids() {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "FAILED");
            let said = report.diagnostics;
            ensure!(said.contains("protocol version 99"), "{said}");
            check_left_nothing(&hadoop, &id)?;
        }
    }
    Ok(())
}
