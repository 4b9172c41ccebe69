//! How this process was started: its role, its configuration, its line to the launcher.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_config::{Configuration, Loader, Source, find_conf_dir, options};
use flott_connectors::file::SubmissionStage;
use flott_filesystem::FileSystems;
use flott_model::OnceValue;
use flott_protocol::environment::{ROLE, Role, SOCKET, WORKER_SPEC};
use flott_protocol::message::WorkerSpec;
use flott_protocol::program::Hello;
use prost::Message;

use super::line::Line;
use super::record::Configured;
use crate::error::Error;

/// What the process knows of its start.
pub(crate) struct Launch {
    role: Role,
    configuration: Configuration,
    hadoop: BTreeMap<String, String>,
    user: String,
    attempt: u32,
    line: Option<Arc<Line>>,
    spec: Option<WorkerSpec>,
    may_configure: MayConfigure,
    /// What the program configured, with what was there before.
    configured: BTreeMap<String, Option<String>>,
}

/// What a program's own settings may change.
enum MayConfigure {
    /// All but these keys, which the user gave.
    AllBut(BTreeSet<String>),
    /// These, which it changed where the job was submitted.
    Only(BTreeSet<String>),
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
            line: None,
            spec: None,
            may_configure: MayConfigure::AllBut(BTreeSet::new()),
            configured: BTreeMap::new(),
        })
    }

    fn of_launcher(role: Role, path: &str) -> Result<Self, Error> {
        let (line, hello) = Line::connect(path)?;
        if matches!(role, Role::Submit | Role::Driver) {
            line.listen()?;
        }
        let Hello {
            configuration,
            hadoop,
            user,
            attempt,
            given,
        } = hello;
        Ok(Self {
            role,
            configuration: configuration_from(configuration)?,
            hadoop,
            user,
            attempt,
            line: Some(Arc::new(line)),
            spec: None,
            may_configure: MayConfigure::AllBut(given.into_iter().collect()),
            configured: BTreeMap::new(),
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
        let configured = Configured::find(&spec.graph.once);
        let mut configuration = spec.graph.configuration.clone();
        configured.undo(&mut configuration);
        let configuration = configuration_from(configuration)?;
        let levels = configuration.get(&options::FLOTT_LOG_LEVEL);
        let _ = flott_logging::init(None, Some(&levels));
        Ok(Self {
            role: Role::Worker,
            configuration,
            hadoop: spec.hadoop.clone(),
            user: spec.user.clone(),
            attempt: spec.epoch,
            line: None,
            spec: Some(spec),
            may_configure: MayConfigure::Only(configured.keys()),
            configured: BTreeMap::new(),
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

    /// Whether the job goes on from a savepoint or checkpoint, and so from what it had written.
    fn is_restored(&self) -> bool {
        let path = self
            .configuration
            .get(&options::EXECUTION_STATE_RECOVERY_PATH);
        path.is_some()
    }

    /// What `execute()` may do to the world.
    pub(crate) fn stage(&self) -> SubmissionStage {
        match self.role {
            Role::Plan => SubmissionStage::Plan,
            _ if self.is_retry() || self.is_restored() => SubmissionStage::Retry,
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

    /// Whether `main()` runs again in workers of its jobs.
    pub(crate) fn has_workers_elsewhere(&self) -> bool {
        matches!(self.role, Role::Submit | Role::Driver)
    }

    /// The line to whoever started the program, if somebody did.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        self.line.as_ref()
    }

    /// A setting of the program: above those of the configuration file, below those of the command line.
    pub(crate) fn configure(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let mut changed = self.configuration.clone();
        let warnings = changed
            .set_text(key, value, Source::Job)
            .map_err(|error| Error::Configuration(error.to_string()))?;
        if self.role != Role::Worker {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
        }
        // A deprecated name sets another key.
        let (before, after) = (self.configuration.to_map(), changed.to_map());
        let differs = |key: &&String| before.get(*key) != after.get(*key);
        let keys: Vec<&String> = after.keys().filter(differs).collect();
        let may = |key: &&String| match &self.may_configure {
            MayConfigure::AllBut(given) => !given.contains(*key),
            MayConfigure::Only(those) => those.contains(*key),
        };
        if !keys.iter().all(may) {
            return Ok(());
        }
        for key in keys {
            let before = before.get(key).cloned();
            self.configured.entry(key.clone()).or_insert(before);
        }
        self.configuration = changed;
        Ok(())
    }

    /// What the program configured, for its workers.
    pub(crate) fn configured(&self) -> Option<OnceValue> {
        let any = !self.configured.is_empty();
        any.then(|| Configured::new(&self.configured).value())
    }
}

fn configuration_from(map: BTreeMap<String, String>) -> Result<Configuration, Error> {
    Configuration::from_map(map).map_err(|error| Error::Configuration(error.to_string()))
}
