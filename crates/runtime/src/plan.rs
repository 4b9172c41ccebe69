//! A job graph with its code: the factories that a program registered, found by position.
//!
//! Typed things travel through here as boxes of `Any`, each holding exactly one
//! `Box<dyn BatchSink<T>>` (or, for a sink, nothing): the closure that knows `T` was made where `T`
//! was known, so there is no unsafe code and no cost per record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_model::{EdgeId, JobGraph, ShipStrategy, VertexId};
use flott_network::Waker;
use flott_operators::side::AnySide;
use flott_operators::sink::Committer;
use flott_operators::{OperatorIdentity, Output, SubtaskContext, TaskError};
use flott_record::Data;

use crate::exchange::{AnyBox, InputHalf, OutputHalf, unbox};
use crate::pacer::BufferTimeout;
use crate::scheduler::Tasklet;

/// Builds a source's task in front of the rest of its chain.
pub type SourceFactory = Arc<
    dyn Fn(&SubtaskContext, Tail, BufferTimeout) -> Result<Box<dyn Tasklet>, TaskError>
        + Send
        + Sync,
>;
/// Builds an operator in front of the rest of its chain.
pub type OperatorFactory =
    Arc<dyn Fn(&SubtaskContext, Tail) -> Result<AnyBox, TaskError> + Send + Sync>;
/// Joins several chains (or none) behind one operator.
pub type TeeFactory = Arc<dyn Fn(Vec<AnyBox>) -> AnyBox + Send + Sync>;
/// Builds the task of a chain that reads from channels.
pub type GateFactory = Arc<
    dyn Fn(&SubtaskContext, Vec<InputHalf>, AnyBox, BufferTimeout) -> Box<dyn Tasklet>
        + Send
        + Sync,
>;

/// Builds the task of an operator with two inputs, in front of the rest of its chain.
pub type TwoInputFactory = Arc<
    dyn Fn(
            &SubtaskContext,
            [Vec<InputHalf>; 2],
            Tail,
            BufferTimeout,
        ) -> Result<Box<dyn Tasklet>, TaskError>
        + Send
        + Sync,
>;
/// Makes a side output of several chains that read it: a `Box<dyn AnySide>`.
pub type SideFactory = Arc<dyn Fn(Vec<AnyBox>) -> Box<dyn AnySide> + Send + Sync>;

/// What follows an operator in its task.
pub struct Tail {
    /// A `Box<dyn BatchSink<T>>` of what the operator emits.
    pub main: AnyBox,
    /// The side outputs that somebody reads.
    pub sides: Vec<Box<dyn AnySide>>,
}

impl Tail {
    /// As the output of an operator that emits `T`.
    ///
    /// # Panics
    /// If the plan mixed up types: a bug in the SDK, not in the user's program.
    pub fn output<T: Data>(self) -> Output<T> {
        Output::with_sides(unbox(self.main), self.sides)
    }
}

/// Everything typed about an edge of the job graph.
#[derive(Clone)]
pub struct EdgeFactory {
    /// Makes a local channel between two tasks.
    pub local_channel: Arc<dyn Fn(Waker, Waker) -> (AnyBox, AnyBox) + Send + Sync>,
    /// Builds the end of the source's chain.
    pub writer: Arc<dyn Fn(&SubtaskContext, Vec<OutputHalf>, TargetShape) -> AnyBox + Send + Sync>,
    /// The names of the operators fused into the writer, in order.
    pub names: Arc<[String]>,
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
    /// Processes records of two inputs; always the head of its vertex.
    TwoInputs(TwoInputFactory),
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
    /// Makes its side outputs, by tag.
    pub sides: BTreeMap<String, SideFactory>,
    /// The edges of its second input.
    pub second_input: BTreeSet<EdgeId>,
    /// The last of its operators.
    pub operator: OperatorIdentity,
    /// The names of its operators, in order.
    pub names: Arc<[String]>,
    /// Commits its outputs when the job is done, if it is a sink that has some.
    pub committer: Option<Committer>,
}

/// What follows a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOutput {
    /// The side output it reads; `None`: the main output.
    pub side: Option<String>,
    /// Who reads.
    pub follower: Follower,
}

/// Who reads an output of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follower {
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
    pub inputs: Vec<(EdgeId, Vec<InputHalf>)>,
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
        let node = &self.nodes[head];
        let context = &of_node(context, node);
        match &node.factory {
            NodeFactory::Source(source) => source(context, tail, self.buffer_timeout),
            NodeFactory::Operator { operator, gate } => {
                let head = operator(context, tail)?;
                let inputs = channels.inputs.into_iter().flat_map(|(_, halves)| halves);
                Ok(gate(context, inputs.collect(), head, self.buffer_timeout))
            }
            NodeFactory::TwoInputs(build) => {
                let mut inputs = [Vec::new(), Vec::new()];
                for (edge, halves) in channels.inputs {
                    inputs[usize::from(node.second_input.contains(&edge))].extend(halves);
                }
                build(context, inputs, tail, self.buffer_timeout)
            }
        }
    }

    /// Everything behind a node.
    fn tail(
        &self,
        context: &SubtaskContext,
        node: usize,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<Tail, TaskError> {
        let node = &self.nodes[node];
        let mut main = Vec::new();
        let mut sides: BTreeMap<&str, Vec<AnyBox>> = BTreeMap::new();
        for output in &node.outputs {
            let follower = match output.follower {
                Follower::Chained(next) => self.chained(context, next, channels)?,
                Follower::Exchange(edge) => self.writer(context, edge, channels)?,
            };
            match &output.side {
                None => main.push(follower),
                Some(tag) => sides.entry(tag).or_default().push(follower),
            }
        }
        let main = match main.len() {
            1 => main.remove(0),
            _ => (node.tee)(main),
        };
        let sides = sides.into_iter().map(|(tag, followers)| {
            let missing = || TaskError::fatal(format!("no factory for side output '{tag}'"));
            let make = node.sides.get(tag).ok_or_else(missing)?;
            Ok(make(followers))
        });
        Ok(Tail {
            main,
            sides: sides.collect::<Result<_, _>>()?,
        })
    }

    fn chained(
        &self,
        context: &SubtaskContext,
        node: usize,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<AnyBox, TaskError> {
        let tail = self.tail(context, node, channels)?;
        let node = &self.nodes[node];
        match &node.factory {
            NodeFactory::Operator { operator, .. } => operator(&of_node(context, node), tail),
            NodeFactory::Source(_) | NodeFactory::TwoInputs(_) => Err(TaskError::fatal(
                "what must begin a task is chained behind a node",
            )),
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
        let factory = &self.edges[edge.0 as usize];
        let context = SubtaskContext {
            names: Arc::clone(&factory.names),
            ..context.clone()
        };
        Ok((factory.writer)(&context, halves, shape))
    }
}

/// The context with the identity of a node's operators.
fn of_node(context: &SubtaskContext, node: &Node) -> SubtaskContext {
    SubtaskContext {
        operator: node.operator.clone(),
        names: Arc::clone(&node.names),
        ..context.clone()
    }
}
