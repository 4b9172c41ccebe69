//! What this attempt is: its spec, its container, its secrets.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flott_config::{Configuration, options};
use flott_hadoop::yarn::ContainerId;
use flott_hadoop::{Credentials, HadoopConf};
use flott_model::Epoch;
use flott_protocol::application::{
    ApplicationSpec, PROGRAM_FILE, SECRET_KEY, SPEC_FILE, StagedFile,
};
use flott_protocol::message::{JobBundle, ShippedFile};
use flott_protocol::rpc::Secret;
use prost::Message;

/// Everything the container and the client tell an appmaster.
pub(crate) struct Application {
    pub(crate) spec: ApplicationSpec,
    pub(crate) configuration: Configuration,
    pub(crate) hadoop: HadoopConf,
    pub(crate) credentials: Credentials,
    pub(crate) secret: Secret,
    pub(crate) container: ContainerId,
    /// Of the node, as others reach it.
    pub(crate) host: String,
    pub(crate) directory: PathBuf,
    pub(crate) log_directory: PathBuf,
}

impl Application {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let directory = std::env::current_dir().context("finding the working directory failed")?;
        let path = directory.join(SPEC_FILE);
        let bytes =
            std::fs::read(&path).with_context(|| format!("reading {} failed", path.display()))?;
        let spec = ApplicationSpec::decode(bytes.as_slice())
            .with_context(|| format!("{} is not an application's description", path.display()))?;
        let credentials = Credentials::of_container().context("reading the container's tokens")?;
        let secret = credentials.secrets.get(SECRET_KEY);
        let secret = Secret::new(secret.with_context(|| {
            format!("the container's token file has no {SECRET_KEY}: the client must put it there")
        })?);
        let container = variable("CONTAINER_ID")?
            .parse()
            .context("CONTAINER_ID is no id")?;
        Ok(Self {
            configuration: Configuration::from_map(spec.configuration.clone())?,
            hadoop: HadoopConf::from_map(spec.hadoop.clone()),
            credentials,
            secret,
            container,
            host: variable("NM_HOST")?,
            directory,
            log_directory: first_directory("LOG_DIRS")?,
            spec,
        })
    }

    pub(crate) fn log_levels(&self) -> Option<String> {
        let variable = std::env::var(flott_logging::LEVEL_VARIABLE).ok();
        variable.or_else(|| self.configuration.get_optional(&options::FLOTT_LOG_LEVEL))
    }

    /// Its id, as YARN shows it.
    pub(crate) fn id(&self) -> String {
        self.container.attempt.application.to_string()
    }

    /// The term of this JobManager: YARN counts attempts from 1.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(u32::try_from(self.container.attempt.attempt).unwrap_or(1))
    }

    /// The job's executable and shipped files.
    pub(crate) fn bundle(&self) -> anyhow::Result<JobBundle> {
        let shipped = |file: &StagedFile| ShippedFile {
            name: file.name.clone(),
            sha256: file.sha256.clone(),
            size: file.size,
        };
        let files = self
            .spec
            .executor_resources
            .iter()
            .filter(|file| file.bundle);
        let (programs, files): (Vec<_>, Vec<_>) = files
            .map(shipped)
            .partition(|file| file.name == PROGRAM_FILE);
        ensure!(
            programs.len() == 1,
            "the application's description names {} executables, one is needed",
            programs.len()
        );
        let executable = programs.into_iter().next().context("there is one")?;
        Ok(JobBundle { executable, files })
    }

    /// This container's own copy of a staged file.
    pub(crate) fn local_copy(&self, file: &StagedFile) -> PathBuf {
        self.directory.join(&file.name)
    }
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| {
        format!("the environment variable {name} is missing: this program is started by YARN")
    })
}

/// The first of a comma-separated list.
fn first_directory(name: &str) -> anyhow::Result<PathBuf> {
    let directories = variable(name)?;
    let first = directories.split(',').next().unwrap_or_default();
    ensure!(
        !first.is_empty(),
        "the environment variable {name} is empty"
    );
    Ok(Path::new(first).to_owned())
}
