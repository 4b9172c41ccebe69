//! A job graph with its code: the factories that a program registered, found by position.
//!
//! Typed things travel through here as boxes of `Any`, each holding exactly one
//! `Box<dyn BatchSink<T>>` (or, for a sink, nothing): the closure that knows `T` was made where `T`
//! was known, so there is no unsafe code and no cost per record.

mod flows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_model::{EdgeId, JobGraph, OperatorUid, ShipStrategy, VertexId};
use flott_network::Waker;
use flott_operators::flow::Flow;
use flott_operators::pipe::RunCounts;
use flott_operators::side::AnySide;
use flott_operators::sink::AnyCommitter;
use flott_operators::source::EnumeratorFactory;
use flott_operators::{OperatorIdentity, Output, SubtaskContext, TaskError};
use flott_record::Data;

use crate::exchange::{AnyBox, InputHalf, OutputHalf, unbox};
use crate::pacer::BufferTimeout;
use crate::scheduler::Tasklet;
use flows::Feed;

/// Builds a source's task, and what finds its splits.
#[derive(Clone)]
pub struct SourceFactory {
    /// Builds the task in front of the rest of its chain.
    pub task: SourceTaskFactory,
    /// Makes the enumerator, in the worker that coordinates the job.
    pub enumerator: Option<EnumeratorFactory>,
}

/// Builds a source's task in front of the rest of its chain.
pub type SourceTaskFactory = Arc<
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
    /// Counts what the operator emits.
    pub flow: Arc<Flow>,
}

