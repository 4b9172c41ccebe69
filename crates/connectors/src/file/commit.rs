//! Makes the files of a finished job visible, once; and what is done with their directory before and
//! after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_filesystem::{
    ErrorKind, FileStatus, FileSystem, FileSystemError, FileSystems, file_name, parent,
};
use flott_operators::TaskError;
use flott_operators::sink::CommitStage;
use tokio::task::JoinSet;

use super::part::{IN_PROGRESS, PartFile, PartNames, Visibility};

/// Renames under way at the same time.
const RENAMES: usize = 16;

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
        name.starts_with('.') && name.ends_with(IN_PROGRESS)
    });
    TaskError::user(if hidden {
        format!(
            "output '{directory}' has hidden files (.*{IN_PROGRESS}) of a job that did not \
             finish or is still running: remove it or choose another"
        )
    } else {
        format!("output '{directory}' exists and is not empty: remove it or choose another")
    })
}

/// The directory of a sink, and which files in it are the sink's.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// Its URI.
    pub(super) directory: String,
    pub(super) names: PartNames,
    /// Position of the sink in the program.
    pub(super) operator: u32,
}

fn failed(what: &str, error: &FileSystemError) -> TaskError {
    TaskError::transient(format!("output '{what}' cannot be committed: {error}"))
}

impl Output {
    /// Renames these files; one that was renamed before is fine. At the end of the job, removes what
    /// attempts left that did not finish.
    pub(super) async fn commit(
        &self,
        files: &Arc<FileSystems>,
        stage: CommitStage,
        parts: Vec<PartFile>,
    ) -> Result<(), TaskError> {
        if stage == CommitStage::EndWithoutCheckpoints {
            self.remove_stale(files, &parts).await?;
        }
        let mut renames = JoinSet::new();
        for part in &parts {
            if renames.len() >= RENAMES {
                join_one(&mut renames).await?;
            }
            let (files, from) = (Arc::clone(files), part.pending(&self.directory));
            renames.spawn(rename(files, from, part.committed(&self.directory)));
        }
        while !renames.is_empty() {
            join_one(&mut renames).await?;
        }
        if stage == CommitStage::Checkpoint {
            // The job goes on: what is hidden is being written.
            return Ok(());
        }
        let left = |visibility, _: &str| visibility == Visibility::Hidden;
        self.remove(files, left)
            .await
            .map_err(|error| failed(&self.directory, &error))
    }

    /// The directory was empty at submission, and the job has run again from its beginning: what an
    /// earlier attempt of the application had committed when it died in the middle must go.
    async fn remove_stale(&self, files: &FileSystems, parts: &[PartFile]) -> Result<(), TaskError> {
        let own: BTreeSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let stale = |visibility, name: &str| match visibility {
            Visibility::Visible => !own.contains(name),
            Visibility::Hidden => false,
        };
        let removed = self.remove(files, stale).await;
        removed.map_err(|error| failed(&self.directory, &error))
    }

    /// Removes the hidden files, and the directory if nothing else is in it.
    pub(super) async fn abandon(&self, files: &FileSystems) -> Result<(), TaskError> {
        let left = |visibility, _: &str| visibility == Visibility::Hidden;
        let abandoned = async {
            self.remove(files, left).await?;
            let (fs, root) = files.resolve(&self.directory)?;
            delete_if_empty(fs.as_ref(), &root).await
        };
        match abandoned.await {
            Err(error) if *error.kind() != ErrorKind::NotFound => {
                let directory = &self.directory;
                let message = format!("output '{directory}' cannot be cleaned: {error}");
                Err(TaskError::transient(message))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes files of the sink, and directories below its own in which nothing is then.
    async fn remove(
        &self,
        files: &FileSystems,
        unwanted: impl Fn(Visibility, &str) -> bool,
    ) -> Result<(), FileSystemError> {
        let (fs, root) = files.resolve(&self.directory)?;
        let mut directories: BTreeMap<String, usize> = BTreeMap::new();
        for status in fs.list_recursive(&root).await? {
            let name = file_name(&status.path);
            let own = self.names.recognize(self.operator, name);
            let gone = !status.is_dir && own.is_some_and(|visibility| unwanted(visibility, name));
            if gone {
                delete(fs.as_ref(), &status.path).await?;
            } else {
                *directories
                    .entry(parent(&status.path).to_owned())
                    .or_default() += 1;
            }
            if status.is_dir {
                directories.entry(status.path).or_default();
            }
        }
        // Those below a directory come behind it.
        while let Some((directory, entries)) = directories.pop_last() {
            if entries == 0 && directory != root {
                delete_if_empty(fs.as_ref(), &directory).await?;
                if let Some(entries) = directories.get_mut(parent(&directory)) {
                    *entries = entries.saturating_sub(1);
                }
            }
        }
        Ok(())
    }
}

async fn delete(fs: &dyn FileSystem, path: &str) -> Result<(), FileSystemError> {
    match fs.delete(path, false).await {
        Err(error) if *error.kind() != ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Another sink of the job may have put something into it meanwhile.
async fn delete_if_empty(fs: &dyn FileSystem, path: &str) -> Result<(), FileSystemError> {
    match delete(fs, path).await {
        Err(error) if *error.kind() != ErrorKind::NotEmpty => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn join_one(renames: &mut JoinSet<Result<(), TaskError>>) -> Result<(), TaskError> {
    match renames.join_next().await {
        Some(Ok(renamed)) => renamed,
        Some(Err(error)) => {
            let message = format!("renaming an output file panicked: {error}");
            Err(TaskError::fatal(message))
        }
        None => Ok(()),
    }
}

async fn rename(files: Arc<FileSystems>, from: String, target: String) -> Result<(), TaskError> {
    let failed = |error: FileSystemError| failed(&target, &error);
    let (fs, to) = files.resolve(&target).map_err(failed)?;
    let (_, from) = files.resolve(&from).map_err(failed)?;
    match fs.rename(&from, &to).await {
        Ok(()) => Ok(()),
        // Committed by an earlier try whose answer was lost.
        Err(error) if *error.kind() == ErrorKind::NotFound && fs.status(&to).await.is_ok() => {
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests;
