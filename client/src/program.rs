//! A user's program as a child process, and the Unix socket on which it says what it wants.
//! Knows nothing of clusters: it carries messages and tells how the process ended.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use flott_model::JobGraph;
use flott_protocol::environment::{ROLE, Role, SOCKET};
use flott_protocol::program::{
    Ask, Hello, JobEnded, JobStarted, LauncherMessage, ProgramMessage, launcher_message,
    program_message, read_message, write_message,
};
use futures::future::{FutureExt as _, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, SocketAddr};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::console::Console;

/// How much of the end of stderr is kept for error messages.
const TAIL_BYTES: usize = 16 << 10;
/// How long a program may take to end after it was asked to, and its stderr after its end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running program.
pub(crate) struct Program {
    path: PathBuf,
    child: Child,
    has_ended: bool,
    is_connected: bool,
    has_asked: bool,
    listener: UnixListener,
    connections: FuturesUnordered<LocalBoxFuture<'static, Heard>>,
    hello: Hello,
    stderr: JoinHandle<()>,
    tail: Rc<RefCell<Vec<u8>>>,
    // Last: the socket's directory must outlive the process.
    _directory: tempfile::TempDir,
}

/// What was read from a connection, and the connection.
type Heard = (
    OwnedReadHalf,
    Connection,
    std::io::Result<Option<ProgramMessage>>,
);

/// What a program wants or tells.
pub(crate) enum Request {
    /// `execute()` was called; it waits for answers on the connection.
    Execute(Box<Submitted>, Connection),
    /// Something about a job that was started.
    Ask(Ask, Connection),
    /// A job runs in the program itself.
    Started(JobStarted),
    /// It ended.
    Ended(JobEnded),
}

/// A job to be run.
pub(crate) struct Submitted {
    pub(crate) graph: JobGraph,
    /// The program reads its records: it is attached to it.
    pub(crate) collects: bool,
}

/// Where a program waits for answers; clones are the same.
#[derive(Clone)]
pub(crate) struct Connection(
    // Held for one message at a time.
    Rc<Mutex<OwnedWriteHalf>>,
);

/// How a program ended.
pub(crate) struct Ended {
    status: ExitStatus,
    tail: String,
}

impl Program {
    /// Starts `path` in a role. Must be called inside a `LocalSet`.
    pub(crate) fn start(
        path: &Path,
        args: &[String],
        role: Role,
        hello: Hello,
        console: &Rc<Console>,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("flott-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot create a private directory for the program's socket")?;
        let socket = directory.path().join("launcher");
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        // A bare name is a file of this directory, not something to look up in PATH.
        let executable = std::path::absolute(path).context("there is no working directory")?;
        let mut command = Command::new(executable);
        command
            .args(args)
            .env(SOCKET, &socket)
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if role == Role::Embedded {
            command.env_remove(ROLE);
        } else {
            // Not in our process group: at Ctrl-C we still have to talk to it, then we end it.
            command
                .env(ROLE, role.as_str())
                .stdin(Stdio::null())
                .process_group(0);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let tail = Rc::default();
        let pipe = child.stderr.take().expect("stderr was asked for as a pipe");
        let stderr = tokio::task::spawn_local(forward(pipe, Rc::clone(console), Rc::clone(&tail)));
        Ok(Self {
            path: path.to_owned(),
            child,
            has_ended: false,
            is_connected: false,
            has_asked: false,
            listener,
            connections: FuturesUnordered::new(),
            hello,
            stderr,
            tail,
            _directory: directory,
        })
    }

    /// What the program says next; `None` when it has ended and all it said was heard.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Request>> {
        loop {
            if self.has_ended && self.connections.is_empty() {
                // It may have connected just before its end.
                match self.listener.accept().now_or_never() {
                    Some(accepted) => self.greet(accepted)?,
                    None => return Ok(None),
                }
            }
            tokio::select! {
                biased;
                accepted = self.listener.accept() => self.greet(accepted)?,
                Some(heard) = self.connections.next() => {
                    if let Some(request) = self.understand(heard)? {
                        return Ok(Some(request));
                    }
                }
                ended = self.child.wait(), if !self.has_ended => {
                    ended.context("cannot wait for the program")?;
                    self.has_ended = true;
                }
            }
        }
    }

    fn greet(&mut self, accepted: std::io::Result<(UnixStream, SocketAddr)>) -> anyhow::Result<()> {
        let (stream, _) = accepted.context("cannot accept the program's connection")?;
        self.is_connected = true;
        let (reader, writer) = stream.into_split();
        let connection = Connection(Rc::new(Mutex::new(writer)));
        let hello = launcher_message::Kind::Hello(self.hello.clone());
        self.connections.push(Box::pin(async move {
            connection.answer(hello).await;
            hear(reader, connection).await
        }));
        Ok(())
    }

