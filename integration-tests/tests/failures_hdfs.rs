//! HDFS that is full, in safe mode or closed to others, and the cache of uploaded files, on YARN.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    ContainerProcess, Mode, TestHadoop, check_left_nothing, container_processes, dist_directory,
    expected_sums, largest_counts, test_job, wait_for, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Less than any program of ours, more than nothing: HDFS reserves whole blocks.
const TINY: u64 = 1 << 20;

/// A staging directory of this test alone.
fn staging(hadoop: &TestHadoop, test: &str) -> Result<(String, String)> {
    let directory = format!("/user/{}/staging-{test}", hadoop.user());
    hadoop.hdfs().delete(&directory)?;
    hadoop.hdfs().make_directory(&directory, "755")?;
    let option = format!("-Dyarn.staging-directory=hdfs://{directory}/.flott");
    Ok((directory, option))
}

#[test]
fn hdfs_in_safe_mode() -> Result<()> {
    let hadoop = TestHadoop::exclusive()?;
    hadoop.hdfs().put("/data/safe-mode", "a b c")?;
    let arguments = [
        "--input",
        "hdfs:///data/safe-mode",
        "--output",
        "hdfs:///out/safe-mode",
    ];
    let program = dist_directory().join("examples/wordcount");
    let safe_mode = hadoop.enter_safe_mode()?;
    for mode in Mode::BOTH {
        let call = mode.call(&hadoop, &[], &program, arguments).run()?;
        call.check_failed(&["safe mode"])?;
        ensure!(call.application_ids().is_empty(), "{}", call.text());
    }
    safe_mode.leave()
}

#[test]
fn hdfs_is_full_when_the_program_is_uploaded() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let (directory, option) = staging(&hadoop, "full")?;
    hadoop.hdfs().set_space_quota(&directory, TINY)?;
    for mode in Mode::BOTH {
        let call = mode
            .call(&hadoop, &[&option], &test_job("sleeper")?, [""; 0])
            .run()?;
        call.check_failed(&["quota", &directory])?;
        ensure!(call.application_ids().is_empty(), "{}", call.text());
        let left = hadoop.hdfs().walk(&directory)?;
        // Markers of an application whose directory is gone mark nothing.
        let bytes: u64 = left.iter().map(|(_, status)| status.length).sum();
        assert_eq!(bytes, 0, "{left:?}");
        let staged = hadoop.hdfs().list(&format!("{directory}/.flott"))?;
        let names: Vec<_> = staged.iter().map(|entry| &entry.path_suffix).collect();
        assert_eq!(names, ["cache"]);
    }
    Ok(())
}

#[test]
fn hdfs_is_full_when_the_result_is_written() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let parent = "/out/full";
    hadoop.hdfs().delete(parent)?;
    hadoop.hdfs().make_directory(parent, "777")?;
    hadoop.hdfs().set_space_quota(parent, TINY)?;
    let arguments = ["--output", "hdfs:///out/full/result"];
    for mode in Mode::BOTH {
        let call = mode
            .call(&hadoop, &[], &test_job("counts")?, arguments)
            .run()?;
        call.check_failed(&["quota", "/out/full"])?;
        let id = call.application_id()?;
        let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
        assert_eq!(report.final_status, "FAILED");
        ensure!(
            report.diagnostics.contains("quota"),
            "{}",
            report.diagnostics
        );
        check_left_nothing(&hadoop, &id)?;
        if hadoop.hdfs().status("/out/full/result")?.is_some() {
            assert_eq!(hadoop.hdfs().read_output("/out/full/result")?, "");
        }
    }
    Ok(())
}

/// Paths of all files with when they were written, and how long they are.
fn files(hadoop: &TestHadoop, directory: &str) -> Result<BTreeMap<(String, u64), u64>> {
    let files = hadoop.hdfs().walk(directory)?.into_iter();
    Ok(files
        .map(|(path, status)| ((path, status.modification_time), status.length))
        .collect())
}