impl Tail {
    /// As the output of an operator that emits `T`.
    ///
    /// # Panics
    /// If the plan mixed up types: a bug in the SDK, not in the user's program.
    pub fn output<T: Data>(self) -> Output<T> {
        let mut output = Output::with_sides(unbox(self.main), self.sides);
        output.count(self.flow);
        output
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
    /// Their identities.
    pub uids: Arc<[OperatorUid]>,
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
    /// Its own `execution.buffer-timeout`, if it has one.
    pub buffer_timeout: Option<BufferTimeout>,
    /// The last of its operators.
    pub operator: OperatorIdentity,
    /// The names of its operators, in order.
    pub names: Arc<[String]>,
    /// Their identities.
    pub uids: Arc<[OperatorUid]>,
    /// Commits its outputs when the job is done, if it is a sink that has some.
    pub committer: Option<AnyCommitter>,
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
    /// The uid of the operator that a node's state and outputs belong to.
    pub(crate) fn uid_of(&self, node: u32) -> OperatorUid {
        let node = self.nodes.get(node as usize);
        node.map_or(OperatorUid(0), |node| node.operator.uid)
    }

    /// Commits the outputs of an operator, if it is a sink that has some.
    pub(crate) fn committer(&self, uid: OperatorUid) -> Option<&AnyCommitter> {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.operator.uid == uid)
            .and_then(|node| node.committer.as_ref())
    }

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
        let feed = Feed::Channels(Arc::clone(&context.counters));
        let tail = self.tail(context, head, &feed, &mut channels.outputs)?;
        let node = &self.nodes[head];
        let context = &of_node(context, node, &tail.flow);
        let is_source = matches!(node.factory, NodeFactory::Source(_));
        flows::report_node(context, node, (!is_source).then_some(&feed));
        let timeout = self.timeout_of(head);
        match &node.factory {
            NodeFactory::Source(source) => (source.task)(context, tail, timeout),
            NodeFactory::Operator { operator, gate } => {
                let head = operator(context, tail)?;
                let inputs = channels.inputs.into_iter().flat_map(|(_, halves)| halves);
                Ok(gate(context, inputs.collect(), head, timeout))
            }
            NodeFactory::TwoInputs(build) => {
                let mut inputs = [Vec::new(), Vec::new()];
                for (edge, halves) in channels.inputs {
                    inputs[usize::from(node.second_input.contains(&edge))].extend(halves);
                }
                build(context, inputs, tail, timeout)
            }
        }
    }

    /// The buffer timeout of a task: the shortest that one of its operators was given, or the job's.
    fn timeout_of(&self, head: usize) -> BufferTimeout {
        let mut shortest: Option<BufferTimeout> = None;
        let mut nodes = vec![head];
        while let Some(node) = nodes.pop() {
            let node = &self.nodes[node];
            shortest = shortest.into_iter().chain(node.buffer_timeout).min();
            nodes.extend(
                node.outputs
                    .iter()
                    .filter_map(|output| match output.follower {
                        Follower::Chained(next) => Some(next),
                        Follower::Exchange(_) => None,
                    }),
            );
        }
        shortest.unwrap_or(self.buffer_timeout)
    }

    /// Everything behind a node, which is fed by `input`.
    fn tail(
        &self,
        context: &SubtaskContext,
        node: usize,
        input: &Feed,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<Tail, TaskError> {
        let node = &self.nodes[node];
        let new_flow = || Arc::new(Flow::new(Arc::clone(context.counters.input.sources())));
        let flow = new_flow();
        let mut main = Vec::new();
        let mut sides: BTreeMap<&str, (Arc<Flow>, Vec<AnyBox>)> = BTreeMap::new();
        for output in &node.outputs {
            let feed = &match &output.side {
                // A node without operators only passes on what it gets.
                None if node.names.is_empty() => input.clone(),
                None => Feed::Flow(Arc::clone(&flow)),
                Some(tag) => {
                    let side = sides.entry(tag);
                    let side = side.or_insert_with(|| (new_flow(), Vec::new()));
                    Feed::Flow(Arc::clone(&side.0))
                }
            };
            let follower = match output.follower {
                Follower::Chained(next) => self.chained(context, next, feed, channels)?,
                Follower::Exchange(edge) => self.writer(context, edge, feed, channels)?,
            };
            match &output.side {
                None => main.push(follower),
                Some(tag) => sides
                    .entry(tag)
                    .or_insert_with(|| (new_flow(), Vec::new()))
                    .1
                    .push(follower),
            }
        }
        let main = match main.len() {
            1 => main.remove(0),
            _ => (node.tee)(main),
        };
        let sides = sides.into_iter().map(|(tag, (flow, followers))| {
            let missing = || TaskError::fatal(format!("no factory for side output '{tag}'"));
            let make = node.sides.get(tag).ok_or_else(missing)?;
            let mut side = make(followers);
            side.count(flow);
            Ok(side)
        });
        Ok(Tail {
            main,
            sides: sides.collect::<Result<_, _>>()?,
            flow,
        })
    }

    fn chained(
        &self,
        context: &SubtaskContext,
        node: usize,
        feed: &Feed,
        channels: &mut BTreeMap<EdgeId, Vec<OutputHalf>>,
    ) -> Result<AnyBox, TaskError> {
        let tail = self.tail(context, node, feed, channels)?;
        let node = &self.nodes[node];
        let context = &of_node(context, node, &tail.flow);
        flows::report_node(context, node, Some(feed));
        match &node.factory {
            NodeFactory::Operator { operator, .. } => operator(context, tail),
            NodeFactory::Source(_) | NodeFactory::TwoInputs(_) => Err(TaskError::fatal(
                "what must begin a task is chained behind a node",
            )),
        }
    }

    fn writer(
        &self,
        context: &SubtaskContext,
        edge: EdgeId,
        feed: &Feed,
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
            run: Arc::new(RunCounts::new(factory.names.len())),
            counters: context.counters.add_writer(),
            ..context.clone()
        };
        flows::report_writer(&context, &factory.uids, feed);
        Ok((factory.writer)(&context, halves, shape))
    }
}

/// The context with the identity of a node's operators.
fn of_node(context: &SubtaskContext, node: &Node, flow: &Arc<Flow>) -> SubtaskContext {
    SubtaskContext {
        metrics: context.metrics.registry().operator(&node.operator.name),
        flow: Arc::clone(flow),
        operator: node.operator.clone(),
        names: Arc::clone(&node.names),
        run: Arc::new(RunCounts::new(node.names.len())),
        ..context.clone()
    }
}