    fn understand(
        &mut self,
        (reader, connection, heard): Heard,
    ) -> anyhow::Result<Option<Request>> {
        let message = match heard {
            Ok(Some(message)) => message,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(error)
                    .with_context(|| format!("cannot understand {}", self.path.display()));
            }
            // The end, or killed in the middle of a message: its exit says more.
            Ok(None) | Err(_) => return Ok(None),
        };
        self.has_asked = true;
        let next = hear(reader, connection.clone());
        self.connections.push(Box::pin(next));
        let execute = |graph, collects| Box::new(Submitted { graph, collects });
        Ok(Some(match message.kind {
            Some(program_message::Kind::Execute(graph)) => {
                Request::Execute(execute(graph, false), connection)
            }
            Some(program_message::Kind::Collect(graph)) => {
                Request::Execute(execute(graph, true), connection)
            }
            Some(program_message::Kind::Ask(ask)) => Request::Ask(ask, connection),
            Some(program_message::Kind::Started(started)) => Request::Started(started),
            Some(program_message::Kind::Ended(ended)) => Request::Ended(ended),
            None => bail!(
                "{} sent a message this version of Flott does not know: build both with the same \
                 version",
                self.path.display()
            ),
        }))
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(mut self) -> anyhow::Result<Ended> {
        self.connections.clear();
        let status = self
            .child
            .wait()
            .await
            .context("cannot wait for the program")?;
        // A grandchild may hold the pipe open: do not wait for that.
        let _ = tokio::time::timeout(END_TIMEOUT, &mut self.stderr).await;
        let tail = String::from_utf8_lossy(&self.tail.borrow()).into_owned();
        let program = self.path.display();
        let how = describe(status);
        match (self.is_connected, self.has_asked, status.success()) {
            (_, true, _) => (),
            // What it said about that is on the screen.
            (true, false, false) => bail!("main() of {program} failed before it had a job: {how}"),
            (true, false, true) => bail!("main() of {program} ended without calling execute()"),
            (false, false, false) => bail!(
                "{program} is not a Flott job, or its main() failed before it called execute(): \
                 {how}{}",
                last_words(&tail)
            ),
            (false, false, true) => {
                bail!("{program} is not a Flott job, or its main() never called execute()")
            }
        }
        Ok(Ended { status, tail })
    }

    /// Asks the process to end, and makes it end.
    pub(crate) async fn stop(&mut self) {
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        // It may have ended just now: then there is nothing to do.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        if tokio::time::timeout(END_TIMEOUT, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

impl Connection {
    /// Answers. A program that is gone does not get it; [`Program::next`] notices that.
    pub(crate) async fn answer(&self, kind: launcher_message::Kind) {
        let message = LauncherMessage { kind: Some(kind) };
        let _ = write_message(&mut *self.0.lock().await, &message).await;
    }
}

async fn hear(mut reader: OwnedReadHalf, connection: Connection) -> Heard {
    let heard = read_message(&mut reader).await;
    (reader, connection, heard)
}

impl Ended {
    /// Whether its last words contain the first line of `text`.
    pub(crate) fn said(&self, text: &str) -> bool {
        let line = text.lines().next().unwrap_or_default().trim();
        !line.is_empty() && self.tail.contains(line)
    }

    /// Why this end is a failure, unless it is none.
    pub(crate) fn failure(&self) -> Option<String> {
        (!self.status.success()).then(|| {
            format!(
                "main() failed: {}{}",
                describe(self.status),
                last_words(&self.tail)
            )
        })
    }
}

async fn forward(mut pipe: ChildStderr, console: Rc<Console>, tail: Rc<RefCell<Vec<u8>>>) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        console.forward(&buffer[..count]);
        let mut tail = tail.borrow_mut();
        tail.extend_from_slice(&buffer[..count]);
        let excess = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(101), _) => "it panicked (exit code 101)".to_owned(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, None) => "it is not known how".to_owned(),
    }
}

fn last_words(tail: &str) -> String {
    match tail
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
    {
        Some(line) => format!("; its last line on stderr: {line}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    async fn message_of(path: &str, args: &[&str]) -> String {
        let local = tokio::task::LocalSet::new();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        local
            .run_until(async {
                let console = Rc::new(Console::new());
                let mut program = Program::start(
                    path.as_ref(),
                    &args,
                    Role::Submit,
                    Hello::default(),
                    &console,
                )
                .unwrap();
                assert!(program.next().await.unwrap().is_none());
                program.ended().await.map(|_| ()).unwrap_err().to_string()
            })
            .await
    }

    #[tokio::test]
    async fn what_never_connects_is_not_a_flott_job() {
        let message = message_of(
            "/bin/sh",
            &["-c", "echo ready; echo no such thing >&2; exit 3"],
        )
        .await;
        assert!(
            message.starts_with("/bin/sh is not a Flott job"),
            "{message}"
        );
        assert!(message.ends_with("exit code 3; its last line on stderr: no such thing"));
        let message = message_of("/bin/sh", &["-c", "kill -9 $$"]).await;
        assert!(message.ends_with("killed by SIGKILL"), "{message}");
    }

    #[test]
    fn only_the_first_line_of_a_cause_is_looked_for() {
        let ended = Ended {
            status: ExitStatus::from_raw(256),
            tail: "Error: job failed: task map (1/2): boom\n".to_owned(),
        };
        assert!(ended.said("boom\n  at main.rs"));
        assert!(!ended.said("other"));
        assert!(!ended.said(""));
        assert!(
            ended
                .failure()
                .unwrap()
                .starts_with("main() failed: exit code 1")
        );
    }
}
