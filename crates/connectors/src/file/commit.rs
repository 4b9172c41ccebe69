//! Makes the files of a finished job visible, once.

use std::collections::{BTreeMap, BTreeSet};
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

/// Beginning of the names of an operator's finished files.
fn committed_prefix(operator: u32) -> String {
    format!("part-{operator}-")
}

/// Name of a finished file.
pub(super) fn committed_name(operator: u32, subtask: u32, id: &str) -> String {
    format!("{}{subtask}-{id}", committed_prefix(operator))
}

/// Name of a hidden file.
pub(super) fn pending_name(operator: u32, subtask: u32, id: &str) -> String {
    format!("{}{subtask}-{id}{IN_PROGRESS}", pending_prefix(operator))
}

fn failed(what: &str, error: &FileSystemError) -> TaskError {
    TaskError::transient(format!("output '{what}' cannot be committed: {error}"))
}

/// When [`prepare_output`] is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionStage {
    /// The plan is wanted, the job will not run: nothing is created.
    Plan,
    /// The job is about to be submitted.
    First,
    /// An earlier attempt of the application was checked and may have begun to write.
    Retry,
}

/// Checks at submission that the output directory has nothing in it (unless an earlier attempt of
/// the application has begun to write), creates it, and gives its full URI: the same everywhere.
pub async fn prepare_output(
    files: &FileSystems,
    directory: &str,
    stage: SubmissionStage,
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
            if stage != SubmissionStage::Retry && !found.is_empty() {
                return Err(occupied(directory, &found));
            }
            return Ok(fs.qualify(&path));
        }
        Err(error) if *error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(refused(error)),
    }
    if stage != SubmissionStage::Plan {
        fs.mkdirs(&path, 0o755).await.map_err(refused)?;
    }
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

/// Removes what an operator of a job that did not finish left: its hidden files, and the directory
/// if nothing else is in it.
pub async fn abandon_output(
    files: &FileSystems,
    directory: &str,
    operator: u32,
) -> Result<(), TaskError> {
    let refused = |error: FileSystemError| {
        TaskError::transient(format!("output '{directory}' cannot be cleaned: {error}"))
    };
    let (fs, path) = files.resolve(directory).map_err(refused)?;
    let cleaned = async {
        clean_directory(fs.as_ref(), &path, operator).await?;
        if fs.list(&path).await?.is_empty() {
            fs.delete(&path, false).await?;
        }
        Ok::<(), FileSystemError>(())
    };
    match cleaned.await {
        Err(error) if *error.kind() != ErrorKind::NotFound => Err(refused(error)),
        Ok(()) | Err(_) => Ok(()),
    }
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
    let mut directories: BTreeMap<String, Vec<PendingFile>> = BTreeMap::new();
    for bytes in committables {
        let file = PendingFile::decode(bytes.as_slice()).map_err(|error| {
            TaskError::fatal(format!(
                "a committable of the file sink cannot be read: {error}"
            ))
        })?;
        let directory = file.directory.clone();
        directories.entry(directory).or_default().push(file);
    }
    for (directory, pending) in &directories {
        let (fs, path) = files
            .resolve(directory)
            .map_err(|error| failed(directory, &error))?;
        remove_stale(fs.as_ref(), &path, operator, pending)
            .await
            .map_err(|error| failed(directory, &error))?;
        for file in pending {
            rename(files, file).await?;
        }
        clean_directory(fs.as_ref(), &path, operator)
            .await
            .map_err(|error| failed(directory, &error))?;
    }
    Ok(())
}

/// Removes what an earlier attempt of the application had committed when it died in the middle: the
/// directory was empty at submission, and the job has run again from its beginning.
async fn remove_stale(
    fs: &dyn FileSystem,
    path: &str,
    operator: u32,
    pending: &[PendingFile],
) -> Result<(), FileSystemError> {
    let prefix = committed_prefix(operator);
    let own: BTreeSet<&str> = pending.iter().map(|file| file.committed.as_str()).collect();
    for status in fs.list(path).await? {
        let name = file_name(&status.path);
        if name.starts_with(&prefix) && !own.contains(name) {
            fs.delete(&status.path, false).await?;
        }
    }
    Ok(())
}

/// The same for a sink whose files are in directories below its own.
pub(super) async fn commit_tree(
    files: &FileSystems,
    directory: &str,
    operator: u32,
    pending: &[PendingFile],
) -> Result<(), TaskError> {
    let refused = |error: FileSystemError| failed(directory, &error);
    let (fs, root) = files.resolve(directory).map_err(refused)?;
    let own: BTreeSet<&str> = pending.iter().map(|file| file.committed.as_str()).collect();
    let prefix = committed_prefix(operator);
    for status in fs.list_recursive(&root).await.map_err(refused)? {
        let name = file_name(&status.path);
        // What an earlier attempt of the application had committed when it died in the middle.
        if !status.is_dir && name.starts_with(&prefix) && !own.contains(name) {
            fs.delete(&status.path, false).await.map_err(refused)?;
        }
    }
    for file in pending {
        rename(files, file).await?;
    }
    clean_tree(fs.as_ref(), &root, operator)
        .await
        .map_err(refused)
}

/// Removes the hidden files of an operator below a directory, and directories that are empty then.
async fn clean_tree(fs: &dyn FileSystem, root: &str, operator: u32) -> Result<(), FileSystemError> {
    let mut directories = vec![root.to_owned()];
    for status in fs.list_recursive(root).await? {
        if status.is_dir {
            directories.push(status.path);
        }
    }
    // The deepest ones first.
    directories.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for directory in directories {
        clean_directory(fs, &directory, operator).await?;
        if directory != root && fs.list(&directory).await?.is_empty() {
            fs.delete(&directory, false).await?;
        }
    }
    Ok(())
}

/// [`abandon_output`] for a sink whose files are in directories below its own.
pub(super) async fn abandon_tree(
    files: &FileSystems,
    directory: &str,
    operator: u32,
) -> Result<(), TaskError> {
    let refused = |error: FileSystemError| {
        TaskError::transient(format!("output '{directory}' cannot be cleaned: {error}"))
    };
    let (fs, root) = files.resolve(directory).map_err(refused)?;
    match clean_tree(fs.as_ref(), &root, operator).await {
        Err(error) if *error.kind() != ErrorKind::NotFound => Err(refused(error)),
        Ok(()) | Err(_) => abandon_output(files, directory, operator).await,
    }
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
