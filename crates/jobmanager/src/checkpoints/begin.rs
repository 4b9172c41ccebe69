//! What a job begins from: its own checkpoints of an earlier JobManager, a savepoint that the user names,
//! or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_config::{CheckpointStorage as StorageType, ClaimMode as Claim, Configuration, options};
use flott_coordination::checkpoint::{ClaimMode, Origin, SavepointRestore};
use flott_filesystem::{FileSystemError, FileSystems, join};
use flott_model::{JobId, RuntimeMode};

use super::storage::{CheckpointError, CheckpointStorage, latest_of, load};

/// Why a job cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// The file systems could not be set up.
    #[error("cannot set up the file systems for checkpoints: {0}")]
    FileSystems(FileSystemError),
    /// The storage that is configured needs a directory.
    #[error("{}", NO_DIRECTORY)]
    NoDirectory,
    /// What it is to begin from cannot be read.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
}

const NO_DIRECTORY: &str = "execution.checkpointing.storage is filesystem, but there is no directory: \
                            set execution.checkpointing.dir";

/// The storage of a job and what it begins from.
pub(crate) struct Begin {
    pub(crate) storage: CheckpointStorage,
    pub(crate) origin: Origin,
    /// Whether the job takes checkpoints.
    pub(crate) has_checkpoints: bool,
}

/// Looks at storage before a job begins. `again`: an earlier JobManager may have run it.
pub(crate) async fn begin(
    job: JobId,
    mode: RuntimeMode,
    configuration: &Configuration,
    (hadoop, user): (&BTreeMap<String, String>, &str),
    again: bool,
) -> Result<Begin, BeginError> {
    let files = Arc::new(file_systems(hadoop, user).map_err(BeginError::FileSystems)?);
    let directory = directory(configuration)?.map(|base| join(&base, &job.to_string()));
    let interval = configuration.get(&options::EXECUTION_CHECKPOINTING_INTERVAL);
    let has_checkpoints = mode == RuntimeMode::Streaming && interval.is_some();
    let mut origin = Origin::default();
    if mode == RuntimeMode::Streaming {
        if let Some(directory) = directory.as_deref().filter(|_| again) {
            let found = latest_of(&files, directory).await;
            (origin.completed, origin.seen) = found.map_err(unusable)?;
        }
        if let Some(path) = configuration.get(&options::EXECUTION_STATE_RECOVERY_PATH)
            && origin.completed.is_empty()
        {
            let checkpoint = load(&files, &path).await.map_err(unusable)?;
            let allow = &options::EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED;
            origin.savepoint = Some(SavepointRestore {
                checkpoint,
                claim: claim_mode(configuration),
                allow_non_restored: configuration.get(allow),
            });
        }
    }
    let storage = CheckpointStorage {
        files,
        job,
        checkpoints: directory,
        savepoints: configuration.get(&options::EXECUTION_CHECKPOINTING_SAVEPOINT_DIR),
    };
    Ok(Begin {
        storage,
        origin,
        has_checkpoints,
    })
}

/// The file systems that checkpoints are on.
pub(crate) fn file_systems(
    hadoop: &BTreeMap<String, String>,
    user: &str,
) -> Result<FileSystems, FileSystemError> {
    let user = (!user.is_empty()).then(|| user.to_owned());
    FileSystems::new(hadoop.clone(), user, hadoop.get("fs.defaultFS").cloned())
}

fn claim_mode(configuration: &Configuration) -> ClaimMode {
    match configuration.get(&options::EXECUTION_STATE_RECOVERY_CLAIM_MODE) {
        Claim::NoClaim => ClaimMode::NoClaim,
        Claim::Claim => ClaimMode::Claim,
    }
}

fn unusable(error: CheckpointError) -> BeginError {
    BeginError::Checkpoint(Box::new(error))
}

fn directory(configuration: &Configuration) -> Result<Option<String>, BeginError> {
    let directory = configuration.get(&options::EXECUTION_CHECKPOINTING_DIR);
    match configuration.checkpoint_storage() {
        Some(StorageType::JobManager) => Ok(None),
        Some(StorageType::FileSystem) => directory.map(Some).ok_or(BeginError::NoDirectory),
        None => Ok(directory),
    }
}
