//! Where checkpoints are: the directory of a job, those of its savepoints, and what is in them.

use std::sync::Arc;

use flott_coordination::checkpoint::StoredCheckpoint;
use flott_filesystem::{
    CreateOptions, ErrorKind, FileSystem, FileSystemError, FileSystems, file_name, join, parent,
};
use flott_model::{
    CheckpointId, CheckpointMetadata, Failure, FailureClass, JobId, MetadataError, SnapshotKind,
};

/// The file that makes a checkpoint complete.
pub(super) const METADATA: &str = "_metadata";
/// A larger one is none of ours.
const LARGEST_METADATA: u64 = 1 << 30;
/// What stands in place of a directory, also for users, when the JobManager holds the checkpoint.
pub(crate) const NOT_ADDRESSABLE: &str = "<checkpoint-not-externally-addressable>";

/// A checkpoint or savepoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("the savepoint at '{path}' cannot be read")]
    Read {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: FileSystemError,
    },
    /// What was read is no checkpoint.
    #[error("'{path}' is no usable checkpoint: {reason}")]
    Metadata {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: MetadataError,
    },
    /// It cannot be deleted; nothing of it was.
    #[error("the savepoint at '{path}' cannot be deleted")]
    Delete {
        /// Its directory.
        path: String,
        /// Why.
        #[source]
        source: FileSystemError,
    },
    /// It is deleted, but not all of its files are.
    #[error(
        "the savepoint at '{path}' is deleted, but files of it remain: delete the directory yourself"
    )]
    Remains {
        /// Its directory.
        path: String,
        /// Why.
        #[source]
        source: FileSystemError,
    },
    /// It is too large to be one.
    #[error(
        "'{path}' is no usable checkpoint: it has {bytes} bytes, {LARGEST_METADATA} at most can be"
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
}

/// Reads a checkpoint or savepoint. `path` is its directory, or its `_metadata`.
///
/// # Errors
/// When there is none, or it is damaged, foreign, or written by a later version.
pub async fn load(files: &FileSystems, path: &str) -> Result<StoredCheckpoint, CheckpointError> {
    let path = path.trim_end_matches('/');
    let directory = match file_name(path) {
        METADATA => parent(path),
        _ => path,
    };
    let file = join(directory, METADATA);
    let failed = |source| CheckpointError::Read {
        path: path.to_owned(),
        source,
    };
    let (fs, inside) = files.resolve(&file).map_err(failed)?;
    let bytes = fs.status(&inside).await.map_err(failed)?.len;
    if bytes > LARGEST_METADATA {
        return Err(CheckpointError::TooLarge { path: file, bytes });
    }
    let content = fs.read_to_end(&inside).await.map_err(failed)?;
    let metadata = CheckpointMetadata::from_file(&content);
    let metadata = metadata.map_err(|reason| CheckpointError::Metadata {
        path: file.clone(),
        reason,
    })?;
    let directory = fs.qualify(parent(&inside));
    Ok(StoredCheckpoint {
        metadata: Arc::new(metadata),
        path: directory.clone(),
        directory,
    })
}

/// The complete checkpoints of a job in its directory, oldest first, and the greatest number that was
/// seen, complete or not. Those that cannot be used are left out.
pub(crate) async fn latest_of(
    files: &FileSystems,
    directory: &str,
) -> Result<(Vec<StoredCheckpoint>, Option<CheckpointId>), CheckpointError> {
    let failed = |source| CheckpointError::Read {
        path: directory.to_owned(),
        source,
    };
    let (fs, inside) = files.resolve(directory).map_err(failed)?;
    let found = match fs.list(&inside).await {
        Ok(found) => found,
        Err(error) if *error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(failed(error)),
    };
    let mut numbers: Vec<u64> = found
        .iter()
        .filter_map(|status| file_name(&status.path).strip_prefix("chk-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut complete = Vec::new();
    for number in &numbers {
        let path = join(directory, &format!("chk-{number}"));
        match load(files, &path).await {
            Ok(stored) => complete.push(stored),
            Err(CheckpointError::Read { source, .. }) if *source.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path, "a checkpoint is left out: {error}"),
        }
    }
    Ok((complete, numbers.last().map(|number| CheckpointId(*number))))
}

/// The storage of one job.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointStorage {
    pub(crate) files: Arc<FileSystems>,
    pub(crate) job: JobId,
    /// `<execution.checkpointing.dir>/<job id>`; `None`: the JobManager holds checkpoints.
    pub(crate) checkpoints: Option<String>,
    /// `execution.checkpointing.savepoint-dir`.
    pub(crate) savepoints: Option<String>,
}

fn failure(what: &str, directory: &str, error: &FileSystemError) -> Failure {
    let message = format!("{what} in '{directory}': {error}");
    Failure::new(FailureClass::Transient, message)
}

