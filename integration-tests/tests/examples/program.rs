//! Builds the examples, and runs them as a user does who has nothing else.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use flott_integration_tests::{read_output, repository_root, wait_for};
use tempfile::TempDir;

/// All of them.
pub(crate) const EXAMPLES: [&str; 10] = [
    "async-enrichment",
    "broadcast-rules",
    "click-sessions",
    "custom-connector",
    "fraud-detection",
    "log-analysis",
    "order-payment-join",
    "socket-window-wordcount",
    "top-speed-windowing",
    "wordcount",
];

const PATIENCE: Duration = Duration::from_secs(120);

/// The executable of an example: from the directory FLOTT_TEST_EXAMPLES, or built now.
pub(crate) fn executable(name: &str) -> Result<PathBuf> {
    // A failure is kept, too: each test would build anew to find out the same.
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| match std::env::var_os("FLOTT_TEST_EXAMPLES") {
        Some(directory) => Ok(directory.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    let directory = directory.as_ref().map_err(|error| anyhow!("{error}"))?;
    let path = directory.join(name);
    ensure!(path.exists(), "there is no example {}", path.display());
    Ok(path)
}

/// With the profile of the tests, so that the engine is not built twice.
fn build() -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "build",
        "--locked",
        "--message-format=json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    for name in EXAMPLES {
        command.args(["--package", name]);
    }
    let output = command
        .current_dir(repository_root())
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(output.status.success(), "building the examples failed");
    let messages = String::from_utf8(output.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let first = executables.next().context("cargo built no example")?;
    Ok(first.parent().context("it is in a directory")?.to_owned())
}

/// An example on the embedded cluster, with a directory for its files.
pub(crate) struct Example {
    command: Command,
    directory: TempDir,
    configuration: String,
}

impl Example {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut command = Command::new(executable(name)?);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("FLOTT_") {
                command.env_remove(&variable);
            }
        }
        Ok(Self {
            command,
            directory: tempfile::tempdir()?,
            configuration: String::new(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.configuration += &format!("{key}: {value}\n");
        self
    }

    pub(crate) fn parallelism(self, parallelism: u32) -> Self {
        self.set("parallelism.default", &parallelism.to_string())
    }

    /// `option` and a file with this content.
    pub(crate) fn input(self, option: &str, content: &str) -> Result<Self> {
        let path = self.path(option.trim_start_matches('-'));
        std::fs::write(&path, content)?;
        Ok(self.args([OsStr::new(option), path.as_os_str()]))
    }

    pub(crate) fn spawn(mut self) -> Result<Running> {
        let conf = self.path("conf");
        std::fs::create_dir(&conf)?;
        std::fs::write(conf.join("flott-conf.yaml"), &self.configuration)?;
        let mut child = self
            .command
            .env("FLOTT_CONF_DIR", &conf)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?}", self.command.get_program()))?;
        let stderr = read(child.stderr.take().context("no stderr")?);
        Ok(Running {
            child,
            stderr: Some(stderr),
            directory: self.directory,
        })
    }

    /// What it printed.
    pub(crate) fn run(self) -> Result<String> {
        let mut running = self.spawn()?;
        let stdout = read(running.child.stdout.take().context("no stdout")?);
        running.wait()?;
        stdout.join().expect("reading does not panic")
    }

    /// Runs it, then `check`, as long as its directory exists.
    pub(crate) fn run_and<T>(self, check: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut running = self.spawn()?;
        let stdout = read(running.child.stdout.take().context("no stdout")?);
        running.wait()?;
        stdout.join().expect("reading does not panic")?;
        check()
    }

    /// The lines that it wrote below `--output`, sorted.
    pub(crate) fn lines(self) -> Result<Vec<String>> {
        let output = self.path("output");
        self.args([OsStr::new("--output"), output.as_os_str()])
            .run_and(|| sorted_lines(&output))
    }
}

/// The lines of all finished files in a directory, sorted.
pub(crate) fn sorted_lines(directory: &Path) -> Result<Vec<String>> {
    let text = read_output(directory)?;
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// An example that was started. Dropped before its end, it is killed.
pub(crate) struct Running {
    pub(crate) child: Child,
    stderr: Option<JoinHandle<Result<String>>>,
    directory: TempDir,
}

impl Running {
    /// Waits for a good end.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let what = format!("the example in {} to end", self.directory.path().display());
        let status = wait_for(&what, PATIENCE, || Ok(self.child.try_wait()?))?;
        let stderr = self.stderr.take().context("it was waited for already")?;
        let stderr = stderr.join().expect("reading does not panic")?;
        ensure!(status.success(), "{status}: {stderr}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a stream on a thread, so that a full pipe never stops the example.
fn read(mut stream: impl Read + Send + 'static) -> JoinHandle<Result<String>> {
    std::thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// Numbers that look random, the same in each run of a test.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
