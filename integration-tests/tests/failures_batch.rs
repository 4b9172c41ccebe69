//! Processes that are killed in the middle of a job of two stages, on YARN: what the first stage wrote
//! outlives its workers, and only what is lost is written again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    ContainerProcess, JobManager, Mode, Running, TestHadoop, check_left_nothing,
    container_processes, expected_sums, kills, largest_counts, test_job, wait_for, wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const WORKER: &str = "program";
const EXECUTORS: usize = 2;
const RECORDS: u64 = 100_000;
/// Three seconds and more of the second stage.
const KEYS: u64 = 2_000;

/// A job of two stages in two containers, with an attached client.
struct Job<'a> {
    hadoop: &'a TestHadoop,
    client: Running,
    application: String,
    output: String,
}

/// A subtask of the first stage: its attempt, and the container that its partition is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    container: String,
    attempt: u64,
}

/// The second stage runs: in which processes, on what.
struct SecondStage {
    workers: Vec<ContainerProcess>,
    written: Vec<Written>,
}

impl<'a> Job<'a> {
    fn start(hadoop: &'a TestHadoop, test: &str) -> Result<Self> {
        let output = format!("/out/{test}");
        hadoop.hdfs().delete(&output)?;
        let options = [
            "-Dexecution.runtime-mode=BATCH",
            "-Drestart-strategy.type=fixed-delay",
            "-Drestart-strategy.fixed-delay.attempts=1000",
            "-Drestart-strategy.fixed-delay.delay=100 ms",
            "-Dyarn.maximum-failed-containers=1000",
        ];
        let url = format!("hdfs://{output}");
        let (records, keys) = (RECORDS.to_string(), KEYS.to_string());
        let arguments = [
            "--parallelism",
            "2",
            "--records",
            &records,
            "--keys",
            &keys,
            "--output",
            &url,
        ];
        let mut client = Mode::PerJob
            .call(hadoop, &options, &test_job("two-stages")?, arguments)
            .deadline(PATIENCE * (2 + kills() / 5))
            .spawn()?;
        let application = client.wait_for_application_id(PATIENCE)?;
        Ok(Self {
            hadoop,
            client,
            application,
            output,
        })
    }

    /// Waits until the second stage runs in as many workers as it needs, none of which is one of these.
    fn second_stage(&self, but: &BTreeSet<i32>) -> Result<SecondStage> {
        let what = format!("the second stage of {} in new workers", self.application);
        wait_for(&what, PATIENCE, || {
            let Some(manager) = self.hadoop.yarn().job_manager(&self.application)? else {
                return Ok(None);
            };
            let mut workers = container_processes(&self.application)?;
            workers.retain(|process| process.program() == WORKER && !process.is_of_master());
            let fresh = workers.len() == EXECUTORS
                && workers.iter().all(|worker| !but.contains(&worker.pid));
            // An appmaster may end or not serve yet.
            let written = written(&manager).ok().flatten();
            Ok(written
                .filter(|_| fresh)
                .map(|written| SecondStage { workers, written }))
        })
    }

    /// Waits for the end, which is a good one.
    fn check_result(self) -> Result<()> {
        let call = self.client.wait()?;
        ensure!(call.success(), "{}", call.text());
        let report = self
            .hadoop
            .yarn()
            .wait_for_end(&self.application, PATIENCE)?;
        assert_eq!(report.final_status, "SUCCEEDED");
        let lines = self.hadoop.hdfs().read_output(&self.output)?;
        assert_eq!(lines.lines().count() as u64, KEYS, "one result per key");
        assert_eq!(largest_counts(&lines)?, expected_sums(RECORDS, KEYS));
        check_left_nothing(self.hadoop, &self.application)
    }
}

/// What the first stage has written, if it has finished and all of the second one runs.
fn written(manager: &JobManager) -> Result<Option<Vec<Written>>> {
    let job = manager.only_job()?;
    let details = manager.details(&job)?;
    let vertices = details["vertices"].as_array().context("no vertices")?;
    let [first, second] = vertices.as_slice() else {
        anyhow::bail!("two stages are two vertices: {details}");
    };
    let all = |vertex: &Value, state: &str| vertex["tasks"][state] == vertex["parallelism"];
    if !all(first, "FINISHED") || !all(second, "RUNNING") || details["state"] != "RUNNING" {
        return Ok(None);
    }
    let id = first["id"].as_str().context("a vertex without id")?;
    let vertex = manager.details(&format!("{job}/vertices/{id}"))?;
    let subtasks = vertex["subtasks"].as_array().context("no subtasks")?;
    let subtask = |subtask: &Value| {
        Some(Written {
            container: subtask["taskmanager-id"].as_str()?.to_owned(),
            attempt: subtask["attempt"].as_u64()?,
        })
    };
    Ok(subtasks.iter().map(subtask).collect())
}

fn kill_all(processes: &[ContainerProcess]) {
    for process in processes {
        // Its parent's death may have ended it in the meantime.
        let _ = process.kill();
    }
}

/// Kills in the middle of the second stage, again and again.
fn kill_often(
    test: &str,
    kill: impl Fn(&Job<'_>, &ContainerProcess) -> Result<()>,
    check: impl Fn(&ContainerProcess, &[Written], &[Written]) -> Result<()>,
) -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let job = Job::start(&hadoop, test)?;
    let mut killed = BTreeSet::new();
    for round in 0..kills() as usize {
        let before = job.second_stage(&killed)?;
        let victim = &before.workers[round % EXECUTORS];
        kill(&job, victim)?;
        killed.insert(victim.pid);
        let after = job.second_stage(&killed)?;
        check(victim, &before.written, &after.written).with_context(|| {
            format!(
                "round {round}, {}: {:?}, then {:?}",
                victim.container, before.written, after.written
            )
        })?;
    }
    job.check_result()
}

#[test]
fn what_killed_workers_wrote_is_still_there() -> Result<()> {
    let kill = |_: &Job<'_>, victim: &ContainerProcess| victim.kill();
    kill_often("batch-killed-workers", kill, |_, before, after| {
        ensure!(before == after, "the first stage ran again");
        Ok(())
    })
}

#[test]
fn only_what_was_in_a_killed_executor_is_written_again() -> Result<()> {
    let kill = |job: &Job<'_>, victim: &ContainerProcess| {
        let mut all = container_processes(&job.application)?;
        all.retain(|process| process.container == victim.container);
        kill_all(&all);
        Ok(())
    };
    kill_often("batch-killed-executors", kill, |victim, before, after| {
        for (before, after) in before.iter().zip(after) {
            if before.container == victim.container {
                ensure!(after.container != victim.container, "it is gone");
                ensure!(after.attempt > before.attempt, "it was not written again");
            } else {
                ensure!(before == after, "it was not lost");
            }
        }
        Ok(())
    })
}

#[test]
fn the_second_appmaster_runs_both_stages_again() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let job = Job::start(&hadoop, "batch-killed-master")?;
    let first = job.second_stage(&BTreeSet::new())?;
    let mut master = container_processes(&job.application)?;
    master.retain(ContainerProcess::is_of_master);
    ensure!(!master.is_empty(), "the appmaster has processes");
    kill_all(&master);
    let old: BTreeSet<i32> = first.workers.iter().map(|process| process.pid).collect();
    job.second_stage(&old)?;
    wait_until("the first attempt's workers to end", PATIENCE, || {
        let processes = container_processes(&job.application)?;
        Ok(processes.iter().all(|process| !old.contains(&process.pid)))
    })?;
    assert_eq!(hadoop.yarn().attempts(&job.application)?, 2);
    job.check_result()
}
