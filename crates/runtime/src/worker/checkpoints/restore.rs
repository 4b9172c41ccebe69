//! Reads the state that tasks begin from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use flott_filesystem::{FileSystemError, FileSystems, join};
use flott_model::{
    ChannelRestore, CheckpointId, EdgeId, EdgeName, ExecutionAttemptId, JobGraph, OperatorRestore,
    OperatorUid, StateHandle, SubtaskRestore,
};
use flott_operators::TaskError;
use flott_operators::checkpoint::{Recovered, cannot};
use flott_state::{ChannelElement, RestorePlace, RestoredOperator, StateBlob, read_channel};
use futures::future::try_join_all;

use super::kept::Operators;
use super::local::LocalCopies;
use super::ranged::{Parts, Stored};
use super::restores::{RestoredFrom, Restores};
use super::spool;

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
    /// What a worker before this one has copied to the disks of the container.
    pub(in crate::worker::checkpoints) local: LocalCopies,
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
            let opened = self.open(&restore, uid, operator, &mut read);
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
                bytes = read.storage + read.local,
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
        from: &SubtaskRestore,
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
            let states = self.read(from, handle, None);
            Some(async move { Ok::<_, TaskError>((old.subtask, states.await?)) })
        });
        let states = try_join_all(states).await?;
        states.iter().for_each(|(_, state)| read.add(state));
        let states = states.into_iter().map(|(old, it)| (old, it.blob)).collect();
        if let Some(kept) = kept {
            let opened = RestoredOperator::retained_keyed(place, kept, states);
            return opened.map_err(|error| cannot("restored", &error));
        }
        let keyed = operator.keyed.iter();
        let groups = Some(&place.key_groups);
        let keyed = try_join_all(keyed.map(|handle| self.read(from, handle, groups))).await?;
        keyed.iter().for_each(|state| read.add(state));
        let keyed = keyed.into_iter().map(|it| it.blob).collect();
        // Parsing looks at headers only; rows are read where states are registered.
        RestoredOperator::open(place, keyed, states).map_err(|error| cannot("restored", &error))
    }

    async fn read(
        &self,
        from: &SubtaskRestore,
        handle: &StateHandle,
        key_groups: Option<&Range<u32>>,
    ) -> Result<Opened, TaskError> {
        if handle.file.is_empty() {
            let blob = Box::new(handle.inline.clone());
            return Ok(Opened { blob, from: None });
        }
        let checkpoint = CheckpointId(from.checkpoint);
        if let Some(blob) = self.local.find(checkpoint, handle).await {
            let from = Some((RestoredFrom::Local, handle.length));
            return Ok(Opened { blob, from });
        }
        if let Some(spool) = &self.from.spool
            && handle.length > MOST_IN_MEMORY
        {
            let path = path_of(&from.directory, handle);
            let file = spool::copy(&self.from.files, spool, (&path, handle)).await?;
            let (blob, from) = (Box::new(file), (RestoredFrom::Storage, handle.length));
            return Ok(Opened {
                blob,
                from: Some(from),
            });
        }
        let parts = read(&self.from.files, &from.directory, handle, key_groups).await?;
        let from = Some((RestoredFrom::Storage, parts.bytes()));
        let blob = Box::new(parts);
        Ok(Opened { blob, from })
    }
}

/// Whether a subtask begins with nothing but its own state: no other's, as of union lists.
fn is_own(subtask: u32, operator: &OperatorRestore) -> bool {
    operator.states.iter().all(|old| old.subtask == subtask)
}

/// A blob, and from what kind of files how many bytes of it were read.
struct Opened {
    blob: Box<dyn StateBlob>,
    from: Option<(RestoredFrom, u64)>,
}

/// Bytes read from files.
#[derive(Default)]
struct Read {
    local: u64,
    storage: u64,
}

impl Read {
    fn add(&mut self, opened: &Opened) {
        match opened.from {
            Some((RestoredFrom::Local, bytes)) => self.local += bytes,
            Some((RestoredFrom::Storage, bytes)) => self.storage += bytes,
            Some((RestoredFrom::Memory, _)) | None => (),
        }
    }

    fn origin(&self, kept: bool) -> RestoredFrom {
        if self.storage == 0 && self.local > 0 {
            RestoredFrom::Local
        } else if self.storage == 0 && kept {
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
        let bytes = match handle.file.is_empty() {
            true => handle.inline.clone(),
            false => spool::read_whole(files, &path_of(directory, handle), handle).await?,
        };
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

fn path_of(directory: &str, handle: &StateHandle) -> String {
    if handle.file.contains('/') {
        handle.file.clone()
    } else {
        join(directory, &handle.file)
    }
}

/// Reads what is needed of a blob in storage: what some key groups need of keyed state, all of other state.
async fn read(
    files: &FileSystems,
    directory: &str,
    handle: &StateHandle,
    key_groups: Option<&Range<u32>>,
) -> Result<Parts, TaskError> {
    let path = path_of(directory, handle);
    let cannot_read = |error: FileSystemError| {
        TaskError::transient(format!("state cannot be read from '{path}': {error}"))
    };
    let (fs, inside) = files.resolve(&path).map_err(cannot_read)?;
    let reader = fs.open(&inside).await.map_err(cannot_read)?;
    let there = reader.len().saturating_sub(handle.offset);
    if there < handle.length {
        return Err(TaskError::fatal(format!(
            "state cannot be read from '{path}': the file ends after {there} of {} bytes from {} on; \
             it is not the file that the checkpoint was written to",
            handle.length, handle.offset
        )));
    }
    let stored = Stored {
        reader: &*reader,
        offset: handle.offset,
        length: handle.length,
        name: &path,
    };
    let parts = match key_groups {
        Some(key_groups) => stored.needed(key_groups).await,
        None => stored.whole().await,
    };
    parts.map_err(cannot_read)
}

#[cfg(test)]
mod tests;
