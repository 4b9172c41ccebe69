//! A job with checkpoints that counts records in windows, and what its output must be whatever is killed
//! meanwhile: the program `window-counts` of the test jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::call::{Mode, check_left_nothing, test_job};
use crate::command::Running;
use crate::hadoop::TestHadoop;
use crate::job_manager::JobManager;
use crate::processes::{ContainerProcess, container_processes};
use crate::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(90);
const WORKER: &str = "program";
const WINDOW_MS: u64 = 1_000;

/// What the job does.
#[derive(Debug, Clone)]
pub struct WindowCounts {
    /// The numbers from 0 to before this.
    pub records: u64,
    pub per_second: u64,
    pub keys: u64,
    /// Each number comes so many times.
    pub expand: u64,
    /// Bytes that come with each record.
    pub padding: usize,
    /// Microseconds of work per record.
    pub work_us: u64,
    /// Where the output is, if not below `/out` in HDFS: a URL.
    pub output: Option<String>,
    /// Longer than this a run does not take.
    pub limit: Duration,
}

impl WindowCounts {
    /// Small records, for about so many seconds.
    pub fn seconds(seconds: u64) -> Self {
        let per_second = 2_000;
        Self {
            records: seconds * per_second,
            per_second,
            keys: 97,
            expand: 1,
            padding: 0,
            work_us: 0,
            output: None,
            limit: PATIENCE * 3 + Duration::from_secs(seconds * 3),
        }
    }

    /// What the job shows: for each window of each key its key, count and sum.
    pub fn expected(&self) -> Vec<String> {
        let mut windows = BTreeMap::<(u64, u64), (u64, u64)>::new();
        for number in 0..self.records {
            let window = windows
                .entry((number / WINDOW_MS, number % self.keys))
                .or_default();
            window.0 += self.expand;
            window.1 += number * self.expand;
        }
        let mut lines: Vec<String> = windows
            .into_iter()
            .map(|((_, key), (count, sum))| format!("{key} {count} {sum}"))
            .collect();
        lines.sort();
        lines
    }

    /// Starts it on YARN with four subtasks in two workers and a checkpoint each second, with options
    /// of ours behind those.
    pub fn start<'a>(
        &self,
        hadoop: &'a TestHadoop,
        test: &str,
        options: &[&str],
    ) -> Result<WindowJob<'a>> {
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
        let url = format!("hdfs://{output}");
        let arguments = self.arguments(self.output.as_deref().unwrap_or(&url));
        let mut client = Mode::PerJob
            .call(hadoop, &options, &test_job("window-counts")?, &arguments)
            .deadline(self.limit)
            .spawn()?;
        let application = client.wait_for_application_id(PATIENCE)?;
        Ok(WindowJob {
            what: self.clone(),
            hadoop,
            client,
            application,
            output,
            checkpoints,
        })
    }

    fn arguments(&self, output: &str) -> Vec<String> {
        let options = [
            ("--parallelism", "4".to_owned()),
            ("--records", self.records.to_string()),
            ("--keys", self.keys.to_string()),
            ("--window-ms", WINDOW_MS.to_string()),
            ("--per-second", self.per_second.to_string()),
            ("--expand", self.expand.to_string()),
            ("--padding", self.padding.to_string()),
            ("--work-us", self.work_us.to_string()),
            ("--output", output.to_owned()),
        ];
        options
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}

/// The job while it runs.
#[derive(Debug)]
pub struct WindowJob<'a> {
    what: WindowCounts,
    hadoop: &'a TestHadoop,
    client: Running,
    pub application: String,
    output: String,
    checkpoints: String,
}

