//! Second copies of state files on the disks of the container: a worker that takes the place of one that has ended reads
//! them instead of the storage. They are a help, never needed: what cannot be written is not there, and what is missing
//! or damaged is read from the storage.
//!
//! ```text
//! <directory>/<job>/chk-<number>/<file>          as in storage
//!                                <file>.ranges   begin, length and CRC-32C of each blob in it
//! ```

mod copy;
mod range;

use std::io;
use std::path::{Path, PathBuf};

use flott_model::{CheckpointId, StateHandle};
use flott_protocol::message::WorkerSpec;
use flott_state::StateBlob;

pub(super) use copy::Copy;
use range::{FileRange, Range};

const PREFIX: &str = "chk-";
const RANGES: &str = ".ranges";

/// The copies of one job in one container.
#[derive(Debug, Clone, Default)]
pub(super) struct LocalCopies {
    /// Of the job; empty: there are none.
    directories: Vec<PathBuf>,
}

impl LocalCopies {
    /// Where the agent says.
    pub(super) fn new(spec: &WorkerSpec) -> Self {
        let directories = spec.local_state_dirs.iter();
        let directories = directories.map(|directory| Path::new(directory).join(&spec.job));
        Self {
            directories: directories.collect(),
        }
    }

    /// A copy of a file that is being written, if there is a place for it.
    pub(super) fn copy(&self, checkpoint: CheckpointId, file: &str) -> Option<Copy> {
        // Spread over the disks.
        let turn = file.bytes().map(usize::from).sum::<usize>();
        let directory = self.directories.get(turn % self.directories.len().max(1))?;
        Some(Copy::new(of_checkpoint(directory, checkpoint), file))
    }

    /// A checkpoint is complete: those before it are not needed any more.
    pub(super) fn completed(&self, checkpoint: CheckpointId) {
        self.delete(move |of| of < checkpoint);
    }

    /// A checkpoint was given up.
    pub(super) fn aborted(&self, checkpoint: CheckpointId) {
        self.delete(move |of| of == checkpoint);
    }

    /// Beside whoever calls.
    fn delete(&self, is_old: impl Fn(CheckpointId) -> bool + Send + 'static) {
        if self.directories.is_empty() {
            return;
        }
        let directories = self.directories.clone();
        tokio::task::spawn_blocking(move || {
            for directory in directories {
                if let Err(error) = delete_in(&directory, &is_old) {
                    let directory = directory.display();
                    tracing::warn!(%error, %directory, "copies of state are left");
                }
            }
        });
    }

    /// The blob of a checkpoint, if there is a good copy.
    pub(super) async fn find(
        &self,
        checkpoint: CheckpointId,
        handle: &StateHandle,
    ) -> Option<Box<dyn StateBlob>> {
        // Names with directories are of other places.
        if self.directories.is_empty() || handle.file.is_empty() || handle.file.contains('/') {
            return None;
        }
        let (copies, handle) = (self.clone(), handle.clone());
        let found = tokio::task::spawn_blocking(move || copies.find_now(checkpoint, &handle));
        found.await.ok()?
    }

    fn find_now(
        &self,
        checkpoint: CheckpointId,
        handle: &StateHandle,
    ) -> Option<Box<dyn StateBlob>> {
        let directories = self.directories.iter();
        let mut files = directories.map(|it| of_checkpoint(it, checkpoint).join(&handle.file));
        let file = files.find(|file| file.exists())?;
        match open(&file, handle) {
            Ok(range) => Some(Box::new(range)),
            Err(error) => {
                let file = file.display();
                tracing::warn!(%error, %file, "a copy of state cannot be used: the storage is read");
                None
            }
        }
    }
}

fn of_checkpoint(directory: &Path, checkpoint: CheckpointId) -> PathBuf {
    directory.join(format!("{PREFIX}{checkpoint}"))
}

fn ranges_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(RANGES);
    name.into()
}

fn open(file: &Path, handle: &StateHandle) -> io::Result<FileRange> {
    let text = std::fs::read_to_string(ranges_of(file))?;
    let ranges = text.lines().filter_map(Range::parse);
    let mut same = ranges.filter(|it| (it.offset, it.length) == (handle.offset, handle.length));
    let range = same.next().ok_or_else(|| {
        let what = format!(
            "it has no state of {} bytes from {} on",
            handle.length, handle.offset
        );
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    FileRange::open(file, range)
}

fn delete_in(directory: &Path, is_old: &impl Fn(CheckpointId) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let number = number.and_then(|number| number.parse().ok());
        if number.is_some_and(|number| is_old(CheckpointId(number))) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
