//! Jobs that are stopped with savepoints by the command line and go on from them on YARN, with other numbers of
//! subtasks: what they show in all is what one undisturbed job would have shown.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    FlottCommand, Mode, Output, TestHadoop, check_left_nothing, test_job, wait_for,
};

const PATIENCE: Duration = Duration::from_secs(90);
const KEYS: u64 = 97;
const WINDOW_MS: u64 = 1_000;
const PER_SECOND: u64 = 2_000;
const RECORDS: u64 = 30 * PER_SECOND;

/// What a job of all records shows: for each window of each key its key, count and sum.
fn expected() -> Vec<String> {
    let mut windows = BTreeMap::<(u64, u64), (u64, u64)>::new();
    for number in 0..RECORDS {
        let place = (number / WINDOW_MS, number % KEYS);
        let window = windows.entry(place).or_default();
        window.0 += 1;
        window.1 += number;
    }
    let windows = windows.into_iter();
    let mut lines: Vec<String> = windows
        .map(|((_, key), (count, sum))| format!("{key} {count} {sum}"))
        .collect();
    lines.sort();
    lines
}

fn visible(hadoop: &TestHadoop, output: &str) -> Result<Vec<String>> {
    let text = hadoop.hdfs().read_output(output)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// A job that runs detached in an application of its own.
struct Job<'a> {
    hadoop: &'a TestHadoop,
    application: String,
    id: String,
}

impl<'a> Job<'a> {
    /// Begins a job, anew or from a savepoint, and waits until all its tasks run.
    fn start(
        hadoop: &'a TestHadoop,
        test: &str,
        parallelism: u32,
        from: Option<&str>,
    ) -> Result<Self> {
        let checkpoints = format!("-Dexecution.checkpointing.dir=hdfs:///checkpoints/{test}");
        let savepoints =
            format!("-Dexecution.checkpointing.savepoint-dir=hdfs:///savepoints/{test}");
        let parallelism = parallelism.to_string();
        let mut options = vec![
            "-d",
            "-Dexecution.checkpointing.interval=1 s",
            &checkpoints,
            &savepoints,
            "-Dtaskmanager.numberOfTaskSlots=2",
            "-p",
            &parallelism,
        ];
        options.extend(from.iter().flat_map(|from| ["-s", *from]));
        let (output, records) = (format!("hdfs:///out/{test}"), RECORDS.to_string());
        let (keys, window) = (KEYS.to_string(), WINDOW_MS.to_string());
        let rate = PER_SECOND.to_string();
        let pairs = [
            ("--records", &*records),
            ("--keys", &keys),
            ("--window-ms", &window),
            ("--per-second", &rate),
            ("--output", &output),
        ];
        let arguments = pairs.iter().flat_map(|(name, value)| [*name, *value]);
        let program = test_job("window-counts")?;
        let call = Mode::PerJob.call(hadoop, &options, &program, arguments);
        let call = call.deadline(PATIENCE).run()?;
        ensure!(call.success(), "{}", call.text());
        let application = call.application_id()?;
        let manager = hadoop.yarn().wait_for_job_manager(&application, PATIENCE)?;
        let id = manager.only_job()?;
        Ok(Self {
            hadoop,
            application,
            id,
        })
    }

    /// A command for this application, which succeeds.
    fn flott(&self, words: &[&str]) -> Result<Output> {
        let at = ["-yid", self.application.as_str()];
        let call = FlottCommand::on(self.hadoop).args(words).args(at);
        let call = call.deadline(PATIENCE).run()?;
        ensure!(call.success(), "{words:?}: {}", call.text());
        Ok(call)
    }

    /// Waits until more is visible than there was.
    fn wait_for_more(&self, output: &str, than: usize) -> Result<usize> {
        let what = format!("more than {than} windows to be visible");
        wait_for(&what, PATIENCE, || {
            let visible = visible(self.hadoop, output)?.len();
            Ok((visible > than).then_some(visible))
        })
    }

    fn wait_for_end(&self, status: &str) -> Result<()> {
        let yarn = self.hadoop.yarn();
        let report = yarn.wait_for_end(&self.application, PATIENCE * 2)?;
        ensure!(
            report.final_status == status,
            "it is {}",
            report.final_status
        );
        check_left_nothing(self.hadoop, &self.application)
    }
}

