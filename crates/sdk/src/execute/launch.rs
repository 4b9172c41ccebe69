//! How this process was started: its role, its configuration, its line to the launcher.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use flott_config::{Configuration, Loader, find_conf_dir, options};
use flott_connectors::file::SubmissionStage;
use flott_filesystem::FileSystems;
use flott_protocol::environment::{ROLE, Role, SOCKET, WORKER_SPEC};
use flott_protocol::message::WorkerSpec;
use flott_protocol::program::{
    Hello, LauncherMessage, ProgramMessage, launcher_message, program_message, read_message,
    write_message,
};
use prost::Message;

use super::engine;
use crate::error::Error;

/// What the process knows of its start.
pub(crate) struct Launch {
    role: Role,
    configuration: Configuration,
    hadoop: BTreeMap<String, String>,
    user: String,
    attempt: u32,
    socket: Option<UnixStream>,
    spec: Option<WorkerSpec>,
}

impl Launch {
    /// Reads the environment, and what the launcher says.
    pub(crate) fn detect() -> Result<Self, Error> {
        let named = std::env::var(ROLE).ok();
        let role = Role::parse(named.as_deref()).ok_or_else(|| {
            Error::Role(format!(
                "{ROLE} is '{}', which this version of the SDK does not know",
                named.unwrap_or_default()
            ))
        })?;
        if role == Role::Worker {
            return Self::of_worker();
        }
        // These share the user's terminal.
        let _ = flott_logging::init(None, Some("warn"));
        match std::env::var(SOCKET) {
            Ok(path) => Self::of_launcher(role, &path),
            Err(_) if role == Role::Embedded => Self::alone(),
            Err(_) => Err(Error::Role(format!(
                "the role '{}' needs {SOCKET}: such processes are started by flott, not by hand",
                role.as_str()
            ))),
        }
    }

    fn alone() -> Result<Self, Error> {
        let (configuration, warnings) = Loader::new()
            .conf_dir(find_conf_dir())
            .load()
            .map_err(|error| Error::Configuration(error.to_string()))?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            role: Role::Embedded,
            configuration,
            hadoop: BTreeMap::new(),
            user: String::new(),
            attempt: 1,
            socket: None,
            spec: None,
        })
    }

    fn of_launcher(role: Role, path: &str) -> Result<Self, Error> {
        let io = |source| Error::Io {
            doing: "connecting to the process that started this program",
            source,
        };
        let socket = UnixStream::connect(path).map_err(io)?;
        let (socket, message) = engine::run(async { receive(socket).await }).map_err(io)?;
        let Some(launcher_message::Kind::Hello(hello)) = message else {
            return Err(Error::Role(
                "the process that started this program does not greet it".into(),
            ));
        };
        let Hello {
            configuration,
            hadoop,
            user,
            attempt,
        } = hello;
        Ok(Self {
            role,
            configuration: configuration_from(configuration)?,
            hadoop,
            user,
            attempt,
            socket: Some(socket),
            spec: None,
        })
    }

    fn of_worker() -> Result<Self, Error> {
        let unreadable = |why: String| Error::Role(format!("the worker's description {why}"));
        let path = std::env::var(WORKER_SPEC)
            .map_err(|_| unreadable(format!("is missing: {WORKER_SPEC} is not set")))?;
        let bytes = std::fs::read(&path)
            .map_err(|error| unreadable(format!("cannot be read from {path}: {error}")))?;
        let spec = WorkerSpec::decode(bytes.as_slice())
            .map_err(|error| unreadable(format!("in {path} is damaged: {error}")))?;
        // It holds the job's token; nobody needs the file any more.
        let _ = std::fs::remove_file(&path);
        let configuration = configuration_from(spec.graph.configuration.clone())?;
        let levels = configuration.get(&options::FLOTT_LOG_LEVEL);
        let _ = flott_logging::init(None, Some(&levels));
        Ok(Self {
            role: Role::Worker,
            configuration,
            hadoop: spec.hadoop.clone(),
            user: spec.user.clone(),
            attempt: spec.epoch,
            socket: None,
            spec: Some(spec),
        })
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(crate) fn hadoop(&self) -> &BTreeMap<String, String> {
        &self.hadoop
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn spec(&self) -> Option<&WorkerSpec> {
        self.spec.as_ref()
    }

    /// Whether `execute()` submits here, in whatever attempt of the application: what the input is
    /// is found out in each.
    pub(crate) fn is_submission(&self) -> bool {
        self.role != Role::Worker
    }

    /// Whether `execute()` submits here for the first time: only then the user's checks run.
    pub(crate) fn is_first_submission(&self) -> bool {
        self.is_submission() && !self.is_retry()
    }

    /// Whether this is a later attempt of an application that was checked before.
    fn is_retry(&self) -> bool {
        self.attempt > 1
    }

    /// What `execute()` may do to the world.
    pub(crate) fn stage(&self) -> SubmissionStage {
        match self.role {
            Role::Plan => SubmissionStage::Plan,
            _ if self.is_retry() => SubmissionStage::Retry,
            _ => SubmissionStage::First,
        }
    }

    /// The value that `once` had at submission.
    pub(crate) fn recorded(&self, name: &str) -> Option<Vec<u8>> {
        let once = &self.spec.as_ref()?.graph.once;
        once.iter()
            .find(|value| value.name == name)
            .map(|value| value.value.clone())
    }

    pub(crate) fn file_systems(&self) -> Result<Arc<FileSystems>, Error> {
        let user = (!self.user.is_empty()).then(|| self.user.clone());
        let default = self.hadoop.get("fs.defaultFS").cloned();
        FileSystems::new(self.hadoop.clone(), user, default)
            .map(Arc::new)
            .map_err(|error| Error::Configuration(error.to_string()))
    }

    pub(crate) fn has_launcher(&self) -> bool {
        self.socket.is_some()
    }

    /// Says something to the launcher, if there is one.
    pub(crate) fn tell(&mut self, kind: program_message::Kind) -> Result<(), Error> {
        let Some(socket) = self.socket.take() else {
            return Ok(());
        };
        let message = ProgramMessage { kind: Some(kind) };
        let socket =
            engine::run(async { send(socket, &message).await }).map_err(|source| Error::Io {
                doing: "talking to the process that started this program",
                source,
            })?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Waits for what the launcher says next.
    pub(crate) fn hear(&mut self) -> Result<launcher_message::Kind, Error> {
        let lost = |source| Error::Io {
            doing: "waiting for the process that started this program",
            source,
        };
        let gone = || lost(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        let socket = self.socket.take().ok_or_else(gone)?;
        let (socket, message) = engine::run(async { receive(socket).await }).map_err(lost)?;
        self.socket = Some(socket);
        message.ok_or_else(gone)
    }
}

fn configuration_from(map: BTreeMap<String, String>) -> Result<Configuration, Error> {
    Configuration::from_map(map).map_err(|error| Error::Configuration(error.to_string()))
}

async fn receive(
    socket: UnixStream,
) -> std::io::Result<(UnixStream, Option<launcher_message::Kind>)> {
    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    let message = read_message::<LauncherMessage>(&mut socket).await?;
    Ok((socket.into_std()?, message.and_then(|message| message.kind)))
}

async fn send(socket: UnixStream, message: &ProgramMessage) -> std::io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    write_message(&mut socket, message).await?;
    socket.into_std()
}
