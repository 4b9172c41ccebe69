//! What each subtask is given of a checkpoint: by operator, at any parallelism.

mod channels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_model::{
    EdgeName, Failure, FailureClass, JobGraph, OldSubtaskState, OperatorRestore,
    OperatorSubtaskState, OperatorUid, StateHandle, SubtaskRestore, VertexId, VertexSnapshot,
    key_groups_of,
};

use super::stored::StoredCheckpoint;
use channels::OldChannels;

/// What a restart needs to know of the job's vertices.
#[derive(Debug)]
pub(super) struct Shape {
    vertices: Vec<Vertex>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    name: EdgeName,
    source: usize,
    target: usize,
    ship: i32,
}

#[derive(Debug)]
struct Vertex {
    name: String,
    parallelism: u32,
    max_parallelism: u32,
    operators: Vec<(OperatorUid, String)>,
    /// Vertices that feed it.
    inputs: Vec<usize>,
}

/// A checkpoint, laid out for the job's subtasks.
#[derive(Debug)]
pub(super) struct RestorePlan {
    checkpoint: Arc<StoredCheckpoint>,
    operators: BTreeMap<OperatorUid, OldOperator>,
    /// By vertex and subtask: had finished.
    finished: Vec<Vec<bool>>,
    channels: OldChannels,
}

/// An operator in the checkpoint.
#[derive(Debug)]
struct OldOperator {
    /// Position of its vertex in the checkpoint.
    vertex: usize,
    name: String,
    parallelism: u32,
    max_parallelism: u32,
    /// By the first key group; each with the number of key groups.
    keyed: Vec<(u32, u32, StateHandle)>,
    /// By old subtask.
    states: Vec<(u32, StateHandle)>,
    /// Each part of its operator state belongs to one subtask.
    own: bool,
}

impl Shape {
    pub(super) fn new(graph: &JobGraph) -> Self {
        let vertices = (0..).zip(&graph.vertices).map(|(position, vertex)| {
            let edges = graph.edges.iter().filter(|edge| edge.target == position);
            let operators = vertex.operators.iter().map(|operator| {
                let uid = operator.uid.as_slice().try_into().map(u128::from_be_bytes);
                (OperatorUid(uid.unwrap_or_default()), operator.name.clone())
            });
            Vertex {
                name: vertex.name.clone(),
                parallelism: vertex.parallelism,
                max_parallelism: vertex.max_parallelism,
                operators: operators.collect(),
                inputs: edges.map(|edge| edge.source as usize).collect(),
            }
        });
        let edges = graph.edge_names().into_iter().zip(&graph.edges);
        let edges = edges.map(|(name, edge)| Edge {
            name,
            source: edge.source as usize,
            target: edge.target as usize,
            ship: edge.ship,
        });
        Self {
            vertices: vertices.collect(),
            edges: edges.collect(),
        }
    }

    /// The subtasks of a vertex are who they were.
    fn is_same(&self, old: &BTreeMap<OperatorUid, OldOperator>, vertex: usize) -> bool {
        let vertex = &self.vertices[vertex];
        let head = vertex.operators.first().and_then(|(uid, _)| old.get(uid));
        head.is_some_and(|old| {
            old.parallelism == vertex.parallelism && old.max_parallelism == vertex.max_parallelism
        })
    }

    pub(super) fn operators(&self) -> BTreeSet<OperatorUid> {
        let operators = self.vertices.iter().flat_map(|vertex| &vertex.operators);
        operators.map(|(uid, _)| *uid).collect()
    }
}

impl RestorePlan {
    /// Lays out a checkpoint, or says why the job cannot begin from it.
    pub(super) fn new(
        shape: &Shape,
        checkpoint: Arc<StoredCheckpoint>,
        allow_non_restored: bool,
    ) -> Result<Self, Failure> {
        let operators = old_operators(&checkpoint)?;
        let mut plan = Self {
            channels: OldChannels::default(),
            finished: finished(shape, &operators, &checkpoint.metadata.vertices),
            operators,
            checkpoint,
        };
        let checked = plan
            .check_versions()
            .and_then(|()| plan.check_key_groups(shape))
            .and_then(|()| plan.check_finished(shape))
            .and_then(|()| match allow_non_restored {
                true => Ok(()),
                false => plan.check_unclaimed(shape),
            })
            .and_then(|()| {
                let vertices = &plan.checkpoint.metadata.vertices;
                OldChannels::new(shape, &plan.operators, vertices, allow_non_restored)
            });
        match checked {
            Ok(channels) => {
                plan.channels = channels;
                Ok(plan)
            }
            Err(why) => {
                let message = format!("cannot restore from {}: {why}", plan.checkpoint.path);
                Err(Failure::new(FailureClass::Fatal, message))
            }
        }
    }