/// What stands behind the last `words` of a call's output, to the end of its line.
fn said(call: &Output, words: &str) -> Result<String> {
    let text = call.text();
    let (_, rest) = text
        .rsplit_once(words)
        .with_context(|| format!("'{words}' was not said: {text}"))?;
    Ok(rest.lines().next().unwrap_or_default().trim().to_owned())
}

fn clean(hadoop: &TestHadoop, test: &str) -> Result<String> {
    for directory in ["out", "checkpoints", "savepoints"] {
        hadoop.hdfs().delete(&format!("/{directory}/{test}"))?;
    }
    Ok(format!("/out/{test}"))
}

#[test]
fn a_stopped_job_goes_on_with_more_and_with_fewer_subtasks() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let test = "savepoints-stop";
    let output = clean(&hadoop, test)?;
    let (mut from, mut shown) = (None::<String>, 0);
    for parallelism in [2, 4] {
        let job = Job::start(&hadoop, test, parallelism, from.as_deref())?;
        shown = job.wait_for_more(&output, shown)?;
        let stopped = job.flott(&["stop", &job.id])?;
        let path = said(&stopped, "Savepoint completed. Path: ")?;
        ensure!(
            path.contains(&format!("/savepoints/{test}/savepoint-")),
            "{path}"
        );
        job.wait_for_end("SUCCEEDED")?;
        let info = FlottCommand::on(&hadoop)
            .args(["savepoint", "info", &path])
            .run()?;
        ensure!(info.success(), "{}", info.text());
        for words in [
            "Kind:   savepoint of a job that was stopped",
            &format!("parallelism {parallelism}, max parallelism 128"),
            "panes: a table of the operator",
        ] {
            ensure!(info.text().contains(words), "no '{words}': {}", info.text());
        }
        from = Some(path);
    }
    let last = Job::start(&hadoop, test, 1, from.as_deref())?;
    last.wait_for_end("SUCCEEDED")?;
    let shown = visible(&hadoop, &output)?;
    ensure!(shown == expected(), "{} lines are shown", shown.len());
    // The application that took it is gone: the command deletes it itself.
    let path = from.context("there was a savepoint")?;
    let disposed = FlottCommand::on(&hadoop)
        .args(["savepoint", "-d", &path])
        .run()?;
    ensure!(disposed.success(), "{}", disposed.text());
    let (_, inside) = path.split_once("/savepoints/").context("its directory")?;
    let left = hadoop.hdfs().walk(&format!("/savepoints/{test}"))?;
    let name = inside.rsplit('/').next().unwrap_or_default();
    ensure!(
        left.iter().all(|(found, _)| !found.contains(name)),
        "{left:?}"
    );
    Ok(())
}

#[test]
fn a_running_job_is_listed_saved_and_cancelled() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let test = "savepoints-running";
    let output = clean(&hadoop, test)?;
    let job = Job::start(&hadoop, test, 2, None)?;
    job.wait_for_more(&output, 0)?;
    let listed = job.flott(&["list"])?;
    ensure!(listed.text().contains(&job.id), "{}", listed.text());
    let taken = job.flott(&["savepoint", &job.id])?;
    let path = said(&taken, "Savepoint completed. Path: ")?;
    let number = job.flott(&["checkpoint", &job.id])?;
    said(&number, "Checkpoint ")?;
    let disposed = job.flott(&["savepoint", "-d", &path])?;
    ensure!(disposed.text().contains("disposed."), "{}", disposed.text());
    let cancelled = job.flott(&[
        "cancel",
        "-s",
        &format!("hdfs:///savepoints/{test}/last"),
        &job.id,
    ])?;
    let path = said(&cancelled, "Savepoint stored in ")?;
    ensure!(
        path.contains(&format!("/savepoints/{test}/last/")),
        "{path}"
    );
    job.wait_for_end("KILLED")?;
    let call = FlottCommand::on(&hadoop)
        .args(["list", "-yid", &job.application])
        .run()?;
    call.check_failed(&["does not run any more"])
}
