//! Makes the files of a finished job visible, once.

use std::collections::BTreeSet;
use std::sync::Arc;

use flott_filesystem::{
    ErrorKind, FileStatus, FileSystem, FileSystemError, FileSystems, file_name, join,
};
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

/// End of the names of hidden files.
const IN_PROGRESS: &str = ".inprogress";

/// Beginning of the names of an operator's hidden files: several may write to one directory.
fn pending_prefix(operator: u32) -> String {
    format!(".part-{operator}-")
}

/// Name of a hidden file.
pub(super) fn pending_name(operator: u32, subtask: u32, id: &str) -> String {
    format!("{}{subtask}-{id}{IN_PROGRESS}", pending_prefix(operator))
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
            let found = fs.list(&path).await.map_err(refused)?;
            if !retry && !found.is_empty() {
                return Err(occupied(directory, &found));
            }
            return Ok(fs.qualify(&path));
        }
        Err(error) if *error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(refused(error)),
    }
    fs.mkdirs(&path, 0o755).await.map_err(refused)?;
    Ok(fs.qualify(&path))
}

/// Why a directory with something in it is refused. Hidden files are named: to the user's eyes
/// their directory is empty. They are not removed, because the job that writes them may be running.
fn occupied(directory: &str, found: &[FileStatus]) -> TaskError {
    let hidden = found.iter().all(|status| {
        let name = file_name(&status.path);
        name.starts_with(".part-") && name.ends_with(IN_PROGRESS)
    });
    TaskError::user(if hidden {
        format!(
            "output '{directory}' has hidden files (.part-*{IN_PROGRESS}) of a job that did not \
             finish or is still running: remove it or choose another"
        )
    } else {
        format!("output '{directory}' exists and is not empty: remove it or choose another")
    })
}

/// Removes what attempts of an operator that did not finish left in the directory.
pub async fn clean_directory(
    fs: &dyn FileSystem,
    path: &str,
    operator: u32,
) -> Result<(), FileSystemError> {
    let prefix = pending_prefix(operator);
    for status in fs.list(path).await? {
        let name = file_name(&status.path);
        if name.starts_with(&prefix) && name.ends_with(IN_PROGRESS) {
            match fs.delete(&status.path, false).await {
                Err(error) if *error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => (),
            }
        }
    }
    Ok(())
}

/// Renames every pending file of the operator at that position of the program; a file that was
/// renamed before is fine.
pub fn committer(operator: u32) -> Committer {
    Arc::new(move |files, committables| {
        Box::pin(async move { commit(&files, operator, &committables).await })
    })
}

async fn commit(
    files: &FileSystems,
    operator: u32,
    committables: &[Vec<u8>],
) -> Result<(), TaskError> {
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
        clean_directory(fs.as_ref(), &path, operator)
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

#[cfg(test)]
mod tests;
