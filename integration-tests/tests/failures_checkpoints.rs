//! Jobs with checkpoints on YARN whose processes are killed at any moment: what they show on HDFS is what
//! they would have shown undisturbed, record for record.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    ContainerProcess, Mode, Running, TestHadoop, check_left_nothing, container_processes, kills,
    test_job, wait_for,
};

const PATIENCE: Duration = Duration::from_secs(90);
const WORKER: &str = "program";
const KEYS: u64 = 97;
const WINDOW_MS: u64 = 1_000;
const PER_SECOND: u64 = 2_000;

/// What a job of `records` numbers shows: for each window of each key its key, count and sum.
fn expected(records: u64) -> Vec<String> {
    let mut windows = BTreeMap::<(u64, u64), (u64, u64)>::new();
    for number in 0..records {
        let window = windows
            .entry((number / WINDOW_MS, number % KEYS))
            .or_default();
        window.0 += 1;
        window.1 += number;
    }
    let mut lines: Vec<String> = windows
        .into_iter()
        .map(|((_, key), (count, sum))| format!("{key} {count} {sum}"))
        .collect();
    lines.sort();
    lines
}

struct Job<'a> {
    hadoop: &'a TestHadoop,
    client: Running,
    application: String,
    output: String,
    checkpoints: String,
    records: u64,
}

impl<'a> Job<'a> {
    fn start(hadoop: &'a TestHadoop, test: &str, records: u64, options: &[&str]) -> Result<Self> {
        let (output, checkpoints) = (format!("/out/{test}"), format!("/checkpoints/{test}"));
        hadoop.hdfs().delete(&output)?;
        hadoop.hdfs().delete(&checkpoints)?;
        let directory = format!("-Dexecution.checkpointing.dir=hdfs://{checkpoints}");
        let common = [
            "-Dexecution.checkpointing.interval=1 s",
            directory.as_str(),
            "-Drestart-strategy.type=fixed-delay",
            "-Drestart-strategy.fixed-delay.attempts=1000",
            "-Drestart-strategy.fixed-delay.delay=100 ms",
            "-Dyarn.maximum-failed-containers=1000",
            "-Dtaskmanager.numberOfTaskSlots=2",
        ];
        let options: Vec<&str> = common.iter().chain(options).copied().collect();
        let (url, records_text) = (format!("hdfs://{output}"), records.to_string());
        let (keys, window) = (KEYS.to_string(), WINDOW_MS.to_string());
        let rate = PER_SECOND.to_string();
        let arguments = [
            "--parallelism",
            "4",
            "--records",
            &records_text,
            "--keys",
            &keys,
            "--window-ms",
            &window,
            "--per-second",
            &rate,
            "--output",
            &url,
        ];
        let mut client = Mode::PerJob
            .call(hadoop, &options, &test_job("window-counts")?, arguments)
            .deadline(PATIENCE * (3 + kills() / 5))
            .spawn()?;
        let application = client.wait_for_application_id(PATIENCE)?;
        Ok(Self {
            hadoop,
            client,
            application,
            output,
            checkpoints,
            records,
        })
    }

    /// The workers, once the job runs in two of them.
    fn running_workers(&self) -> Result<Vec<ContainerProcess>> {
        let what = format!("the job of {} to run in two workers", self.application);
        wait_for(&what, PATIENCE, || {
            let Some(manager) = self.hadoop.yarn().job_manager(&self.application)? else {
                return Ok(None);
            };
            let mut workers = container_processes(&self.application)?;
            workers.retain(|process| process.program() == WORKER && !process.is_of_master());
            let runs = manager
                .only_job()
                .and_then(|job| manager.is_running(&job))
                .unwrap_or(false);
            Ok((workers.len() == 2 && runs).then_some(workers))
        })
    }

    /// How many records are visible.
    fn visible(&self) -> Result<Vec<String>> {
        let text = self.hadoop.hdfs().read_output(&self.output)?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    /// Waits until more windows are visible than there were.
    fn wait_for_more(&self, than: usize) -> Result<usize> {
        let what = format!("more than {than} windows to be visible");
        wait_for(&what, PATIENCE, || {
            let visible = self.visible()?.len();
            Ok((visible > than).then_some(visible))
        })
    }

    /// Waits for the end, which is a good one, and looks at what is there.
    fn check_result(self) -> Result<()> {
        let shown = self.visible_at_end()?;
        ensure!(
            shown == expected(self.records),
            "{} lines are shown, {} were expected",
            shown.len(),
            expected(self.records).len()
        );
        let call = self.client.wait()?;
        ensure!(call.success(), "{}", call.text());
        let left = self.hadoop.hdfs().walk(&self.checkpoints)?;
        let files = left.iter().filter(|(_, status)| !status.is_directory());
        ensure!(files.count() == 0, "checkpoints are left behind: {left:?}");
        check_left_nothing(self.hadoop, &self.application)
    }

    fn visible_at_end(&self) -> Result<Vec<String>> {
        let report = self
            .hadoop
            .yarn()
            .wait_for_end(&self.application, PATIENCE * 2)?;
        assert_eq!(report.final_status, "SUCCEEDED");
        self.visible()
    }
}

/// Kills everything in the container of a worker, or the worker alone.
fn kill(job: &Job<'_>, victim: &ContainerProcess, executor: bool) -> Result<()> {
    let mut all = container_processes(&job.application)?;
    all.retain(|process| match executor {
        true => process.container == victim.container,
        false => process.pid == victim.pid,
    });
    for process in all {
        // Its parent's death may have ended it in the meantime.
        let _ = process.kill();
    }
    Ok(())
}

#[test]
fn windows_are_shown_while_the_job_runs() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let job = Job::start(&hadoop, "checkpoints-undisturbed", 10 * PER_SECOND, &[])?;
    job.running_workers()?;
    job.wait_for_more(0)?;
    job.check_result()
}

#[test]
fn killed_workers_and_executors_change_nothing() -> Result<()> {
    killed_workers("checkpoints-killed", &[])
}

/// The same with barriers that overtake records, between workers, too.
#[test]
fn nor_with_unaligned_checkpoints() -> Result<()> {
    let unaligned = [
        "-Dexecution.checkpointing.unaligned.enabled=true",
        "-Dexecution.checkpointing.interval=300 ms",
    ];
    killed_workers("checkpoints-unaligned", &unaligned)
}

fn killed_workers(test: &str, options: &[&str]) -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    // Each kill costs two or three seconds, in which the source stands still.
    let records = (5 + 5 * u64::from(kills())) * PER_SECOND;
    let job = Job::start(&hadoop, test, records, options)?;
    let mut visible = 0;
    for round in 0..kills() as usize {
        let workers = job.running_workers()?;
        // A checkpoint is complete and committed: what is killed now must go on from one.
        visible = job.wait_for_more(visible)?;
        let victim = workers.get(round % 2).context("there are two workers")?;
        kill(&job, victim, round % 3 == 2)?;
    }
    job.check_result()
}

#[test]
fn a_killed_appmaster_goes_on_from_the_latest_checkpoint() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let options = ["-Dyarn.application-attempts=2"];
    let job = Job::start(&hadoop, "checkpoints-master", 20 * PER_SECOND, &options)?;
    job.running_workers()?;
    job.wait_for_more(0)?;
    let mut processes = container_processes(&job.application)?;
    processes.retain(|process| process.program() == "flott-appmaster");
    processes.first().context("an appmaster")?.kill()?;
    let shown = job.visible_at_end()?;
    ensure!(
        shown == expected(job.records),
        "{} lines are shown",
        shown.len()
    );
    check_left_nothing(&hadoop, &job.application)
}
