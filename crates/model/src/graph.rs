//! The job graph: what is submitted, stored and deployed. Data only; code is found by vertex id in
//! the same executable.

mod regions;
mod resources;

use std::collections::BTreeMap;

use prost::Message as _;

use crate::{EdgeId, EdgeName, GroupResources, OperatorUid, VertexId};

/// Compatibility between executables and cluster is judged by this number, not by version names.
pub const PROTOCOL_VERSION: u32 = 1;

/// A job as a graph of vertices (chains of operators) and edges.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JobGraph {
    /// Name shown to users.
    #[prost(string, tag = "1")]
    pub name: String,
    /// STREAMING or BATCH, already resolved.
    #[prost(enumeration = "RuntimeMode", tag = "2")]
    pub mode: i32,
    /// Arguments of `main()`; a worker is started with the same.
    #[prost(string, repeated, tag = "3")]
    pub args: Vec<String>,
    /// Values of `env.once`, evaluated at submission.
    #[prost(message, repeated, tag = "4")]
    pub once: Vec<OnceValue>,
    /// Effective configuration of the job.
    #[prost(btree_map = "string, string", tag = "5")]
    pub configuration: BTreeMap<String, String>,
    /// Which `execute()` of `main()` this is, from 0.
    #[prost(uint32, tag = "6")]
    pub execute_index: u32,
    /// The vertices; `VertexId` is the position.
    #[prost(message, repeated, tag = "7")]
    pub vertices: Vec<JobVertex>,
    /// The edges; `EdgeId` is the position.
    #[prost(message, repeated, tag = "8")]
    pub edges: Vec<JobEdge>,
    /// Protocol version of the SDK in the executable.
    #[prost(uint32, tag = "9")]
    pub protocol_version: u32,
    /// What the executable can do beyond the base, e.g. `rocksdb`.
    #[prost(string, repeated, tag = "10")]
    pub capabilities: Vec<String>,
    /// SHA-256 of the executable, filled in by whoever stages it.
    #[prost(bytes = "vec", tag = "11")]
    pub executable_sha256: Vec<u8>,
    /// The slot sharing groups whose slots must offer something, by name.
    #[prost(message, repeated, tag = "20")]
    pub group_resources: Vec<GroupResources>,
}

/// The capability of executables that have the state backend of that name.
pub const ROCKSDB: &str = "rocksdb";

/// How a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum RuntimeMode {
    /// Every update is emitted as it happens.
    Streaming = 0,
    /// Stage by stage, final results only.
    Batch = 1,
}

/// A value that `env.once` fixed at submission.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OnceValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its encoded value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A chain of operators that runs as one task per subtask.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobVertex {
    /// Uid of the first operator: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub uid: Vec<u8>,
    /// Name shown to users: the operators' names joined.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The operators in order.
    #[prost(message, repeated, tag = "3")]
    pub operators: Vec<OperatorMeta>,
    /// Number of subtasks.
    #[prost(uint32, tag = "4")]
    pub parallelism: u32,
    /// Number of key groups.
    #[prost(uint32, tag = "5")]
    pub max_parallelism: u32,
    /// Subtasks of vertices of one group share slots.
    #[prost(string, tag = "6")]
    pub slot_sharing_group: String,
}

/// One operator of a chain.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OperatorMeta {
    /// Its uid: 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub uid: Vec<u8>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A connection between two vertices.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobEdge {
    /// Position of the vertex records come from.
    #[prost(uint32, tag = "1")]
    pub source: u32,
    /// Position of the vertex records go to.
    #[prost(uint32, tag = "2")]
    pub target: u32,
    /// How records are spread over the target's subtasks.
    #[prost(enumeration = "ShipStrategy", tag = "3")]
    pub ship: i32,
    /// Whether the target may start before the source ends.
    #[prost(enumeration = "Exchange", tag = "4")]
    pub exchange: i32,
    /// Hash of the record's schema.
    #[prost(fixed64, tag = "5")]
    pub record_schema: u64,
    /// Hash of the key's schema; 0 without key.
    #[prost(fixed64, tag = "6")]
    pub key_schema: u64,
}

