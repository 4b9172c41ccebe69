//! What a program builds: operators and edges with their code, before chaining.

mod build;
mod edge;
mod merge;
mod uid;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use flott_connectors::file::SubmissionStage;
use flott_filesystem::FileSystems;
use flott_model::{GroupResources, ResourceProfile, ShipStrategy};
use flott_operators::TaskError;
use flott_operators::sink::AnyCommitter;
use std::collections::BTreeMap;

use flott_runtime::BufferTimeout;
use flott_runtime::plan::{EdgeFactory, NodeFactory, SideFactory, TeeFactory};

pub(crate) use build::{GraphSettings, build_plan};
pub(crate) use edge::{
    EdgeKind, NoKey, Partitioner, boxed_sink, channels, edge_factory, gate_factory, schema_hash,
    side_factory, tee_factory,
};

/// Name and identity of one operator.
#[derive(Debug, Clone)]
pub(crate) struct OperatorInfo {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
}

impl OperatorInfo {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            name: kind.to_owned(),
            uid: None,
        }
    }

    pub(crate) fn named(kind: &'static str, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            uid: None,
        }
    }
}

/// Whether a node may share a task with its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chaining {
    Allowed,
    /// Begins a new chain.
    Head,
    /// Neither with what is before it nor with what follows.
    Never,
}

/// What a node has found out at submission; shipped with the job.
pub(crate) type Prepared = Arc<OnceLock<Vec<u8>>>;
type PrepareFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, TaskError>> + Send>>;
/// Checks and finds out, at submission, what subtasks must agree on.
pub(crate) type Prepare = Box<dyn FnOnce(Submission) -> PrepareFuture + Send>;

/// What a node can ask at submission.
pub(crate) struct Submission {
    pub(crate) files: Arc<FileSystems>,
    pub(crate) parallelism: u32,
    pub(crate) stage: SubmissionStage,
}

type AbandonFuture = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;
/// Removes what a job that did not finish left behind; given what was found out at submission.
pub(crate) type Abandon = Box<dyn FnOnce(Arc<FileSystems>, Vec<u8>) -> AbandonFuture + Send>;

pub(crate) struct StreamEdge {
    pub(crate) from: usize,
    pub(crate) ship: ShipStrategy,
    /// Operators fused into the writer of the edge; they run in the source's task.
    pub(crate) operators: Vec<OperatorInfo>,
    pub(crate) factory: EdgeFactory,
    /// The side output of `from` that is read; `None`: its main output.
    pub(crate) side: Option<String>,
    /// 0, or 1 for the second input of a node with two.
    pub(crate) input: usize,
    pub(crate) record_schema: u64,
    pub(crate) key_schema: u64,
}

pub(crate) struct StreamNode {
    /// In order; none: a node that only carries an exchange.
    pub(crate) operators: Vec<OperatorInfo>,
    pub(crate) parallelism: u32,
    pub(crate) max_parallelism: Option<u32>,
    pub(crate) slot_sharing_group: String,
    pub(crate) chaining: Chaining,
    pub(crate) inputs: Vec<StreamEdge>,
    pub(crate) factory: NodeFactory,
    pub(crate) tee: TeeFactory,
    /// How each side output that somebody reads is made.
    pub(crate) sides: BTreeMap<String, SideFactory>,
    pub(crate) committer: Option<AnyCommitter>,
    pub(crate) prepare: Option<Prepare>,
    pub(crate) abandon: Option<Abandon>,
    pub(crate) prepared: Prepared,
    /// Whether it is a source that never ends.
    pub(crate) unbounded: bool,
    /// Of the task it runs in; `None`: the job's.
    pub(crate) buffer_timeout: Option<BufferTimeout>,
    /// It only carried an exchange, which those behind it do now.
    pub(crate) merged: bool,
}

/// All nodes of one job, in order of the program.
#[derive(Default)]
pub(crate) struct StreamGraph {
    pub(crate) nodes: Vec<StreamNode>,
    /// What the slots of groups must offer; also of groups that no node is in.
    pub(crate) resources: BTreeMap<String, ResourceProfile>,
}

impl StreamGraph {
    pub(crate) fn add(&mut self, node: StreamNode) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The groups of its nodes whose slots must offer something, by name.
    pub(crate) fn group_resources(&self) -> Vec<GroupResources> {
        let is_used = |group: &str| {
            let mut nodes = self.nodes.iter().filter(|node| !node.merged);
            nodes.any(|node| node.slot_sharing_group == group)
        };
        let used = self.resources.iter().filter(|(group, _)| is_used(group));
        used.map(|(group, profile)| GroupResources {
            group: group.clone(),
            profile: *profile,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
