//! Reads the state that tasks begin from.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Reads what one task begins from.
pub(in crate::worker) async fn fetch(
    files: Arc<FileSystems>,
    place: Place,
    edges: Arc<[Edge]>,
    restore: SubtaskRestore,
) -> Result<Restored, TaskError> {
    let mut operators = BTreeMap::new();
    for operator in restore.operators {
        let uid = uid_of(&operator.operator)?;
        let opened = open(&files, &restore.directory, place, operator).await?;
        operators.insert(uid, opened);
    }
    let mut recovered: BTreeMap<EdgeId, Vec<Recovered>> = BTreeMap::new();
    for channel in restore.channels {
        let (edge, target) = (EdgeId(channel.edge), channel.target);
        let elements = on_its_way(&files, &restore.directory, &edges, channel).await?;
        let recovered = recovered.entry(edge).or_default();
        recovered.push(Recovered { target, elements });
    }
    Ok(Restored {
        operators,
        finished: restore.finished,
        recovered,
    })
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
    Ok(Box::new(read_bytes(files, directory, handle).await?))
}

async fn read_bytes(
    files: &FileSystems,
    directory: &str,
    handle: &StateHandle,
) -> Result<Vec<u8>, TaskError> {
    if handle.file.is_empty() {
        return Ok(handle.inline.clone());
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
    Ok(bytes)
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