#[test]
fn the_second_submission_uploads_less_than_100_kilobytes() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let (directory, option) = staging(&hadoop, "twice")?;
    let mut before = BTreeMap::new();
    let mut uploaded = Vec::new();
    for mode in [Mode::PerJob, Mode::PerJob, Mode::Application] {
        let options = [option.as_str(), "-d"];
        let call = mode
            .call(
                &hadoop,
                &options,
                &test_job("sleeper")?,
                ["--parallelism", "1"],
            )
            .run()?;
        ensure!(call.success(), "{}", call.text());
        // While it runs nothing is removed that was uploaded for it.
        let after = files(&hadoop, &directory)?;
        let new = after.iter().filter(|(file, _)| !before.contains_key(*file));
        uploaded.push(new.map(|(_, length)| length).sum::<u64>());
        before = after;
        hadoop.yarn().kill(&call.application_id()?)?;
    }
    ensure!(
        uploaded[0] > 10_000_000,
        "the first uploads everything: {uploaded:?}"
    );
    ensure!(
        uploaded[1..].iter().all(|bytes| *bytes < 100_000),
        "{uploaded:?}"
    );
    hadoop.hdfs().delete(&directory)?;
    Ok(())
}

#[test]
fn files_removed_under_a_running_job_are_put_there_again() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let (directory, option) = staging(&hadoop, "removed")?;
    let output = "/out/removed-cache";
    hadoop.hdfs().delete(output)?;
    let options = [
        &option,
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.attempts=3",
        "-Drestart-strategy.fixed-delay.delay=100 ms",
    ];
    let url = format!("hdfs://{output}");
    let arguments = ["--parallelism", "1", "--records", "6000", "--output", &url];
    let client = Mode::PerJob
        .call(&hadoop, &options, &test_job("slow-counts")?, arguments)
        .spawn()?;
    let mut client = client;
    let id = client.wait_for_application_id(PATIENCE)?;
    let executor = wait_for("a worker", PATIENCE, || {
        let mut all = container_processes(&id)?.into_iter();
        Ok(all.find(|process| process.program() == "program" && !process.is_of_master()))
    })?;
    ensure!(
        hadoop.hdfs().delete(&format!("{directory}/.flott/cache"))?,
        "there was a cache"
    );
    let mut processes = container_processes(&id)?;
    processes.retain(|process| process.container == executor.container);
    for process in &processes {
        // Its parent's death may have ended it in the meantime.
        let _ = process.kill();
    }
    wait_until("a replacement", PATIENCE, || {
        let all = container_processes(&id)?;
        let is_new = |process: &ContainerProcess| {
            process.program() == "program"
                && !process.is_of_master()
                && process.container != executor.container
        };
        Ok(all.iter().any(is_new))
    })?;
    let put_again = hadoop.hdfs().list(&format!("{directory}/.flott/{id}"))?;
    ensure!(
        put_again.len() > 1,
        "the appmaster's own copies: {put_again:?}"
    );
    let call = client.wait()?;
    ensure!(call.success(), "{}", call.text());
    let sums = largest_counts(&hadoop.hdfs().read_output(output)?)?;
    assert_eq!(sums, expected_sums(6_000, 100));
    hadoop.hdfs().delete(&directory)?;
    Ok(())
}

/// Nobody but its owner may enter the home directory, so no file in it can be PUBLIC to YARN.
#[test]
fn a_closed_home_directory() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let hdfs = hadoop.hdfs();
    hdfs.delete("/user/hermit")?;
    hdfs.make_directory("/user/hermit", "700")?;
    hdfs.set_owner("/user/hermit", "hermit")?;
    for mode in Mode::BOTH {
        let output = format!("/user/hermit/out-{}", mode.name());
        let url = format!("hdfs://{output}");
        let call = mode
            .call(&hadoop, &[], &test_job("counts")?, ["--output", &url])
            .env("HADOOP_USER_NAME", "hermit")
            .run()?;
        ensure!(call.success(), "{}", call.text());
        let id = call.application_id()?;
        let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
        assert_eq!(report.user, "hermit");
        let own = hadoop.hdfs_as("hermit")?;
        let sums = largest_counts(&own.read_output(&output)?)?;
        assert_eq!(sums, expected_sums(100_000, 100));
        let status = own.status(&output)?.context("the output")?;
        assert_eq!(status.owner, "hermit");
        assert_eq!(own.status(&format!("/user/hermit/.flott/{id}"))?, None);
    }
    Ok(())
}