impl CheckpointStorage {
    /// A directory that nothing else has; [`NOT_ADDRESSABLE`] if the JobManager holds the checkpoint.
    pub(crate) async fn open(
        &self,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
        wanted: Option<&str>,
    ) -> Result<String, Failure> {
        let directory = if kind.is_savepoint() {
            let base = wanted.or(self.savepoints.as_deref()).ok_or_else(|| {
                let message = "a savepoint needs a directory: name one, or set \
                               execution.checkpointing.savepoint-dir";
                Failure::new(FailureClass::Transient, message)
            })?;
            let job = self.job.to_string();
            let random = uuid::Uuid::new_v4().simple().to_string();
            join(base, &format!("savepoint-{}-{}", &job[..6], &random[..12]))
        } else {
            match &self.checkpoints {
                None => return Ok(NOT_ADDRESSABLE.to_owned()),
                Some(directory) => join(directory, &format!("chk-{checkpoint}")),
            }
        };
        let failed =
            |error: FileSystemError| failure("a checkpoint cannot be begun", &directory, &error);
        let (fs, inside) = self.files.resolve(&directory).map_err(failed)?;
        match fs.status(&inside).await {
            Err(error) if *error.kind() == ErrorKind::NotFound => (),
            Err(error) => return Err(failed(error)),
            Ok(_) => {
                let message = format!(
                    "a checkpoint cannot be begun: '{directory}' exists already; another JobManager \
                     may run the same job"
                );
                return Err(Failure::new(FailureClass::Transient, message));
            }
        }
        fs.mkdirs(&inside, 0o755).await.map_err(failed)?;
        Ok(fs.qualify(&inside))
    }

    /// Writes `_metadata`: the commit point. Where the checkpoint is, as users name it.
    pub(crate) async fn store(
        &self,
        directory: &str,
        metadata: &CheckpointMetadata,
    ) -> Result<String, Failure> {
        if directory == NOT_ADDRESSABLE {
            return Ok(directory.to_owned());
        }
        let failed =
            |error: FileSystemError| failure("a checkpoint cannot be completed", directory, &error);
        let (fs, inside) = self.files.resolve(directory).map_err(failed)?;
        let target = join(&inside, METADATA);
        match write(fs.as_ref(), &inside, &target, metadata.to_file()).await {
            Ok(()) => Ok(directory.to_owned()),
            // The answer may have been lost on its way: what counts is what is there.
            Err(error) => match self.is_ours(directory, metadata).await {
                true => Ok(directory.to_owned()),
                false => Err(failed(error)),
            },
        }
    }

    async fn is_ours(&self, directory: &str, metadata: &CheckpointMetadata) -> bool {
        let stored = load(&self.files, directory).await;
        stored.is_ok_and(|stored| *stored.metadata == *metadata)
    }

    /// Deletes what a checkpoint left, `_metadata` first; `false`: storage is away, and it is to be tried
    /// again. What else goes wrong is told in the log.
    pub(crate) async fn discard(&self, directory: &str, keep: &[String], files: &[String]) -> bool {
        let mut again = false;
        let held = directory.is_empty() || directory == NOT_ADDRESSABLE;
        if !held && let Err(error) = self.clear(directory, keep).await {
            tracing::warn!(directory, "a checkpoint was not deleted: {error}");
            again |= error.is_transient();
        }
        for file in files {
            let deleted = match self.files.resolve(file) {
                Ok((fs, inside)) => fs.delete(&inside, false).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = deleted {
                tracing::warn!(file, "a file of a checkpoint was not deleted: {error}");
                again |= error.is_transient();
            }
        }
        !again
    }

    async fn clear(&self, directory: &str, keep: &[String]) -> Result<(), FileSystemError> {
        let (fs, inside) = self.files.resolve(directory)?;
        fs.delete(&join(&inside, METADATA), false).await?;
        if keep.is_empty() {
            return fs.delete(&inside, true).await.map(drop);
        }
        for status in fs.list(&inside).await? {
            if !keep.iter().any(|kept| kept == file_name(&status.path)) {
                fs.delete(&status.path, true).await?;
            }
        }
        Ok(())
    }

    /// At the end of the job: removes its directory if nothing is left in it.
    pub(crate) async fn remove_if_empty(&self) {
        let Some(directory) = &self.checkpoints else {
            return;
        };
        if let Ok((fs, inside)) = self.files.resolve(directory) {
            // Retained checkpoints are in it, or it never existed.
            let _ = fs.delete(&inside, false).await;
        }
    }
}

async fn write(
    fs: &dyn FileSystem,
    directory: &str,
    target: &str,
    content: Vec<u8>,
) -> Result<(), FileSystemError> {
    let name = format!(".{METADATA}.{}", uuid::Uuid::new_v4());
    let hidden = join(directory, &name);
    let options = CreateOptions {
        create_parent: false,
        ..CreateOptions::default()
    };
    let mut file = fs.create(&hidden, options).await?;
    file.write(content.into()).await?;
    file.hsync().await?;
    file.close().await?;
    fs.rename(&hidden, target).await
}
