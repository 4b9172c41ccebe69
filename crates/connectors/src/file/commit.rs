//! Makes the files of a finished job visible, once.

use std::collections::BTreeSet;
use std::sync::Arc;

use flott_filesystem::{ErrorKind, FileSystem, FileSystemError, FileSystems, file_name, join};
use flott_operators::TaskError;
use flott_operators::sink::Committer;
use prost::Message;

/// A file that is complete but hidden.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PendingFile {
    /// URI of the directory.
    #[prost(string, tag = "1")]
    pub(super) directory: String,
    /// Its name now.
    #[prost(string, tag = "2")]
    pub(super) pending: String,
    /// Its name when it is committed.
    #[prost(string, tag = "3")]
    pub(super) committed: String,
}

fn failed(what: &str, error: &FileSystemError) -> TaskError {
    TaskError::transient(format!("output '{what}' cannot be committed: {error}"))
}

/// Checks at submission that the output directory has nothing in it (unless an earlier attempt of
/// the application has begun to write), creates it, and gives its full URI: the same everywhere.
pub async fn prepare_output(
    files: &FileSystems,
    directory: &str,
    retry: bool,
) -> Result<String, TaskError> {
    let refused = |error: FileSystemError| {
        TaskError::user(format!("output '{directory}' cannot be written: {error}"))
    };
    let (fs, path) = files.resolve(directory).map_err(refused)?;
    match fs.status(&path).await {
        Ok(status) if !status.is_dir => {
            return Err(TaskError::user(format!(
                "output '{directory}' exists and is a file"
            )));
        }
        Ok(_) => {
            if !retry && !fs.list(&path).await.map_err(refused)?.is_empty() {
                return Err(TaskError::user(format!(
                    "output '{directory}' exists and is not empty: remove it or choose another"
                )));
            }
            return Ok(fs.qualify(&path));
        }
        Err(error) if *error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(refused(error)),
    }
    fs.mkdirs(&path, 0o755).await.map_err(refused)?;
    Ok(fs.qualify(&path))
}

/// Removes what attempts that did not finish left in the directory.
pub async fn clean_directory(
    fs: &dyn FileSystem,
    path: &str,
    keep: &BTreeSet<String>,
) -> Result<(), FileSystemError> {
    for status in fs.list(path).await? {
        let name = file_name(&status.path);
        let ours = name.starts_with(".part-") && name.ends_with(".inprogress");
        if ours && !keep.contains(name) {
            match fs.delete(&status.path, false).await {
                Err(error) if *error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => (),
            }
        }
    }
    Ok(())
}

/// Renames every pending file; a file that was renamed before is fine.
pub fn committer() -> Committer {
    Arc::new(|files, committables| Box::pin(async move { commit(&files, &committables).await }))
}

async fn commit(files: &FileSystems, committables: &[Vec<u8>]) -> Result<(), TaskError> {
    let mut directories = BTreeSet::new();
    for bytes in committables {
        let file = PendingFile::decode(bytes.as_slice()).map_err(|error| {
            TaskError::fatal(format!(
                "a committable of the file sink cannot be read: {error}"
            ))
        })?;
        rename(files, &file).await?;
        directories.insert(file.directory);
    }
    for directory in &directories {
        let (fs, path) = files
            .resolve(directory)
            .map_err(|error| failed(directory, &error))?;
        clean_directory(fs.as_ref(), &path, &BTreeSet::new())
            .await
            .map_err(|error| failed(directory, &error))?;
    }
    Ok(())
}

async fn rename(files: &FileSystems, file: &PendingFile) -> Result<(), TaskError> {
    let target = join(&file.directory, &file.committed);
    let (fs, to) = files
        .resolve(&target)
        .map_err(|error| failed(&target, &error))?;
    let (_, from) = files
        .resolve(&join(&file.directory, &file.pending))
        .map_err(|error| failed(&target, &error))?;
    match fs.rename(&from, &to).await {
        Ok(()) => Ok(()),
        // Committed by an earlier try whose answer was lost.
        Err(error) if *error.kind() == ErrorKind::NotFound && fs.status(&to).await.is_ok() => {
            Ok(())
        }
        Err(error) => Err(failed(&target, &error)),
    }
}