/// How records are spread over the target's subtasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ShipStrategy {
    /// Subtask i to subtask i; same parallelism.
    Forward = 0,
    /// By key group.
    Hash = 1,
    /// Round robin over all.
    Rebalance = 2,
    /// Round robin over the nearest ones.
    Rescale = 3,
    /// Each record to all.
    Broadcast = 4,
    /// All records to subtask 0.
    Global = 5,
    /// The user's function decides.
    Custom = 6,
}

/// When the target of an edge may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Exchange {
    /// At once.
    Pipelined = 0,
    /// When the source has ended.
    Blocking = 1,
}

/// A job graph that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Nothing to do.
    #[error("the job has no operators: build at least one source and one sink before execute()")]
    Empty,
    /// An edge names a vertex that is not there.
    #[error("edge {edge} names vertex {vertex}, but the job has {vertices} vertices")]
    DanglingEdge {
        /// Position of the edge.
        edge: usize,
        /// The vertex it names.
        vertex: u32,
        /// How many there are.
        vertices: usize,
    },
    /// A parallelism is out of range.
    #[error(
        "vertex '{vertex}' has parallelism {parallelism} and maximum parallelism {max}: \
         1 ≤ parallelism ≤ maximum ≤ 32768 is required"
    )]
    Parallelism {
        /// Name of the vertex.
        vertex: String,
        /// Its parallelism.
        parallelism: u32,
        /// Its maximum parallelism.
        max: u32,
    },
    /// A forward edge between different parallelisms.
    #[error(
        "forward edge from '{source_vertex}' ({from}) to '{target}' ({to}): parallelism differs"
    )]
    ForwardParallelism {
        /// Name of the source vertex.
        source_vertex: String,
        /// Its parallelism.
        from: u32,
        /// Name of the target vertex.
        target: String,
        /// Its parallelism.
        to: u32,
    },
    /// Two operators share a uid.
    #[error("operators '{first}' and '{second}' have the same uid: uids must be unique in a job")]
    DuplicateUid {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Built with an SDK of another protocol version.
    #[error(
        "the program speaks protocol version {program}, this cluster {cluster}: rebuild the \
         program with the SDK of the cluster's version"
    )]
    ProtocolVersion {
        /// What the program speaks.
        program: u32,
        /// What the cluster speaks.
        cluster: u32,
    },
    /// Blocking edges lead from a pipelined region back into it.
    #[error(
        "the stage of vertex '{vertex}' would wait for itself: a blocking edge leads out of it and \
         back into it; the edges between its vertices must be blocking too"
    )]
    StageCycle {
        /// Name of a vertex of the stage.
        vertex: String,
    },
    /// What a slot sharing group asks for cannot be meant.
    #[error("slot sharing group '{group}' cannot be served: {defect}")]
    Resources {
        /// Its name.
        group: String,
        /// What is wrong.
        defect: &'static str,
    },
    /// The vertices form a cycle.
    #[error("the job graph has a cycle through vertex '{vertex}'")]
    Cycle {
        /// Name of a vertex on it.
        vertex: String,
    },
}

impl JobGraph {
    /// The names of the edges, by position. Edges that lead nowhere have empty names.
    pub fn edge_names(&self) -> Vec<EdgeName> {
        let mut names: Vec<EdgeName> = Vec::with_capacity(self.edges.len());
        for edge in &self.edges {
            let uid = |vertex: u32| {
                let vertex = self.vertices.get(vertex as usize);
                vertex.map(|vertex| vertex.uid.clone()).unwrap_or_default()
            };
            let (source, target) = (uid(edge.source), uid(edge.target));
            let same = |name: &&EdgeName| name.source == source && name.target == target;
            // A graph has fewer than 2^32 edges.
            let ordinal = names.iter().filter(same).count() as u32;
            names.push(EdgeName {
                source,
                target,
                ordinal,
            });
        }
        names
    }

