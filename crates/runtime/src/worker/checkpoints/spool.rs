//! State as files hold it: read whole, or copied to disk where it is restored into a cold store.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use flott_filesystem::{FileSystemError, FileSystems, READ_CHUNK};
use flott_model::StateHandle;
use flott_operators::TaskError;

/// All bytes of a handle that names a file.
pub(super) async fn read_whole(
    files: &FileSystems,
    path: &str,
    handle: &StateHandle,
) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::new();
    let take = |chunk: &Bytes| {
        bytes.extend_from_slice(chunk);
        Ok(())
    };
    let read = read_range(files, path, handle, take).await;
    let length = read.map_err(|error| {
        TaskError::transient(format!("state cannot be read from '{path}': {error}"))
    })?;
    check_length(path, handle, length)?;
    Ok(bytes)
}

/// Copies state into a file that nobody else sees and that goes when it is closed.
pub(super) async fn copy(
    files: &FileSystems,
    spool: &Path,
    (path, handle): (&str, &StateHandle),
) -> Result<File, TaskError> {
    let failed = |error: &dyn std::fmt::Display| {
        let spool = spool.display();
        TaskError::transient(format!(
            "state from '{path}' cannot be copied to '{spool}': {error}"
        ))
    };
    let mut file = unnamed(spool).map_err(|error| failed(&error))?;
    // Into the page cache: as fast as memory, mostly.
    let take = |chunk: &Bytes| file.write_all(chunk);
    let read = read_range(files, path, handle, take).await;
    let length = read.map_err(|error| failed(&error))?;
    check_length(path, handle, length)?;
    Ok(file)
}

fn check_length(path: &str, handle: &StateHandle, read: u64) -> Result<(), TaskError> {
    if read == handle.length {
        return Ok(());
    }
    Err(TaskError::fatal(format!(
        "state cannot be read from '{path}': the file ends after {read} of {} bytes from {} on; it is \
         not the file that the checkpoint was written to",
        handle.length, handle.offset
    )))
}

fn unnamed(directory: &Path) -> io::Result<File> {
    let path = directory.join(format!("restore-{}", uuid::Uuid::new_v4()));
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Why state could not be read or copied.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Read(#[from] FileSystemError),
    #[error(transparent)]
    Copy(#[from] io::Error),
}

/// Gives the bytes that there are to `take`. How many there were.
async fn read_range(
    files: &FileSystems,
    path: &str,
    handle: &StateHandle,
    mut take: impl FnMut(&Bytes) -> io::Result<()> + Send,
) -> Result<u64, Failed> {
    let (fs, path) = files.resolve(path)?;
    let reader = fs.open(&path).await?;
    // A damaged length must not reserve memory for what is not there.
    let there = reader
        .len()
        .saturating_sub(handle.offset)
        .min(handle.length);
    let mut read = 0;
    while read < there {
        let wanted = (there - read).min(READ_CHUNK as u64) as usize;
        let chunk: Bytes = reader.read_at(handle.offset + read, wanted).await?;
        if chunk.is_empty() {
            break;
        }
        take(&chunk)?;
        read += chunk.len() as u64;
    }
    Ok(read)
}
