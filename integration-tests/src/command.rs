//! Runs our command line as a user would: the distribution's binary, an environment without surprises, a deadline.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::hadoop::TestHadoop;
use crate::wait::wait_for;

const DEADLINE: Duration = Duration::from_secs(180);

/// The root of the repository. Asked at run time: two checkouts may share one build directory, and
/// with it the test executables.
pub fn repository_root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
        let folder = manifest.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        folder
            .parent()
            .map_or_else(|| folder.clone(), Path::to_path_buf)
    });
    &ROOT
}

/// The distribution under test: FLOTT_DIST, or what `cargo xtask dist` made.
pub fn dist_directory() -> PathBuf {
    std::env::var_os("FLOTT_DIST")
        .map_or_else(|| repository_root().join("target/dist"), PathBuf::from)
}

/// One call of `flott`.
#[derive(Debug)]
pub struct FlottCommand {
    command: Command,
    arguments: Vec<OsString>,
    deadline: Duration,
}

/// What a call gave.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Output {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Both streams, for messages of failed tests.
    pub fn text(&self) -> String {
        format!(
            "{}\n---- stdout\n{}\n---- stderr\n{}",
            self.status, self.stdout, self.stderr
        )
    }

    /// The first word of either stream that starts like a YARN application id.
    pub fn application_id(&self) -> Result<String> {
        application_id(&format!("{}\n{}", self.stdout, self.stderr))
            .with_context(|| format!("no application id in the output: {}", self.text()))
    }
}

impl FlottCommand {
    /// A call without a Hadoop: HADOOP_CONF_DIR and its relatives are unset.
    pub fn new() -> Self {
        let mut command = Command::new(dist_directory().join("bin/flott"));
        // What programs say when they fail is looked at.
        command.env_remove("RUST_BACKTRACE");
        for (name, _) in std::env::vars_os() {
            let foreign = name.to_str().is_some_and(|name| {
                ["HADOOP_", "YARN_", "FLOTT_", "FLINK_"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
            });
            if foreign {
                command.env_remove(&name);
            }
        }
        Self {
            command,
            arguments: Vec::new(),
            deadline: DEADLINE,
        }
    }

    /// A call with this cluster's HADOOP_CONF_DIR.
    pub fn on(hadoop: &TestHadoop) -> Self {
        Self::new().env("HADOOP_CONF_DIR", hadoop.conf_directory())
    }

    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// How long the call may take, instead of three minutes.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end. A call that outlives the deadline is killed, and an error that shows what it wrote.
    pub fn run(self) -> Result<Output> {
        self.spawn()?.wait()
    }

    /// Starts it, for tests that act while it runs.
    pub fn spawn(mut self) -> Result<Running> {
        let program = PathBuf::from(self.command.get_program());
        ensure!(
            program.exists(),
            "{} does not exist: run `cargo xtask dist` first",
            program.display()
        );
        let shown = self
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>();
        let mut child = self
            .command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Of its own, so that a signal reaches what a terminal's Ctrl-C would reach, and nothing of the tests.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = Collector::start(child.stdout.take().context("no stdout")?);
        let stderr = Collector::start(child.stderr.take().context("no stderr")?);
        Ok(Running {
            child,
            stdout,
            stderr,
            what: format!("flott {}", shown.join(" ")),
            started: Instant::now(),
            deadline: self.deadline,
        })
    }
}

impl Default for FlottCommand {
    fn default() -> Self {
        Self::new()
    }
}

/// A call that has not ended, or whose end nobody has looked at. Dropped before that, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Collector,
    stderr: Collector,
    what: String,
    started: Instant,
    deadline: Duration,
}

impl Running {
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends a signal to the call and what it started, as a terminal does with Ctrl-C.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        killpg(Pid::from_raw(self.child.id().cast_signed()), signal)
            .with_context(|| format!("sending {signal} to `{}`", self.what))
    }

    /// Waits until either stream contains the text.
    pub fn wait_for_text(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait_for_output(&format!("{text:?}"), limit, |output| {
            output.contains(text).then_some(())
        })
    }

    /// Waits until the application's id was printed.
    pub fn wait_for_application_id(&mut self, limit: Duration) -> Result<String> {
        self.wait_for_output("an application id", limit, application_id)
    }

    fn wait_for_output<T>(
        &mut self,
        what: &str,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{what} in the output of `{}`", self.what);
        wait_for(&what, limit, || {
            // In this order: what a process wrote before its end is not missed.
            let ended =
                self.child.try_wait()?.is_some() && self.stdout.is_done() && self.stderr.is_done();
            let found = find(&self.stdout()).or_else(|| find(&self.stderr()));
            if found.is_none() && ended {
                bail!("it ended without; {}", self.written());
            }
            Ok(found)
        })
        .with_context(|| self.written())
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Result<Output> {
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let what = format!("the end of `{}`", self.what);
        let status =
            wait_for(&what, left, || Ok(self.child.try_wait()?)).with_context(|| self.written())?;
        Ok(Output {
            status,
            elapsed: self.started.elapsed(),
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        })
    }

    fn written(&self) -> String {
        format!(
            "---- stdout\n{}\n---- stderr\n{}\n----",
            self.stdout(),
            self.stderr()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Fails only if it has just ended.
            let _ = self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Reads a stream on a thread, so that a full pipe never stops the process under test.
#[derive(Debug)]
struct Collector {
    // A lock, because the test looks while the thread appends.
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    fn start(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let mut text = sink.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self {
            text,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The whole stream. It ends when the last process that holds it ends.
    fn finish(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading a stream does not panic");
        }
        self.text()
    }
}

fn application_id(text: &str) -> Option<String> {
    let start = text.find("application_")?;
    let id: String = text[start..]
        .chars()
        .take_while(|character| character.is_ascii_alphanumeric() || *character == '_')
        .collect();
    (id.split('_').count() == 3).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_application_id_in_prose() {
        let text = "Submitted application_1700000000000_0007, tracking URL http://h:1/proxy/";
        assert_eq!(
            application_id(text).unwrap(),
            "application_1700000000000_0007"
        );
        assert_eq!(application_id("the application_type"), None);
    }
}