impl WindowJob<'_> {
    /// Where its checkpoints are in HDFS.
    pub fn checkpoints(&self) -> &str {
        &self.checkpoints
    }

    /// The JobManager, if it can be reached, and the job.
    pub fn job_manager(&self) -> Result<Option<(JobManager, String)>> {
        let Some(manager) = self.hadoop.yarn().job_manager(&self.application)? else {
            return Ok(None);
        };
        let job = manager.only_job().ok();
        Ok(job.map(|job| (manager, job)))
    }

    /// The workers, once the job runs in two of them.
    pub fn running_workers(&self) -> Result<Vec<ContainerProcess>> {
        let what = format!("the job of {} to run in two workers", self.application);
        wait_for(&what, PATIENCE, || {
            let Some((manager, job)) = self.job_manager()? else {
                return Ok(None);
            };
            let runs = manager.is_running(&job).unwrap_or(false);
            let workers = self.workers()?;
            Ok((workers.len() == 2 && runs).then_some(workers))
        })
    }

    /// The workers that there are.
    pub fn workers(&self) -> Result<Vec<ContainerProcess>> {
        let mut workers = container_processes(&self.application)?;
        workers.retain(|process| process.program() == WORKER && !process.is_of_master());
        Ok(workers)
    }

    /// Kills everything in the container of a worker, or the worker alone.
    pub fn kill(&self, victim: &ContainerProcess, executor: bool) -> Result<()> {
        let mut all = container_processes(&self.application)?;
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

    /// Waits until `condition` gives something for what REST says of the checkpoints.
    pub fn wait_for_checkpoints<T>(
        &self,
        what: &str,
        mut condition: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        wait_for(what, self.what.limit, || {
            let Some((manager, job)) = self.job_manager()? else {
                return Ok(None);
            };
            let answer = manager.get(&format!("/jobs/{job}/checkpoints"));
            Ok(answer.ok().and_then(|statistics| condition(&statistics)))
        })
    }

    /// How many checkpoints there are of this kind: `completed`, `failed`, `in_progress`, `restored`.
    pub fn checkpoints_counted(&self, kind: &str) -> Result<u64> {
        self.wait_for_checkpoints("an answer", |it| it["counts"][kind].as_u64())
    }

    /// Waits until there are more of this kind than there were.
    pub fn wait_for_checkpoint(&self, kind: &str, than: u64) -> Result<u64> {
        self.wait_for_checkpoints(&format!("more checkpoints {kind} than {than}"), |it| {
            it["counts"][kind].as_u64().filter(|count| *count > than)
        })
    }

    /// The lines that are visible.
    pub fn visible(&self) -> Result<Vec<String>> {
        let text = match self.what.output.as_deref() {
            Some(url) => local_output(url.trim_start_matches("file://"))?,
            None => self.hadoop.hdfs().read_output(&self.output)?,
        };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    /// Waits until more windows are visible than there were.
    pub fn wait_for_more(&self, than: usize) -> Result<usize> {
        let what = format!("more than {than} windows to be visible");
        wait_for(&what, self.what.limit, || {
            let visible = self.visible()?.len();
            Ok((visible > than).then_some(visible))
        })
    }

    /// Waits for the end, which is a good one, and looks at what is there.
    pub fn check_result(self) -> Result<()> {
        self.check_output()?;
        let call = self.client.wait()?;
        ensure!(call.success(), "{}", call.text());
        let left = self.hadoop.hdfs().walk(&self.checkpoints)?;
        let files = left.iter().filter(|(_, status)| !status.is_directory());
        ensure!(files.count() == 0, "checkpoints are left behind: {left:?}");
        check_left_nothing(self.hadoop, &self.application)
    }

    /// Waits for the good end of the application; its output is what was expected.
    pub fn check_output(&self) -> Result<()> {
        let report = self
            .hadoop
            .yarn()
            .wait_for_end(&self.application, self.what.limit)?;
        ensure!(
            report.final_status == "SUCCEEDED",
            "{} is {}: {}",
            self.application,
            report.final_status,
            report.diagnostics
        );
        let (shown, expected) = (self.visible()?, self.what.expected());
        let differs = shown
            .iter()
            .zip(&expected)
            .find(|(left, right)| left != right);
        ensure!(
            shown == expected,
            "{} lines are shown, {} were expected; the first that differ (shown, expected): {differs:?}",
            shown.len(),
            expected.len()
        );
        Ok(())
    }
}

/// All finished files of a directory of this machine.
fn local_output(directory: &str) -> Result<String> {
    crate::words::read_output(std::path::Path::new(directory))
        .with_context(|| format!("reading {directory}"))
}
