//! The worker that coordinates the sources of a BATCH job is killed while they read, on YARN: what its enumerator had given
//! is given again, and the result is that of a job that nobody disturbed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    ContainerProcess, JobManager, Mode, Running, TestHadoop, check_left_nothing,
    container_processes, expected_sums, largest_counts, test_job, wait_for,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const WORKER: &str = "program";
/// The threads that run enumerators, one per source, of the worker that coordinates.
const ENUMERATOR: &str = "flott-enumerator";
const EXECUTORS: usize = 2;
const FILES: u64 = 40;
/// Fifteen seconds of two sources that nobody kills.
const RECORDS: u64 = 12_000;
const KILLS: usize = 2;
const KEYS: u64 = 100;

/// Files of numbers, all from 1 on.
fn write_input(hadoop: &TestHadoop, directory: &str) -> Result<()> {
    hadoop.hdfs().delete(directory)?;
    for file in 0..FILES {
        let mut text = String::new();
        for number in (1..=RECORDS).filter(|number| number % FILES == file) {
            writeln!(text, "{number}")?;
        }
        let path = format!("{directory}/numbers-{file}.txt");
        hadoop.hdfs().put(&path, text)?;
    }
    Ok(())
}

/// A job that reads the files in two workers.
struct Job<'a> {
    hadoop: &'a TestHadoop,
    client: Running,
    application: String,
    output: String,
}

impl<'a> Job<'a> {
    fn start(hadoop: &'a TestHadoop, input: &str, name: &str, per_second: &str) -> Result<Self> {
        let output = format!("/out/coordinator-{name}");
        hadoop.hdfs().delete(&output)?;
        let options = [
            "-Dexecution.runtime-mode=BATCH",
            "-Drestart-strategy.type=fixed-delay",
            "-Drestart-strategy.fixed-delay.attempts=1000",
            "-Drestart-strategy.fixed-delay.delay=100 ms",
        ];
        let (from, to) = (format!("hdfs://{input}"), format!("hdfs://{output}"));
        let arguments = ["--parallelism", "2", "--per-second", per_second];
        let places = ["--input", from.as_str(), "--output", to.as_str()];
        let arguments = arguments.into_iter().chain(places);
        let mut client = Mode::PerJob
            .call(hadoop, &options, &test_job("slow-files")?, arguments)
            .deadline(PATIENCE * 3)
            .spawn()?;
        let application = client.wait_for_application_id(PATIENCE)?;
        Ok(Self {
            hadoop,
            client,
            application,
            output,
        })
    }

    fn manager(&self) -> Result<JobManager> {
        let yarn = self.hadoop.yarn();
        yarn.wait_for_job_manager(&self.application, PATIENCE)
    }

    /// Waits until the sources are in the middle of what they read, all of them, and gives the worker that coordinates
    /// them: none of these.
    fn coordinator(&self, but: &BTreeSet<i32>) -> Result<ContainerProcess> {
        let manager = self.manager()?;
        let what = format!(
            "a coordinator of {} in the middle of its work",
            self.application
        );
        wait_for(&what, PATIENCE, || {
            // There may be no job yet.
            let reading = subtasks(&manager).unwrap_or_default();
            let is_done = |subtask: &Value| subtask["status"] == "FINISHED";
            ensure!(!reading.iter().any(is_done), "a source was done before");
            let mut workers = container_processes(&self.application)?;
            workers.retain(|process| process.program() == WORKER && !process.is_of_master());
            let all = [
                workers.len(),
                reading.iter().filter(|one| reads(one)).count(),
            ];
            workers.retain(|worker| !but.contains(&worker.pid) && worker.has_thread(ENUMERATOR));
            ensure!(workers.len() < 2, "two coordinate: {workers:?}");
            Ok(workers.pop().filter(|_| all == [EXECUTORS; 2]))
        })
    }

    /// Waits for the end, which is a good one; gives the lines, sorted.
    fn result(self) -> Result<Vec<String>> {
        let call = self.client.wait()?;
        ensure!(call.success(), "{}", call.text());
        let lines = self.hadoop.hdfs().read_output(&self.output)?;
        check_left_nothing(self.hadoop, &self.application)?;
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

/// What is told of the subtasks of the source.
fn subtasks(manager: &JobManager) -> Result<Vec<Value>> {
    let job = manager.only_job()?;
    let details = manager.details(&job)?;
    let vertex = details["vertices"][0]["id"].as_str();
    let vertex = vertex.with_context(|| format!("no vertices: {details}"))?;
    let vertex = manager.details(&format!("{job}/vertices/{vertex}"))?;
    let subtasks = vertex["subtasks"].as_array();
    Ok(subtasks.context("no subtasks")?.clone())
}

/// Whether a source is in the middle of what it reads.
fn reads(subtask: &Value) -> bool {
    let given = subtask["metrics"]["write-records"].as_u64();
    subtask["status"] == "RUNNING" && given > Some(RECORDS / 40)
}

#[test]
fn a_killed_coordinator_changes_nothing_in_the_result() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let input = "/in/coordinator";
    write_input(&hadoop, input)?;
    let undisturbed = Job::start(&hadoop, input, "undisturbed", "1000000")?.result()?;
    assert_eq!(undisturbed.len() as u64, KEYS, "one result per key");
    let sums = largest_counts(&undisturbed.join("\n"))?;
    assert_eq!(sums, expected_sums(RECORDS, KEYS));
    let job = Job::start(&hadoop, input, "killed", "400")?;
    let mut killed = BTreeSet::new();
    for _ in 0..KILLS {
        let victim = job.coordinator(&killed)?;
        victim.kill()?;
        killed.insert(victim.pid);
        let next = job.coordinator(&killed)?;
        ensure!(next.pid != victim.pid, "another one coordinates");
    }
    let manager = job.manager()?;
    let failures = manager.failures(&manager.only_job()?)?;
    ensure!(failures >= KILLS, "{failures} failures");
    assert_eq!(job.result()?, undisturbed);
    Ok(())
}
