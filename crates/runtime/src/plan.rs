//! A job graph with its code: the factories that a program registered, found by position.
//!
//! Typed things travel through here as boxes of `Any`, each holding exactly one
//! `Box<dyn BatchSink<T>>` (or, for a sink, nothing): the closure that knows `T` was made where `T`
//! was known, so there is no unsafe code and no cost per record.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_model::{EdgeId, JobGraph, ShipStrategy, VertexId};
use flott_network::Waker;
use flott_operators::sink::Committer;
use flott_operators::{SubtaskContext, TaskError};

use crate::exchange::{AnyBox, InputHalf, OutputHalf};
use crate::pacer::BufferTimeout;
use crate::scheduler::Tasklet;

/// Builds a source's task in front of the rest of its chain.
pub type SourceFactory = Arc<
    dyn Fn(&SubtaskContext, AnyBox, BufferTimeout) -> Result<Box<dyn Tasklet>, TaskError>
        + Send
        + Sync,
>;
/// Builds an operator in front of the rest of its chain.
pub type OperatorFactory =
    Arc<dyn Fn(&SubtaskContext, AnyBox) -> Result<AnyBox, TaskError> + Send + Sync>;
/// Joins several chains (or none) behind one operator.
pub type TeeFactory = Arc<dyn Fn(Vec<AnyBox>) -> AnyBox + Send + Sync>;
/// Builds the task of a chain that reads from channels.
pub type GateFactory = Arc<
    dyn Fn(&SubtaskContext, Vec<InputHalf>, AnyBox, BufferTimeout) -> Box<dyn Tasklet>
        + Send
        + Sync,
>;

/// Everything typed about an edge of the job graph.
#[derive(Clone)]
pub struct EdgeFactory {
    /// Makes a local channel between two tasks.
    pub local_channel: Arc<dyn Fn(Waker, Waker) -> (AnyBox, AnyBox) + Send + Sync>,
    /// Builds the end of the source's chain.
    pub writer: Arc<dyn Fn(&SubtaskContext, Vec<OutputHalf>, TargetShape) -> AnyBox + Send + Sync>,
}

/// What a writer must know of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetShape {
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// How rows are spread.
    pub ship: ShipStrategy,
}

/// What a node does.
#[derive(Clone)]
pub enum NodeFactory {
    /// Produces records.
    Source(SourceFactory),
    /// Processes records of its input.
    Operator {
        /// Builds it.
        operator: OperatorFactory,
        /// Builds the gate in front of it, if it is the head of its vertex.
        gate: GateFactory,
    },
}

/// One operator of the program.
#[derive(Clone)]
pub struct Node {
    /// What it does.
    pub factory: NodeFactory,
    /// Joins what follows it.
    pub tee: TeeFactory,
    /// What follows it, in order of the program.
    pub outputs: Vec<NodeOutput>,
    /// Commits its outputs when the job is done, if it is a sink that has some.
    pub committer: Option<Committer>,
}

/// What follows a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeOutput {
    /// A node in the same vertex, by position.
    Chained(usize),
    /// An edge to another vertex.
    Exchange(EdgeId),
}

/// A job graph with its code.
#[derive(Clone)]
pub struct Plan {
    /// The graph.
    pub graph: JobGraph,
    /// All operators, in order of the program.
    pub nodes: Vec<Node>,
    /// The first node of each vertex.
    pub heads: Vec<usize>,
    /// One per edge of the graph.
    pub edges: Vec<EdgeFactory>,
    /// `execution.buffer-timeout`.
    pub buffer_timeout: BufferTimeout,
}

/// The channels of a task, by edge.
#[derive(Default)]
pub struct TaskChannels {
    /// Incoming, in order of the graph.
    pub inputs: Vec<InputHalf>,
    /// Outgoing.
    pub outputs: BTreeMap<EdgeId, Vec<OutputHalf>>,
}

impl Plan {
    /// Builds the task of one subtask.
    pub fn build(
        &self,
        context: &SubtaskContext,
        mut channels: TaskChannels,
    ) -> Result<Box<dyn Tasklet>, TaskError> {
        let VertexId(vertex) = context.attempt.vertex;
        let head = *self
            .heads
            .get(vertex as usize)
            .ok_or_else(|| TaskError::fatal(format!("the program has no vertex {vertex}")))?;
        let tail = self.tail(context, head, &mut channels.outputs)?;
        match &self.nodes[head].factory {
            NodeFactory::Source(source) => source(context, tail, self.buffer_timeout),
            NodeFactory::Operator { operator, gate } => {
                let head = operator(context, tail)?;
                Ok(gate(context, channels.inputs, head, self.buffer_timeout))
            }
        }
    }

    /// Everything behind a node, as one box.
    fn tail(
        &self,
        context: &SubtaskContext,
        node: usize,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<AnyBox, TaskError> {
        let outputs = &self.nodes[node].outputs;
        let mut followers = Vec::with_capacity(outputs.len());
        for output in outputs {
            followers.push(match output {
                NodeOutput::Chained(next) => self.chained(context, *next, channels)?,
                NodeOutput::Exchange(edge) => self.writer(context, *edge, channels)?,
            });
        }
        match followers.len() {
            1 => Ok(followers.remove(0)),
            _ => Ok((self.nodes[node].tee)(followers)),
        }
    }

    fn chained(
        &self,
        context: &SubtaskContext,
        node: usize,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<AnyBox, TaskError> {
        let tail = self.tail(context, node, channels)?;
        match &self.nodes[node].factory {
            NodeFactory::Operator { operator, .. } => operator(context, tail),
            NodeFactory::Source(_) => Err(TaskError::fatal("a source is chained behind a node")),
        }
    }

    fn writer(
        &self,
        context: &SubtaskContext,
        edge: EdgeId,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<AnyBox, TaskError> {
        let missing = || TaskError::fatal(format!("edge {} has no channels", edge.0));
        let halves = channels.remove(&edge).ok_or_else(missing)?;
        let described = self.graph.edges.get(edge.0 as usize).ok_or_else(missing)?;
        let target = self
            .graph
            .vertices
            .get(described.target as usize)
            .ok_or_else(missing)?;
        let shape = TargetShape {
            ship: described.ship(),
            parallelism: target.parallelism,
            max_parallelism: target.max_parallelism,
        };
        Ok((self.edges[edge.0 as usize].writer)(context, halves, shape))
    }
}