    pub(super) fn checkpoint(&self) -> &Arc<StoredCheckpoint> {
        &self.checkpoint
    }

    fn check_versions(&self) -> Result<(), String> {
        let version = self.checkpoint.metadata.version;
        let known = flott_model::CHECKPOINT_VERSION;
        if version > known {
            return Err(format!(
                "it has version {version} of the format, and this is the JobManager of a release \
                 that knows up to {known}: use the release that wrote it, or a later one"
            ));
        }
        Ok(())
    }

    /// Keyed state is cut by key groups: their number must be what it was.
    fn check_key_groups(&self, shape: &Shape) -> Result<(), String> {
        for vertex in &shape.vertices {
            for (uid, name) in &vertex.operators {
                let old = self.operators.get(uid).filter(|old| !old.keyed.is_empty());
                let Some(old) = old else { continue };
                let (before, now) = (old.max_parallelism, vertex.max_parallelism);
                if before != now {
                    return Err(format!(
                        "operator '{name}' (uid {uid}) has keyed state of maximum parallelism \
                         {before}, and the job's is {now}: set the maximum parallelism of the \
                         operator, or of the job, to {before}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing that had seen its end can be given more.
    fn check_finished(&self, shape: &Shape) -> Result<(), String> {
        let all = |vertex: usize| self.finished[vertex].iter().all(|finished| *finished);
        for (position, vertex) in shape.vertices.iter().enumerate() {
            let name = &vertex.name;
            let begins_anew = vertex.inputs.iter().find(|input| !all(**input));
            if let Some(input) = begins_anew.filter(|_| all(position)) {
                let input = &shape.vertices[*input].name;
                return Err(format!(
                    "'{name}' had finished, and '{input}' in front of it has not: give the \
                     operators of '{name}' other uids if they are to run again"
                ));
            }
            let metadata = &self.checkpoint.metadata.vertices;
            let ended = vertex.operators.iter().skip(1).find(|(uid, _)| {
                let old = self.operators.get(uid);
                old.is_some_and(|old| whole_finished(&metadata[old.vertex]))
            });
            if let Some((uid, operator)) = ended.filter(|_| !all(position)) {
                return Err(format!(
                    "operator '{operator}' (uid {uid}) had finished, and '{name}', of which it is \
                     a part, has not: give it another uid if it is to run again"
                ));
            }
        }
        Ok(())
    }

    /// All state must have an operator that takes it.
    fn check_unclaimed(&self, shape: &Shape) -> Result<(), String> {
        let claimed = shape.operators();
        let mut unclaimed: BTreeMap<OperatorUid, String> = BTreeMap::new();
        let operators = self.operators.iter();
        for (uid, old) in operators.filter(|(_, old)| old.has_state()) {
            unclaimed.insert(*uid, old.name.clone());
        }
        let enumerators = self.checkpoint.metadata.enumerators.iter();
        let sources = enumerators.map(|state| state.operator.as_slice());
        let committables = self.checkpoint.metadata.committables();
        let sinks = committables.map(|committable| committable.operator.as_slice());
        for bytes in sources.chain(sinks) {
            let uid = OperatorUid(u128::from_be_bytes(bytes.try_into().unwrap_or_default()));
            let known = self.operators.get(&uid).map(|old| old.name.clone());
            unclaimed
                .entry(uid)
                .or_insert_with(|| known.unwrap_or_default());
        }
        unclaimed.retain(|uid, _| !claimed.contains(uid));
        if unclaimed.is_empty() {
            return Ok(());
        }
        let names = unclaimed.iter();
        let names: Vec<String> = names
            .map(|(uid, name)| format!("'{name}' (uid {uid})"))
            .collect();
        Err(format!(
            "it has state of {}, and the job has no operator with that uid: give the operator the \
             uid it had, or leave the state behind by --allowNonRestoredState \
             (execution.state-recovery.ignore-unclaimed-state)",
            names.join(", ")
        ))
    }

    /// What a subtask is given.
    pub(super) fn subtask(&self, shape: &Shape, vertex: VertexId, subtask: u32) -> SubtaskRestore {
        let described = &shape.vertices[vertex.0 as usize];
        let finished = self.finished[vertex.0 as usize][subtask as usize];
        let operators = described.operators.iter().filter_map(|(uid, _)| {
            let old = self.operators.get(uid).filter(|old| old.has_state())?;
            Some(old.restore(*uid, described, subtask))
        });
        let position = vertex.0 as usize;
        SubtaskRestore {
            channels: self.channels.of(position, subtask, described.parallelism),
            checkpoint: self.checkpoint.metadata.id,
            directory: self.checkpoint.directory.clone(),
            operators: if finished {
                Vec::new()
            } else {
                operators.collect()
            },
            finished,
        }
    }
}

impl OldOperator {
    fn has_state(&self) -> bool {
        !self.keyed.is_empty() || !self.states.is_empty()
    }

    fn restore(&self, uid: OperatorUid, vertex: &Vertex, subtask: u32) -> OperatorRestore {
        let (first, count) = key_groups_of(subtask, vertex.parallelism, vertex.max_parallelism);
        let overlapping = self.keyed.iter().filter(|(old, groups, _)| {
            let (old, groups) = (u64::from(*old), u64::from(*groups));
            let (first, count) = (u64::from(first), u64::from(count));
            old < first + count && first < old + groups
        });
        // With another parallelism everybody takes a share of everything.
        let only_own = self.own && self.parallelism == vertex.parallelism;
        let states = self.states.iter();
        OperatorRestore {
            operator: uid.0.to_be_bytes().to_vec(),
            keyed: overlapping.map(|(_, _, handle)| handle.clone()).collect(),
            states: states
                .filter(|(old, _)| !only_own || *old == subtask)
                .map(|(old, handle)| OldSubtaskState {
                    subtask: *old,
                    state: Some(handle.clone()),
                })
                .collect(),
            old_parallelism: self.parallelism,
        }
    }

    fn add(&mut self, subtask: u32, state: &OperatorSubtaskState) {
        if let Some(keyed) = &state.keyed {
            let groups = (state.first_key_group, state.key_groups);
            self.keyed.push((groups.0, groups.1, keyed.clone()));
        }
        if let Some(handle) = &state.state {
            self.states.push((subtask, handle.clone()));
            self.own &= state.own;
        }
    }
}

fn old_operators(
    checkpoint: &StoredCheckpoint,
) -> Result<BTreeMap<OperatorUid, OldOperator>, Failure> {
    let path = &checkpoint.path;
    let damaged = |what: &str| {
        let message = format!("cannot restore from {path}: its _metadata is damaged: {what}");
        Failure::new(FailureClass::Fatal, message)
    };
    let uid = |bytes: &[u8]| {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        Some(OperatorUid(u128::from_be_bytes(bytes)))
    };
    let mut operators = BTreeMap::new();
    for (position, vertex) in checkpoint.metadata.vertices.iter().enumerate() {
        // Checked where it is written: at most 2^15.
        let parallelism = u32::try_from(vertex.subtasks.len())
            .map_err(|_| damaged("a vertex has too many subtasks"))?;
        for operator in &vertex.operators {
            let uid = uid(&operator.uid).ok_or_else(|| damaged("a uid has not 16 bytes"))?;
            let old = OldOperator {
                vertex: position,
                name: operator.name.clone(),
                parallelism,
                max_parallelism: vertex.max_parallelism,
                keyed: Vec::new(),
                states: Vec::new(),
                own: true,
            };
            operators.insert(uid, old);
        }
        for (subtask, snapshot) in (0..).zip(&vertex.subtasks) {
            for state in &snapshot.operators {
                state
                    .uid()
                    .and_then(|uid| operators.get_mut(&uid))
                    .filter(|old| old.vertex == position)
                    .ok_or_else(|| damaged("it has state of an operator that it does not name"))?
                    .add(subtask, state);
            }
        }
    }
    Ok(operators)
}

fn whole_finished(vertex: &VertexSnapshot) -> bool {
    !vertex.subtasks.is_empty() && vertex.subtasks.iter().all(|subtask| subtask.finished)
}

/// Which subtasks had finished: the first operator of a vertex decides for all of it.
fn finished(
    shape: &Shape,
    operators: &BTreeMap<OperatorUid, OldOperator>,
    old: &[VertexSnapshot],
) -> Vec<Vec<bool>> {
    let vertices = shape.vertices.iter().map(|vertex| {
        let head = vertex.operators.first();
        let before = head
            .and_then(|(uid, _)| operators.get(uid))
            .map(|head| &old[head.vertex]);
        let subtasks = 0..vertex.parallelism as usize;
        let of = |subtask: usize| {
            before.is_some_and(|before| {
                // With another parallelism nobody is who he was.
                let same = before.subtasks.len() == vertex.parallelism as usize;
                whole_finished(before) || same && before.subtasks[subtask].finished
            })
        };
        subtasks.map(of).collect()
    });
    vertices.collect()
}

#[cfg(test)]
mod tests;