    /// Checks everything a JobManager relies on.
    pub fn validate(&self) -> Result<(), GraphError> {
        if self.protocol_version != PROTOCOL_VERSION {
            return Err(GraphError::ProtocolVersion {
                program: self.protocol_version,
                cluster: PROTOCOL_VERSION,
            });
        }
        if self.vertices.is_empty() {
            return Err(GraphError::Empty);
        }
        for vertex in &self.vertices {
            let (parallelism, max) = (vertex.parallelism, vertex.max_parallelism);
            if parallelism == 0 || parallelism > max || max > 32768 {
                return Err(GraphError::Parallelism {
                    vertex: vertex.name.clone(),
                    parallelism,
                    max,
                });
            }
        }
        self.validate_edges()?;
        self.validate_uids()?;
        self.validate_resources()?;
        self.topological_order()?;
        self.validate_stages()
    }

    fn validate_edges(&self) -> Result<(), GraphError> {
        for (position, edge) in self.edges.iter().enumerate() {
            for vertex in [edge.source, edge.target] {
                if self.vertices.get(vertex as usize).is_none() {
                    return Err(GraphError::DanglingEdge {
                        edge: position,
                        vertex,
                        vertices: self.vertices.len(),
                    });
                }
            }
            let source = &self.vertices[edge.source as usize];
            let target = &self.vertices[edge.target as usize];
            if edge.ship() == ShipStrategy::Forward && source.parallelism != target.parallelism {
                return Err(GraphError::ForwardParallelism {
                    source_vertex: source.name.clone(),
                    from: source.parallelism,
                    target: target.name.clone(),
                    to: target.parallelism,
                });
            }
        }
        Ok(())
    }

