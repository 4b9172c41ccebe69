//! Calls of `flott` on YARN, and what is checked after every one of them, well or badly ended.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::command::{FlottCommand, Output, repository_root};
use crate::hadoop::TestHadoop;
use crate::processes::container_processes;
use crate::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where `main()` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    PerJob,
    Application,
}

impl Mode {
    pub const BOTH: [Self; 2] = [Self::PerJob, Self::Application];

    fn verb(self) -> [&'static str; 3] {
        match self {
            Self::PerJob => ["run", "-t", "yarn-per-job"],
            Self::Application => ["run-application", "-t", "yarn-application"],
        }
    }

    /// For names of files and directories.
    pub fn name(self) -> &'static str {
        match self {
            Self::PerJob => "per-job",
            Self::Application => "application",
        }
    }

    /// A call that runs a program in this mode.
    pub fn call<A: AsRef<OsStr>>(
        self,
        hadoop: &TestHadoop,
        options: &[&str],
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> FlottCommand {
        FlottCommand::on(hadoop)
            .args(self.verb())
            .args(options)
            .args([program])
            .args(arguments)
    }
}

/// A program of the package flott-test-jobs: from the directory FLOTT_TEST_JOBS, or built now.
pub fn test_job(name: &str) -> Result<PathBuf> {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        std::env::var_os("FLOTT_TEST_JOBS").map_or_else(
            || {
                build_test_jobs()
                    .expect("the test jobs are needed by every test that calls for one")
            },
            PathBuf::from,
        )
    });
    let path = directory.join(name);
    ensure!(path.exists(), "there is no test job {}", path.display());
    Ok(path)
}

fn build_test_jobs() -> Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "flott-test-jobs",
        ])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(repository_root())
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(output.status.success(), "building the test jobs failed");
    let messages = String::from_utf8(output.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let first = executables.next().context("cargo built no test job")?;
    Ok(first.parent().context("it is in a directory")?.to_owned())
}

/// How often the tests kill something: 5 times, or 30 with FLOTT_TEST_FULL.
pub fn kills() -> u32 {
    let full = std::env::var_os("FLOTT_TEST_FULL").is_some_and(|value| value == "1");
    if full { 30 } else { 5 }
}

impl Output {
    /// It failed, ended with a message of ours, and said all these words.
    pub fn check_failed(&self, words: &[&str]) -> Result<()> {
        ensure!(!self.success(), "it did not fail: {}", self.text());
        let last = self.stderr.rfind("error: ");
        let message = last.map_or("", |start| &self.stderr[start..]);
        ensure!(
            !message.is_empty(),
            "no message at the end: {}",
            self.text()
        );
        let said = self.stderr.to_lowercase();
        for word in words {
            let word = word.to_lowercase();
            ensure!(said.contains(&word), "no {word:?} in {}", self.text());
        }
        Ok(())
    }

    /// Its stderr says this once: a cause that is repeated is a cause that is not read.
    pub fn check_said_once(&self, cause: &str) -> Result<()> {
        let times = self.stderr.matches(cause).count();
        ensure!(times == 1, "{cause:?} {times} times in {}", self.text());
        Ok(())
    }

    /// The ids of all applications it made, in their order.
    pub fn application_ids(&self) -> Vec<String> {
        let submitted = self.stdout.lines();
        let mut ids: Vec<String> = submitted
            .filter_map(|line| line.strip_prefix("Submitted application "))
            .map(str::to_owned)
            .collect();
        ids.dedup();
        ids
    }
}

/// The application has ended, its processes too, and its staging directory is gone.
pub fn check_left_nothing(hadoop: &TestHadoop, id: &str) -> Result<()> {
    hadoop.yarn().wait_for_end(id, PATIENCE)?;
    wait_until(&format!("the processes of {id} to end"), PATIENCE, || {
        Ok(container_processes(id)?.is_empty())
    })?;
    let directory = format!("/user/{}/.flott/{id}", hadoop.user());
    wait_until(&format!("{directory} to be removed"), PATIENCE, || {
        Ok(hadoop.hdfs().status(&directory)?.is_none())
    })
}

/// The last sums that the test jobs write for `records` numbers with so many keys.
pub fn expected_sums(records: u64, keys: u64) -> std::collections::BTreeMap<String, u64> {
    let mut sums = std::collections::BTreeMap::new();
    for number in 1..=records {
        *sums.entry((number % keys).to_string()).or_insert(0) += number;
    }
    sums
}
