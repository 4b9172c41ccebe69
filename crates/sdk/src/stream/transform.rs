//! How operators with code of their own become nodes of the graph. All methods of streams that are
//! not fused end here.

use std::sync::Arc;

use flott_model::ShipStrategy;
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::Pipe;
use flott_operators::side::OutputTag;
use flott_operators::{BatchSink, Output, SubtaskContext, TaskError, TwoInputSink};
use flott_record::Record;
use flott_runtime::exchange::{Gate, InputHalf, TwoInputs};
use flott_runtime::plan::NodeFactory;

use crate::StreamExecutionEnvironment;
use crate::graph::{
    EdgeKind, NoKey, OperatorInfo, StreamEdge, StreamNode, channels, gate_factory, side_factory,
    tee_factory,
};
use crate::stream::data::{pass_through, plain_edge};
use crate::stream::{DataStream, KeyedStream};

/// What a subtask's operator is made of: its place, and where it emits to.
type MadeSink<T> = Result<Box<dyn BatchSink<T>>, TaskError>;

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Appends an operator with the parallelism of this stream, chained to it where that is allowed.
    pub(crate) fn transform<U, F>(self, operator: OperatorInfo, make: F) -> DataStream<U>
    where
        U: Record,
        F: Fn(&SubtaskContext, Output<U>) -> MadeSink<T> + Send + Sync + 'static,
    {
        let stream = self.seal();
        let parallelism = stream.env.parallelism_of(stream.from);
        let edge = plain_edge::<T>(stream.from, ShipStrategy::Forward);
        one_input(stream.env, edge, operator, parallelism, make)
    }

    /// The edge by which this stream enters a node with two inputs.
    pub(crate) fn into_input(self) -> InputEdge {
        let (env, edge) = self.into_edge(EdgeKind::<NoKey<T>, T>::Plain, ShipStrategy::Forward);
        let parallelism = env.parallelism_of(edge.from);
        InputEdge {
            env,
            edge,
            parallelism,
            first_in_batch: false,
        }
    }
}

impl<T: Record> DataStream<T> {
    /// The records that the last operator emitted under that tag.
    pub(crate) fn side_output<U: Record>(&self, tag: &OutputTag<U>) -> DataStream<U> {
        self.env.with_node(self.from, |node| {
            node.sides
                .entry(tag.id().to_owned())
                .or_insert_with(|| side_factory(tag.clone()));
        });
        let edge = StreamEdge {
            side: Some(tag.id().to_owned()),
            ..plain_edge::<U>(self.from, ShipStrategy::Forward)
        };
        let parallelism = self.env.parallelism_of(self.from);
        let node = StreamNode {
            chaining: crate::graph::Chaining::Allowed,
            ..pass_through::<U>(&self.env, parallelism, vec![edge])
        };
        DataStream::of_node(self.env.clone(), self.env.add_node(node))
    }
}

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Appends an operator behind the exchange by key; it has the environment's parallelism.
    pub(crate) fn transform<U, F>(self, operator: OperatorInfo, make: F) -> DataStream<U>
    where
        U: Record,
        F: Fn(&SubtaskContext, S, Output<U>) -> MadeSink<T> + Send + Sync + 'static,
    {
        let selector = self.selector.clone();
        let InputEdge {
            env,
            edge,
            parallelism,
            ..
        } = self.into_input();
        one_input(env, edge, operator, parallelism, move |context, output| {
            make(context, selector.clone(), output)
        })
    }

    /// The edge by which this stream enters a node with two inputs.
    pub(crate) fn into_input(self) -> InputEdge {
        let (env, edge) = self
            .stream
            .into_edge(EdgeKind::Keyed(self.selector), ShipStrategy::Hash);
        let parallelism = env.default_parallelism();
        InputEdge {
            env,
            edge,
            parallelism,
            first_in_batch: false,
        }
    }
}

/// A stream on its way into a node.
pub(crate) struct InputEdge {
    pub(crate) env: StreamExecutionEnvironment,
    pub(crate) edge: StreamEdge,
    /// Of the node it enters, if nothing else is said.
    pub(crate) parallelism: u32,
    /// Of a second input: BATCH reads it whole before the first one (rules before what they rule).
    pub(crate) first_in_batch: bool,
}

fn one_input<T, U, F>(
    env: StreamExecutionEnvironment,
    edge: StreamEdge,
    operator: OperatorInfo,
    parallelism: u32,
    make: F,
) -> DataStream<U>
where
    T: Record,
    U: Record,
    F: Fn(&SubtaskContext, Output<U>) -> MadeSink<T> + Send + Sync + 'static,
{
    let factory = NodeFactory::Operator {
        operator: Arc::new(move |context, tail| {
            let head: Box<dyn BatchSink<T>> = make(context, tail.output::<U>())?;
            Ok(Box::new(head))
        }),
        gate: gate_factory::<T>(),
    };
    let node = StreamNode {
        inputs: vec![edge],
        ..env.new_node(vec![operator], parallelism, factory, tee_factory::<U>())
    };
    DataStream::of_node(env.clone(), env.add_node(node))
}

/// A node with two inputs of types `A` and `B`, with the parallelism of the first.
pub(crate) fn two_inputs<A, B, U, F>(
    first: InputEdge,
    mut second: InputEdge,
    operator: OperatorInfo,
    make: F,
) -> DataStream<U>
where
    A: Record,
    B: Record,
    U: Record,
    F: Fn(&SubtaskContext, Output<U>) -> Result<Box<dyn TwoInputSink<A, B>>, TaskError>
        + Send
        + Sync
        + 'static,
{
    let first_in_batch = second.first_in_batch;
    let factory = NodeFactory::TwoInputs(Arc::new(move |context, [left, right], tail, timeout| {
        let head = make(context, tail.output::<U>())?;
        let counters = Arc::clone(&context.counters);
        // A pipelined channel must not be kept waiting: what feeds it may feed the other one, too.
        let can_wait = |half: &InputHalf| matches!(half, InputHalf::Partition(_));
        let second_first = first_in_batch && context.batch_mode && left.iter().all(can_wait);
        let mut inputs = TwoInputs::<A, B>::new(channels(left), channels(right), head, counters);
        if second_first {
            inputs.read_second_first();
        }
        Ok(Box::new(Gate::new(inputs, timeout, context)))
    }));
    second.edge.input = 1;
    let env = first.env;
    let node = StreamNode {
        inputs: vec![first.edge, second.edge],
        ..env.new_node(
            vec![operator],
            first.parallelism,
            factory,
            tee_factory::<U>(),
        )
    };
    DataStream::of_node(env.clone(), env.add_node(node))
}
