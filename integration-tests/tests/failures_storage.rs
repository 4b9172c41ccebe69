//! Storage of checkpoints on HDFS that fails while a job runs: checkpoints fail and are counted, the job goes
//! on, and when the storage is back so are the checkpoints. Nothing of the output is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use flott_integration_tests::{TestHadoop, WindowCounts, WindowJob, wait_for};

const PATIENCE: Duration = Duration::from_secs(90);
/// Less than a block of HDFS, which is what the quota counts.
const TINY: u64 = 1 << 20;
const TOLERANT: &str = "-Dexecution.checkpointing.tolerable-failed-checkpoints=1000";

/// A job that writes its output to this machine, so that HDFS has its checkpoints alone.
fn local_job(seconds: u64) -> Result<(tempfile::TempDir, WindowCounts)> {
    let directory = tempfile::tempdir()?;
    let output = format!("file://{}", directory.path().join("out").display());
    let what = WindowCounts {
        output: Some(output),
        ..WindowCounts::seconds(seconds)
    };
    Ok((directory, what))
}

/// Checkpoints are taken, then they fail, while the job runs on; returns how many were complete.
fn wait_for_failures(job: &WindowJob<'_>, failures: u64) -> Result<u64> {
    let before = job.checkpoints_counted("failed")?;
    job.wait_for_checkpoint("failed", before + failures - 1)?;
    let completed = job.checkpoints_counted("completed")?;
    let Some((manager, id)) = job.job_manager()? else {
        anyhow::bail!("the JobManager is gone");
    };
    let failed = manager.failures(&id)?;
    ensure!(failed == 0, "the job has failed {failed} times");
    Ok(completed)
}

/// The newest checkpoint that failed says why.
fn last_failure(job: &WindowJob<'_>) -> Result<String> {
    job.wait_for_checkpoints("a message of a failed checkpoint", |statistics| {
        let message = &statistics["latest"]["failed"]["failure_message"];
        message.as_str().map(str::to_owned)
    })
}

#[test]
fn checkpoints_that_find_no_room_fail_and_come_back() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let (_directory, what) = local_job(25)?;
    // State must be more than what is kept in `_metadata`, so that files are written.
    let options = [
        TOLERANT,
        "-Dexecution.checkpointing.data-inline-threshold=0",
    ];
    let job = what.start(&hadoop, "storage-full", &options)?;
    job.running_workers()?;
    job.wait_for_checkpoint("completed", 0)?;
    hadoop.hdfs().set_space_quota(job.checkpoints(), TINY)?;
    let completed = wait_for_failures(&job, 2)?;
    let message = last_failure(&job)?;
    ensure!(message.contains("quota"), "{message}");
    ensure!(message.contains(job.checkpoints()), "{message}");
    hadoop.hdfs().set_space_quota(job.checkpoints(), 1 << 50)?;
    job.wait_for_checkpoint("completed", completed)?;
    job.check_result()
}

#[test]
fn checkpoints_in_safe_mode_fail_and_come_back() -> Result<()> {
    let hadoop = TestHadoop::exclusive()?;
    let (_directory, what) = local_job(30)?;
    let job = what.start(&hadoop, "storage-safe-mode", &[TOLERANT])?;
    job.running_workers()?;
    job.wait_for_checkpoint("completed", 0)?;
    let safe_mode = hadoop.enter_safe_mode()?;
    let completed = wait_for_failures(&job, 2)?;
    let message = last_failure(&job)?;
    ensure!(message.contains("safe mode"), "{message}");
    safe_mode.leave()?;
    job.wait_for_checkpoint("completed", completed)?;
    job.check_result()
}

#[test]
fn a_datanode_that_is_killed_costs_checkpoints_only() -> Result<()> {
    let hadoop = TestHadoop::exclusive()?;
    let (_directory, what) = local_job(40)?;
    let options = [
        TOLERANT,
        "-Dexecution.checkpointing.data-inline-threshold=0",
    ];
    let job = what.start(&hadoop, "storage-datanode", &options)?;
    job.running_workers()?;
    job.wait_for_checkpoint("completed", 0)?;
    let killed = hadoop.kill("dn")?;
    let completed = wait_for_failures(&job, 1)?;
    killed.restart()?;
    job.wait_for_checkpoint("completed", completed)?;
    job.check_result()
}

#[test]
fn a_namenode_that_is_restarted_costs_neither_job_nor_records() -> Result<()> {
    let hadoop = TestHadoop::exclusive()?;
    // Its output is on HDFS too: tasks fail, and go on when it is back.
    let job = WindowCounts::seconds(30).start(&hadoop, "storage-namenode", &[TOLERANT])?;
    job.running_workers()?;
    job.wait_for_more(0)?;
    let before = job.checkpoints_counted("completed")?;
    hadoop.kill("nn")?.restart()?;
    job.wait_for_checkpoint("completed", before)?;
    wait_for("the job to run again", PATIENCE, || {
        let Some((manager, id)) = job.job_manager()? else {
            return Ok(None);
        };
        Ok(manager.is_running(&id)?.then_some(()))
    })?;
    job.check_result()
}
