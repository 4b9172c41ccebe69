//! Jobs with checkpoints on YARN whose processes are killed at any moment: what they show on HDFS is what
//! they would have shown undisturbed, record for record.

use std::time::Duration;

use anyhow::{Context, Result};
use flott_integration_tests::{
    TestHadoop, WindowCounts, WindowJob, check_left_nothing, container_processes, kills, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// When a worker is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// New windows have become visible.
    Shown,
    /// A checkpoint has begun, and is not complete.
    Snapshot,
    /// A checkpoint is complete, and what it covers is being committed.
    Commit,
    /// The other worker has just been killed.
    Recovery,
}

/// Waits for the moment. `shown`: the windows that were visible before.
fn wait_for_moment(job: &WindowJob<'_>, moment: Moment, shown: &mut usize) -> Result<()> {
    match moment {
        Moment::Shown => *shown = job.wait_for_more(*shown)?,
        Moment::Snapshot => {
            job.wait_for_checkpoint("in_progress", 0)?;
        }
        Moment::Commit => {
            let completed = job.checkpoints_counted("completed")?;
            job.wait_for_checkpoint("completed", completed)?;
        }
        Moment::Recovery => {
            *shown = job.wait_for_more(*shown)?;
            let workers = job.running_workers()?;
            job.kill(workers.first().context("a worker")?, false)?;
            // Its place has been taken: state is being restored there.
            wait_until("another worker", PATIENCE, || {
                let mut now = job.workers()?.into_iter();
                Ok(now.any(|worker| workers.iter().all(|before| before.pid != worker.pid)))
            })?;
        }
    }
    Ok(())
}

/// Kills workers at such moments, executors now and then, and compares the output.
fn kill_at(test: &str, what: &WindowCounts, moment: Moment, options: &[&str]) -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let job = what.start(&hadoop, test, options)?;
    let mut shown = 0;
    for round in 0..kills() as usize {
        job.running_workers()?;
        wait_for_moment(&job, moment, &mut shown)?;
        // In the middle of a recovery one of the two may not be there yet.
        let workers = job.workers()?;
        if let Some(victim) = workers.get((round + 1) % workers.len().max(1)) {
            job.kill(victim, round % 3 == 2)?;
        }
    }
    job.check_result()
}

/// Each kill costs two or three seconds, in which the source stands still.
fn long_enough(seconds_per_kill: u64) -> WindowCounts {
    WindowCounts::seconds(5 + seconds_per_kill * u64::from(kills()))
}

#[test]
fn windows_are_shown_while_the_job_runs() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let job = WindowCounts::seconds(10).start(&hadoop, "checkpoints-undisturbed", &[])?;
    job.running_workers()?;
    job.wait_for_more(0)?;
    job.check_result()
}

#[test]
fn killed_workers_and_executors_change_nothing() -> Result<()> {
    kill_at("checkpoints-killed", &long_enough(5), Moment::Shown, &[])
}

#[test]
fn workers_killed_while_a_snapshot_is_taken() -> Result<()> {
    kill_at(
        "checkpoints-snapshot",
        &long_enough(3),
        Moment::Snapshot,
        &[],
    )
}

#[test]
fn workers_killed_while_results_are_committed() -> Result<()> {
    kill_at("checkpoints-commit", &long_enough(4), Moment::Commit, &[])
}

#[test]
fn workers_killed_while_the_job_recovers() -> Result<()> {
    kill_at(
        "checkpoints-recovery",
        &long_enough(6),
        Moment::Recovery,
        &[],
    )
}

/// Barriers go past what waits.
const OVERTAKING: &str = "-Dexecution.checkpointing.unaligned.enabled=true";

fn under_pressure() -> WindowCounts {
    // About 8,000 records a second in four subtasks: much less than the source could give.
    WindowCounts {
        records: 60_000 * (1 + u64::from(kills())),
        per_second: 1_000_000,
        work_us: 500,
        ..WindowCounts::seconds(20 + 10 * u64::from(kills()))
    }
}

#[test]
fn workers_killed_under_back_pressure() -> Result<()> {
    kill_at(
        "checkpoints-pressure",
        &under_pressure(),
        Moment::Commit,
        &[],
    )
}

#[test]
fn workers_killed_under_back_pressure_that_barriers_overtake() -> Result<()> {
    kill_at(
        "checkpoints-overtaking",
        &under_pressure(),
        Moment::Commit,
        &[OVERTAKING],
    )
}

#[test]
fn workers_killed_while_barriers_overtake() -> Result<()> {
    kill_at(
        "checkpoints-overtaking-snapshot",
        &long_enough(3),
        Moment::Snapshot,
        &[OVERTAKING],
    )
}

#[test]
fn workers_killed_with_records_of_a_megabyte() -> Result<()> {
    let what = WindowCounts {
        records: 40 + 40 * u64::from(kills()),
        per_second: 20,
        keys: 7,
        padding: 1 << 20,
        ..WindowCounts::seconds(60)
    };
    kill_at("checkpoints-large", &what, Moment::Commit, &[])
}

#[test]
fn workers_killed_while_one_record_becomes_ten_million() -> Result<()> {
    let what = WindowCounts {
        records: 4 + 4 * u64::from(kills()),
        per_second: 2,
        keys: 3,
        expand: 10_000_000,
        ..WindowCounts::seconds(120)
    };
    kill_at("checkpoints-expanding", &what, Moment::Commit, &[])
}

#[test]
fn a_killed_appmaster_goes_on_from_the_latest_checkpoint() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let options = ["-Dyarn.application-attempts=2"];
    let job = WindowCounts::seconds(20).start(&hadoop, "checkpoints-master", &options)?;
    job.running_workers()?;
    job.wait_for_more(0)?;
    let mut processes = container_processes(&job.application)?;
    processes.retain(|process| process.program() == "flott-appmaster");
    processes.first().context("an appmaster")?.kill()?;
    job.check_output()?;
    check_left_nothing(&hadoop, &job.application)
}
