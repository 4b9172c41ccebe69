//! Collects what the blobs of a savepoint say about the states in them. Reads their indexes, not
//! their rows.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use flott_filesystem::blocking::{BlockingFs, BlockingReader};
use flott_filesystem::{FileSystems, READ_CHUNK, join};
use flott_model::{CheckpointMetadata, OperatorUid, StateHandle, VertexSnapshot};
use flott_state::{StateBlob, StateDescription, describe as describe_blob};

/// A vertex, and the states of its operators over all subtasks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Vertex {
    pub(super) name: String,
    pub(super) parallelism: usize,
    pub(super) finished: usize,
    pub(super) max_parallelism: u32,
    pub(super) operators: Vec<Operator>,
}

/// An operator.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) states: Vec<State>,
}

/// A state, over all subtasks of its operator.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) key: Option<String>,
    pub(super) value: String,
    pub(super) ttl_ms: Option<i64>,
    pub(super) rows: u64,
    /// As they are stored.
    pub(super) bytes: u64,
}

/// The vertices of a savepoint with their states.
pub(super) fn describe(
    files: &FileSystems,
    directory: &str,
    metadata: &CheckpointMetadata,
) -> anyhow::Result<Vec<Vertex>> {
    let mut reader = Reader {
        files: BlockingFs::new(files).context("cannot start a thread for files")?,
        directory,
        open: BTreeMap::new(),
    };
    let vertices = metadata.vertices.iter();
    vertices.map(|vertex| reader.vertex(vertex)).collect()
}

struct Reader<'a> {
    files: BlockingFs,
    directory: &'a str,
    /// Files are shared by many subtasks.
    open: BTreeMap<String, Arc<BlockingReader>>,
}

impl Reader<'_> {
    fn vertex(&mut self, vertex: &VertexSnapshot) -> anyhow::Result<Vertex> {
        let metas = vertex.operators.iter();
        let mut operators: Vec<Operator> = metas
            .map(|meta| Operator {
                uid: shown(&meta.uid),
                name: meta.name.clone(),
                states: Vec::new(),
            })
            .collect();
        for (subtask, snapshot) in vertex.subtasks.iter().enumerate() {
            for state in &snapshot.operators {
                let uid = shown(&state.operator);
                let operator = entry(&mut operators, uid);
                for handle in state.keyed.iter().chain(&state.state) {
                    let found = self.states(handle).with_context(|| {
                        let name = &operator.name;
                        format!("cannot read the state of operator '{name}', subtask {subtask}")
                    })?;
                    found.iter().for_each(|state| operator.add(state));
                }
            }
        }
        let finished = vertex.subtasks.iter().filter(|subtask| subtask.finished);
        Ok(Vertex {
            name: vertex.name.clone(),
            parallelism: vertex.subtasks.len(),
            finished: finished.count(),
            max_parallelism: vertex.max_parallelism,
            operators,
        })
    }

    fn states(&mut self, handle: &StateHandle) -> anyhow::Result<Vec<StateDescription>> {
        if handle.file.is_empty() {
            return Ok(describe_blob(Box::new(handle.inline.clone()))?);
        }
        let path = if handle.file.contains('/') {
            handle.file.clone()
        } else {
            join(self.directory, &handle.file)
        };
        let file = match self.open.get(&path) {
            Some(file) => Arc::clone(file),
            None => {
                let file = Arc::new(self.files.open(&path)?);
                self.open.insert(path.clone(), Arc::clone(&file));
                file
            }
        };
        let part = Part {
            file,
            path,
            offset: handle.offset,
            length: handle.length,
        };
        Ok(describe_blob(Box::new(part))?)
    }
}

/// Ids as users write them; whatever is none, as it is.
fn shown(uid: &[u8]) -> String {
    let bytes: Option<[u8; 16]> = uid.try_into().ok();
    bytes.map_or_else(
        || format!("{uid:?}"),
        |bytes| OperatorUid(u128::from_be_bytes(bytes)).to_string(),
    )
}

/// The operator of a uid; one that the vertex does not name has no name.
fn entry(operators: &mut Vec<Operator>, uid: String) -> &mut Operator {
    let known = operators.iter().position(|operator| operator.uid == uid);
    let index = known.unwrap_or_else(|| {
        operators.push(Operator {
            uid,
            name: "(unknown)".to_owned(),
            states: Vec::new(),
        });
        operators.len() - 1
    });
    &mut operators[index]
}

impl Operator {
    fn add(&mut self, state: &StateDescription) {
        let kind = state.kind.name();
        let mut known = self.states.iter_mut();
        match known.find(|known| known.name == state.name && known.kind == kind) {
            Some(known) => {
                known.rows += state.rows;
                known.bytes += state.stored_bytes;
            }
            None => self.states.push(State {
                name: state.name.clone(),
                kind,
                key: state.key.as_ref().map(ToString::to_string),
                value: state.value.to_string(),
                ttl_ms: state.ttl,
                rows: state.rows,
                bytes: state.stored_bytes,
            }),
        }
    }
}

/// A blob that is a part of a file.
struct Part {
    file: Arc<BlockingReader>,
    path: String,
    offset: u64,
    length: u64,
}

impl StateBlob for Part {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = self.offset.saturating_add(offset);
        for chunk in into.chunks_mut(READ_CHUNK) {
            let read = self.file.read_at(at, chunk.len());
            let read = read.map_err(io::Error::other)?;
            if read.len() != chunk.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            chunk.copy_from_slice(&read);
            at += read.len() as u64;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.path.clone()
    }
}
