//! Reads the state that tasks begin from.

use std::collections::BTreeMap;
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

/// Reads what one task begins from.
pub(in crate::worker) async fn fetch(
    files: Arc<FileSystems>,
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
    files: &FileSystems,
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
    files: &FileSystems,
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
    let bytes = read_range(files, &path, handle.offset, handle.length).await;
    let bytes = bytes.map_err(|error| {
        TaskError::transient(format!("state cannot be read from '{path}': {error}"))
    })?;
    if bytes.len() as u64 != handle.length {
        return Err(TaskError::fatal(format!(
            "state cannot be read from '{path}': the file ends after {} of {} bytes from {} on; \
             it is not the file that the checkpoint was written to",
            bytes.len(),
            handle.length,
            handle.offset
        )));
    }
    Ok(Box::new(bytes))
}

async fn read_range(
    files: &FileSystems,
    path: &str,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, FileSystemError> {
    let (fs, path) = files.resolve(path)?;
    let reader = fs.open(&path).await?;
    // A damaged length must not reserve memory for what is not there.
    let there = reader.len().saturating_sub(offset).min(length);
    let mut bytes = Vec::with_capacity(usize::try_from(there).unwrap_or(0));
    while (bytes.len() as u64) < there {
        let at = bytes.len() as u64;
        let wanted = (there - at).min(READ_CHUNK as u64) as usize;
        let chunk: Bytes = reader.read_at(offset + at, wanted).await?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
