//! Reads the state that tasks begin from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use flott_filesystem::{FileSystemError, FileSystems, READ_CHUNK, join};
use flott_model::{
    ChannelRestore, EdgeId, EdgeName, ExecutionAttemptId, JobGraph, OperatorRestore, OperatorUid,
    StateHandle, SubtaskRestore,
};
use flott_operators::TaskError;
use flott_operators::checkpoint::{Recovered, cannot};
use flott_state::{ChannelElement, RestorePlace, RestoredOperator, StateBlob, read_channel};
use futures::future::try_join_all;

use super::kept::Operators;
use super::restores::{RestoredFrom, Restores};

/// What a task begins from.
#[derive(Default)]
pub(in crate::worker) struct Restored {
    pub(in crate::worker) operators: BTreeMap<OperatorUid, RestoredOperator>,
    pub(in crate::worker) finished: bool,
    /// What it sends first.
    pub(in crate::worker) recovered: BTreeMap<EdgeId, Vec<Recovered>>,
}

/// Where a task is among the subtasks of its vertex.
#[derive(Clone, Copy)]
pub(in crate::worker) struct Place {
    pub(in crate::worker) attempt: ExecutionAttemptId,
    pub(in crate::worker) parallelism: u32,
    pub(in crate::worker) max_parallelism: u32,
}

/// What snapshots must know of an edge.
#[derive(Debug, Clone)]
pub(in crate::worker) struct Edge {
    pub(in crate::worker) name: EdgeName,
    pub(in crate::worker) ship: i32,
    /// Hash of the layout of its records.
    pub(in crate::worker) schema: u64,
}

impl Edge {
    /// All edges of a graph.
    pub(in crate::worker) fn all(graph: &JobGraph) -> Arc<[Self]> {
        let named = graph.edge_names().into_iter().zip(&graph.edges);
        let edges = named.map(|(name, edge)| Self {
            name,
            ship: edge.ship,
            schema: edge.record_schema,
        });
        edges.collect()
    }
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

impl Place {
    fn of(&self, operator: &OperatorRestore) -> RestorePlace {
        let subtask = self.attempt.subtask;
        let (all, old) = (self.max_parallelism, operator.old_parallelism);
        RestorePlace::new(subtask, self.parallelism, all, old)
    }
}

/// Brings what one task begins from: of the worker's memory what it has kept, else from storage.
pub(in crate::worker) struct Fetch {
    pub(in crate::worker) from: RestoreFrom,
    pub(in crate::worker) place: Place,
    /// What the worker has kept of the checkpoint.
    pub(in crate::worker) kept: Option<Operators>,
    pub(in crate::worker) counts: Arc<Restores>,
    pub(in crate::worker) edges: Arc<[Edge]>,
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
        let mut recovered: BTreeMap<EdgeId, Vec<Recovered>> = BTreeMap::new();
        for channel in restore.channels {
            let (edge, target) = (EdgeId(channel.edge), channel.target);
            let elements = on_its_way(&self.from.files, &restore.directory, &self.edges, channel);
            let elements = elements.await?;
            let recovered = recovered.entry(edge).or_default();
            recovered.push(Recovered { target, elements });
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
            recovered,
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
        let blob = read(&self.from, directory, handle).await?;
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

/// What was on its way in a channel.
async fn on_its_way(
    files: &FileSystems,
    directory: &str,
    edges: &[Edge],
    channel: ChannelRestore,
) -> Result<Vec<ChannelElement>, TaskError> {
    let schema = edges
        .get(channel.edge as usize)
        .map_or(0, |edge| edge.schema);
    let mut elements = Vec::new();
    for handle in &channel.states {
        let bytes = read_bytes(files, directory, handle).await?;
        let read = read_channel(&bytes, schema).map_err(|error| {
            let place = match handle.file.as_str() {
                "" => "_metadata".to_owned(),
                file => format!("'{file}' at {}", handle.offset),
            };
            TaskError::fatal(format!(
                "records that were on their way cannot be restored from {place}: {error}"
            ))
        })?;
        elements.extend(read);
    }
    Ok(elements)
}

fn uid_of(bytes: &[u8]) -> Result<OperatorUid, TaskError> {
    let uid: [u8; 16] = bytes.try_into().map_err(|_| {
        TaskError::fatal("the checkpoint is damaged: the uid of an operator has not 16 bytes")
    })?;
    Ok(OperatorUid(u128::from_be_bytes(uid)))
}

async fn read(
    files: &RestoreFrom,
    directory: &str,
    handle: &StateHandle,
) -> Result<Box<dyn StateBlob>, TaskError> {
    match &files.spool {
        Some(spool) if handle.length > MOST_IN_MEMORY && !handle.file.is_empty() => {
            let path = path_of(directory, handle);
            let (file, length) = spool_range(files, spool, (&path, handle)).await?;
            check_length(&path, handle, length)?;
            Ok(Box::new(file))
        }
        _ => Ok(Box::new(read_bytes(&files.files, directory, handle).await?)),
    }
}

fn path_of(directory: &str, handle: &StateHandle) -> String {
    if handle.file.contains('/') {
        handle.file.clone()
    } else {
        join(directory, &handle.file)
    }
}

async fn read_bytes(
    files: &FileSystems,
    directory: &str,
    handle: &StateHandle,
) -> Result<Vec<u8>, TaskError> {
    if handle.file.is_empty() {
        return Ok(handle.inline.clone());
    }
    let path = path_of(directory, handle);
    let mut bytes = Vec::new();
    let take = |chunk: &Bytes| {
        bytes.extend_from_slice(chunk);
        Ok(())
    };
    let length = read_range(files, &path, handle, take)
        .await
        .map_err(|error| {
            TaskError::transient(format!("state cannot be read from '{path}': {error}"))
        })?;
    check_length(&path, handle, length)?;
    Ok(bytes)
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

#[cfg(test)]
mod tests;
