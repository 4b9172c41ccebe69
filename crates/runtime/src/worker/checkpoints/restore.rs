//! Reads the state that tasks begin from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use flott_filesystem::{FileSystemError, FileSystems, READ_CHUNK, join};
use flott_model::{ExecutionAttemptId, OperatorRestore, OperatorUid, StateHandle, SubtaskRestore};
use flott_operators::TaskError;
use flott_operators::checkpoint::cannot;
use flott_state::{RestorePlace, RestoredOperator, StateBlob};
use futures::future::try_join_all;

use super::kept::Operators;
use super::restores::{RestoredFrom, Restores};

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

impl Place {
    fn of(&self, operator: &OperatorRestore) -> RestorePlace {
        let subtask = self.attempt.subtask;
        let (all, old) = (self.max_parallelism, operator.old_parallelism);
        RestorePlace::new(subtask, self.parallelism, all, old)
    }
}

/// Brings what one task begins from: of the worker's memory what it has kept, else from storage.
pub(in crate::worker) struct Fetch {
    pub(in crate::worker) files: Arc<FileSystems>,
    pub(in crate::worker) place: Place,
    /// What the worker has kept of the checkpoint.
    pub(in crate::worker) kept: Option<Operators>,
    pub(in crate::worker) counts: Arc<Restores>,
}

impl Fetch {
    pub(in crate::worker) async fn run(
        self,
        restore: SubtaskRestore,
    ) -> Result<Restored, TaskError> {
        let since = Instant::now();
        let mut read = Read::default();
        let mut operators = BTreeMap::new();
        for operator in &restore.operators {
            let uid = uid_of(&operator.operator)?;
            let opened = self.open(&restore.directory, uid, operator, &mut read);
            operators.insert(uid, opened.await?);
        }
        if !operators.is_empty() {
            let from = read.origin(self.kept.is_some());
            self.counts.count(from);
            tracing::info!(
                attempt = %self.place.attempt,
                checkpoint = restore.checkpoint,
                from = from.as_str(),
                bytes = read.storage,
                millis = since.elapsed().as_millis(),
                "state restored"
            );
        }
        Ok(Restored {
            operators,
            finished: restore.finished,
        })
    }

    async fn open(
        &self,
        directory: &str,
        uid: OperatorUid,
        operator: &OperatorRestore,
        read: &mut Read,
    ) -> Result<RestoredOperator, TaskError> {
        let place = self.place.of(operator);
        let kept = self.kept.as_ref().and_then(|kept| kept.get(&uid));
        let kept = kept.filter(|kept| {
            let max_parallelism = kept.max_parallelism();
            place.parallelism == place.old_parallelism && max_parallelism == place.max_parallelism
        });
        if let Some(kept) = kept
            && is_own(place.subtask, operator)
        {
            return Ok(RestoredOperator::retained(place, kept));
        }
        let states = operator.states.iter().filter_map(|old| {
            let handle = old.state.as_ref()?;
            let states = self.read(directory, handle);
            Some(async move { Ok::<_, TaskError>((old.subtask, states.await?)) })
        });
        let states = try_join_all(states).await?;
        read.storage += states.iter().map(|(_, it)| it.read).sum::<u64>();
        let states = states.into_iter().map(|(old, it)| (old, it.blob)).collect();
        if let Some(kept) = kept {
            let opened = RestoredOperator::retained_keyed(place, kept, states);
            return opened.map_err(|error| cannot("restored", &error));
        }
        let keyed = operator.keyed.iter();
        let keyed = try_join_all(keyed.map(|handle| self.read(directory, handle))).await?;
        read.storage += keyed.iter().map(|it| it.read).sum::<u64>();
        let keyed = keyed.into_iter().map(|it| it.blob).collect();
        // Parsing looks at headers only; rows are read where states are registered.
        RestoredOperator::open(place, keyed, states).map_err(|error| cannot("restored", &error))
    }

    async fn read(&self, directory: &str, handle: &StateHandle) -> Result<Opened, TaskError> {
        if handle.file.is_empty() {
            let blob = Box::new(handle.inline.clone());
            return Ok(Opened { blob, read: 0 });
        }
        let blob = read(&self.files, directory, handle).await?;
        let read = handle.length;
        Ok(Opened { blob, read })
    }
}

/// Whether a subtask begins with nothing but its own state: no other's, as of union lists.
fn is_own(subtask: u32, operator: &OperatorRestore) -> bool {
    operator.states.iter().all(|old| old.subtask == subtask)
}

/// A blob, and how many bytes of files were read for it.
struct Opened {
    blob: Box<dyn StateBlob>,
    read: u64,
}

/// Bytes read from files.
#[derive(Default)]
struct Read {
    storage: u64,
}

impl Read {
    fn origin(&self, kept: bool) -> RestoredFrom {
        if kept && self.storage == 0 {
            RestoredFrom::Memory
        } else {
            RestoredFrom::Storage
        }
    }
}

fn uid_of(bytes: &[u8]) -> Result<OperatorUid, TaskError> {
    let uid: [u8; 16] = bytes.try_into().map_err(|_| {
        TaskError::fatal("the checkpoint is damaged: the uid of an operator has not 16 bytes")
    })?;
    Ok(OperatorUid(u128::from_be_bytes(uid)))
}

async fn read(
    files: &FileSystems,
    directory: &str,
    handle: &StateHandle,
) -> Result<Box<dyn StateBlob>, TaskError> {
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

#[cfg(test)]
mod tests;