    fn validate_uids(&self) -> Result<(), GraphError> {
        let mut seen: BTreeMap<&[u8], &str> = BTreeMap::new();
        for operator in self.vertices.iter().flat_map(|vertex| &vertex.operators) {
            if let Some(first) = seen.insert(&operator.uid, &operator.name) {
                return Err(GraphError::DuplicateUid {
                    first: first.to_owned(),
                    second: operator.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// The vertices, each after all that feed it.
    pub fn topological_order(&self) -> Result<Vec<VertexId>, GraphError> {
        let mut waiting: Vec<usize> = vec![0; self.vertices.len()];
        for edge in &self.edges {
            waiting[edge.target as usize] += 1;
        }
        let mut order: Vec<VertexId> = Vec::with_capacity(self.vertices.len());
        let mut ready: Vec<usize> = (0..self.vertices.len())
            .rev()
            .filter(|vertex| waiting[*vertex] == 0)
            .collect();
        while let Some(vertex) = ready.pop() {
            order.push(VertexId(vertex as u32));
            for edge in self
                .edges
                .iter()
                .filter(|edge| edge.source as usize == vertex)
            {
                let target = edge.target as usize;
                waiting[target] -= 1;
                if waiting[target] == 0 {
                    ready.push(target);
                }
            }
        }
        match waiting.iter().position(|count| *count > 0) {
            Some(vertex) => Err(GraphError::Cycle {
                vertex: self.vertices[vertex].name.clone(),
            }),
            None => Ok(order),
        }
    }

    /// Hash of the shape: equal on the submitter and on a worker that built the same graph.
    pub fn fingerprint(&self) -> u64 {
        let shape = Self {
            vertices: self.vertices.clone(),
            edges: self.edges.clone(),
            execute_index: self.execute_index,
            mode: self.mode,
            group_resources: self.group_resources.clone(),
            ..Self::default()
        };
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in shape.encode_to_vec() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }

    /// Where `self` (built on a worker) first differs from `submitted`; `None` if nowhere.
    pub fn first_difference(&self, submitted: &Self) -> Option<String> {
        if self.execute_index != submitted.execute_index {
            return Some(format!(
                "it is execute() number {}, number {} was submitted",
                self.execute_index, submitted.execute_index
            ));
        }
        for (position, there) in submitted.vertices.iter().enumerate() {
            let Some(here) = self.vertices.get(position) else {
                return Some(format!(
                    "it has {} vertices, {} were submitted; the first missing one is '{}'",
                    self.vertices.len(),
                    submitted.vertices.len(),
                    there.name
                ));
            };
            if let Some(what) = vertex_difference(here, there) {
                return Some(format!("vertex {position}: {what}"));
            }
        }
        if let Some(extra) = self.vertices.get(submitted.vertices.len()) {
            return Some(format!(
                "it has the vertex '{}' that was not submitted",
                extra.name
            ));
        }
        if self.edges != submitted.edges {
            let position = (0..self.edges.len().max(submitted.edges.len()))
                .find(|at| self.edges.get(*at) != submitted.edges.get(*at))?;
            return Some(format!(
                "edge {position} is {}, {} was submitted",
                self.describe_edge(position),
                submitted.describe_edge(position)
            ));
        }
        if let Some(what) = self.resource_difference(submitted) {
            return Some(what);
        }
        (self.fingerprint() != submitted.fingerprint()).then(|| "its mode differs".to_owned())
    }

    fn describe_edge(&self, position: usize) -> String {
        let name = |vertex: u32| {
            self.vertices
                .get(vertex as usize)
                .map_or("?", |vertex| vertex.name.as_str())
                .to_owned()
        };
        self.edges
            .get(position)
            .map_or("missing".to_owned(), |edge| {
                format!(
                    "'{}' -> '{}' ({:?})",
                    name(edge.source),
                    name(edge.target),
                    edge.ship()
                )
            })
    }

    /// The edges that leave a vertex.
    pub fn outputs(&self, vertex: VertexId) -> impl Iterator<Item = (EdgeId, &JobEdge)> {
        self.numbered_edges()
            .filter(move |(_, edge)| edge.source == vertex.0)
    }

    /// The edges that enter a vertex.
    pub fn inputs(&self, vertex: VertexId) -> impl Iterator<Item = (EdgeId, &JobEdge)> {
        self.numbered_edges()
            .filter(move |(_, edge)| edge.target == vertex.0)
    }

    fn numbered_edges(&self) -> impl Iterator<Item = (EdgeId, &JobEdge)> {
        self.edges
            .iter()
            .enumerate()
            .map(|(position, edge)| (EdgeId(position as u32), edge))
    }

    /// The name of a subtask as users see it: `name (2/4)`.
    pub fn task_name(&self, vertex: VertexId, subtask: u32) -> String {
        self.vertices.get(vertex.0 as usize).map_or_else(
            || format!("vertex {} ({})", vertex.0, subtask + 1),
            |vertex| format!("{} ({}/{})", vertex.name, subtask + 1, vertex.parallelism),
        )
    }
}

fn vertex_difference(here: &JobVertex, there: &JobVertex) -> Option<String> {
    if here.name != there.name {
        return Some(format!(
            "it is '{}', '{}' was submitted",
            here.name, there.name
        ));
    }
    if here.parallelism != there.parallelism {
        return Some(format!(
            "'{}' has parallelism {}, {} was submitted",
            here.name, here.parallelism, there.parallelism
        ));
    }
    if here.operators != there.operators || here.uid != there.uid {
        return Some(format!(
            "the operators (or their uids) of '{}' differ",
            here.name
        ));
    }
    (here != there).then(|| format!("settings of '{}' differ", here.name))
}

impl JobVertex {
    /// The uid of the first operator.
    pub fn operator_uid(&self) -> OperatorUid {
        let mut bytes = [0; 16];
        let length = self.uid.len().min(16);
        bytes[..length].copy_from_slice(&self.uid[..length]);
        OperatorUid(u128::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests;
