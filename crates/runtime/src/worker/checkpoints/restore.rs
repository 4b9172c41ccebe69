//! Reads the state that tasks begin from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flott_filesystem::{FileSystemError, FileSystems, READ_CHUNK, join};
use flott_model::{ExecutionAttemptId, OperatorRestore, OperatorUid, StateHandle, SubtaskRestore};
use flott_operators::TaskError;
use flott_operators::checkpoint::cannot;
use flott_state::{RestorePlace, RestoredOperator, StateBlob};
use futures::future::try_join_all;

/// What a task begins from.
#[derive(Default)]
pub(in crate::worker) struct Restored {
    pub(in crate::worker) operators: BTreeMap<OperatorUid, RestoredOperator>,
    pub(in crate::worker) finished: bool,
}

/// Where a task is among the subtasks of its vertex.
#[derive(Clone, Copy)]
pub(in crate::worker) struct Place {
    pub(in crate::worker) attempt: ExecutionAttemptId,
    pub(in crate::worker) parallelism: u32,
    pub(in crate::worker) max_parallelism: u32,
}

/// State that is longer is kept on disk until it is restored, where there is a place for that.
const MOST_IN_MEMORY: u64 = 1 << 20;

/// Where state is read from, and where much of it waits until it is restored.
#[derive(Clone)]
pub(in crate::worker) struct RestoreFrom {
    pub(in crate::worker) files: Arc<FileSystems>,
    /// `None`: in memory, as state will be there.
    pub(in crate::worker) spool: Option<PathBuf>,
}

/// Reads what one task begins from.
pub(in crate::worker) async fn fetch(
    files: RestoreFrom,
    place: Place,
    restore: SubtaskRestore,
) -> Result<Restored, TaskError> {
    let mut operators = BTreeMap::new();
    for operator in restore.operators {
        let uid = uid_of(&operator.operator)?;
        let opened = open(&files, &restore.directory, place, operator).await?;
        operators.insert(uid, opened);
    }
    Ok(Restored {
        operators,
        finished: restore.finished,
    })
}

fn uid_of(bytes: &[u8]) -> Result<OperatorUid, TaskError> {
    let uid: [u8; 16] = bytes.try_into().map_err(|_| {
        TaskError::fatal("the checkpoint is damaged: the uid of an operator has not 16 bytes")
    })?;
    Ok(OperatorUid(u128::from_be_bytes(uid)))
}

async fn open(
    files: &RestoreFrom,
    directory: &str,
    place: Place,
    operator: OperatorRestore,
) -> Result<RestoredOperator, TaskError> {
    let keyed = operator.keyed.iter();
    let keyed = try_join_all(keyed.map(|handle| read(files, directory, handle))).await?;
    let states = operator.states.iter().filter_map(|old| {
        let handle = old.state.as_ref()?;
        Some(
            async move { Ok::<_, TaskError>((old.subtask, read(files, directory, handle).await?)) },
        )
    });
    let states = try_join_all(states).await?;
    let subtask = place.attempt.subtask;
    let (all, old) = (place.max_parallelism, operator.old_parallelism);
    let place = RestorePlace::new(subtask, place.parallelism, all, old);
    // Parsing looks at headers only; rows are read where states are registered.
    RestoredOperator::open(place, keyed, states).map_err(|error| cannot("restored", &error))
}

async fn read(
    files: &RestoreFrom,
    directory: &str,
    handle: &StateHandle,
) -> Result<Box<dyn StateBlob>, TaskError> {
    if handle.file.is_empty() {
        return Ok(Box::new(handle.inline.clone()));
    }
    let path = if handle.file.contains('/') {
        handle.file.clone()
    } else {
        join(directory, &handle.file)
    };
    let failed = |error: &dyn std::fmt::Display| {
        TaskError::transient(format!("state cannot be read from '{path}': {error}"))
    };
    let kept: Box<dyn StateBlob> = match &files.spool {
        Some(spool) if handle.length > MOST_IN_MEMORY => {
            let (file, length) = spool_range(files, spool, (&path, handle)).await?;
            check_length(&path, handle, length)?;
            Box::new(file)
        }
        _ => {
            let mut bytes = Vec::new();
            let take = |chunk: &Bytes| {
                bytes.extend_from_slice(chunk);
                Ok(())
            };
            let read = read_range(&files.files, &path, handle, take).await;
            let length = read.map_err(|error| failed(&error))?;
            check_length(&path, handle, length)?;
            Box::new(bytes)
        }
    };
    Ok(kept)
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

/// Copies state into a file that nobody else sees and that goes when it is closed.
async fn spool_range(
    files: &RestoreFrom,
    spool: &Path,
    (path, handle): (&str, &StateHandle),
) -> Result<(File, u64), TaskError> {
    let failed = |error: &dyn std::fmt::Display| {
        let spool = spool.display();
        TaskError::transient(format!(
            "state from '{path}' cannot be copied to '{spool}': {error}"
        ))
    };
    let mut file = unnamed(spool).map_err(|error| failed(&error))?;
    // Into the page cache: as fast as memory, mostly.
    let take = |chunk: &Bytes| file.write_all(chunk);
    let read = read_range(&files.files, path, handle, take).await;
    let length = read.map_err(|error| failed(&error))?;
    Ok((file, length))
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
