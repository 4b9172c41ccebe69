//! The typed factories of edges and gates: made where the types are known.

use std::sync::Arc;

use flott_model::ShipStrategy;
use flott_network::local_channel;
use flott_operators::chain::Tee;
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::{Pipe, PipeTo};
use flott_operators::side::{self, OutputTag};
use flott_operators::{BatchSink, SubtaskContext};
use flott_record::{Record, schema};
use flott_runtime::exchange::{
    AnyBox, BroadcastRouter, CustomRouter, ExchangeWriter, FirstRouter, Gate, InputChannel,
    InputHalf, KeyRouter, OneInput, Ports, RoundRobinRouter, Router, ShuffleRouter, unbox,
};
use flott_runtime::plan::{EdgeFactory, GateFactory, SideFactory, TargetShape, TeeFactory};

/// Messages a local channel holds.
const RING: usize = 4;

/// Chooses the subtask of a row among so many.
pub(crate) type Partitioner<T> = Arc<dyn Fn(&T, u32) -> u32 + Send + Sync>;

/// How an edge spreads rows.
pub(crate) enum EdgeKind<S, T> {
    /// By key.
    Keyed(S),
    /// As the user's function says.
    Custom(Partitioner<T>),
    /// At random.
    Shuffled,
    /// As the job graph says.
    Plain,
}

/// An edge without keys.
pub(crate) type NoKey<T> = flott_operators::keyed::ByRef<fn(&T) -> &u8, u8>;

pub(crate) fn boxed_sink<T: 'static>(sink: impl BatchSink<T> + 'static) -> AnyBox {
    Box::new(Box::new(sink) as Box<dyn BatchSink<T>>)
}

/// The edge that carries what leaves `pipe`; rows of `H` enter it in the source's task.
pub(crate) fn edge_factory<H, P, S>(pipe: P, kind: EdgeKind<S, P::Out>) -> EdgeFactory
where
    H: Record,
    P: Pipe<H>,
    P::Out: Record,
    S: KeySelector<P::Out>,
{
    EdgeFactory {
        // Filled in when the graph is built: names may still change.
        names: Arc::default(),
        uids: Arc::default(),
        local_channel: Arc::new(|source, target| {
            let (sender, receiver) = local_channel::<P::Out>(RING, source, target);
            (Box::new(sender), Box::new(receiver))
        }),
        writer: Arc::new(move |context, halves, shape| {
            let (pipe, ports) = (pipe.clone(), Ports::<P::Out>::new(halves));
            match (&kind, shape.ship) {
                (EdgeKind::Keyed(selector), _) => {
                    let TargetShape {
                        parallelism,
                        max_parallelism,
                        ..
                    } = shape;
                    let router = KeyRouter::new(selector.clone(), parallelism, max_parallelism);
                    finish::<H, P, _>(context, pipe, ports, router)
                }
                (EdgeKind::Custom(partitioner), _) => {
                    let router = CustomRouter::new(Arc::clone(partitioner));
                    finish::<H, P, _>(context, pipe, ports, router)
                }
                (EdgeKind::Shuffled, _) => {
                    let router = ShuffleRouter::seeded(u64::from(context.subtask));
                    finish::<H, P, _>(context, pipe, ports, router)
                }
                (EdgeKind::Plain, ShipStrategy::Forward | ShipStrategy::Global) => {
                    finish::<H, P, _>(context, pipe, ports, FirstRouter)
                }
                (EdgeKind::Plain, ShipStrategy::Broadcast) => {
                    finish::<H, P, _>(context, pipe, ports, BroadcastRouter)
                }
                (
                    EdgeKind::Plain,
                    ShipStrategy::Rebalance
                    | ShipStrategy::Rescale
                    | ShipStrategy::Hash
                    | ShipStrategy::Custom,
                ) => {
                    let router = RoundRobinRouter::starting_at(context.subtask as usize);
                    finish::<H, P, _>(context, pipe, ports, router)
                }
            }
        }),
    }
}

fn finish<H, P, R>(context: &SubtaskContext, pipe: P, ports: Ports<P::Out>, router: R) -> AnyBox
where
    H: Record,
    P: Pipe<H>,
    P::Out: Record,
    R: Router<P::Out> + 'static,
{
    let ports = ports.with_checkpoints(context.checkpoint.clone());
    let writer = ExchangeWriter::new(ports, router, Arc::clone(&context.counters));
    boxed_sink::<H>(PipeTo::new(pipe, writer, context))
}

/// Reads `T` from channels in front of a chain.
pub(crate) fn gate_factory<T: Record>() -> GateFactory {
    Arc::new(|context, halves, head, timeout| {
        let head: Box<dyn BatchSink<T>> = unbox(head);
        let inputs = OneInput::new(channels(halves), head, Arc::clone(&context.counters));
        Box::new(Gate::new(inputs, timeout, context))
    })
}

/// The channels of these halves.
pub(crate) fn channels<T: Record>(halves: Vec<InputHalf>) -> Vec<InputChannel<T>> {
    halves.into_iter().map(InputChannel::<T>::new).collect()
}

/// Makes the side output of that tag.
pub(crate) fn side_factory<T: Record>(tag: OutputTag<T>) -> SideFactory {
    let tee = tee_factory::<T>();
    Arc::new(move |chains| side::boxed(&tag, unbox(tee(chains))))
}

/// Joins any number of chains of `T`.
pub(crate) fn tee_factory<T: Record>() -> TeeFactory {
    Arc::new(|chains| {
        let targets = chains
            .into_iter()
            .map(unbox::<Box<dyn BatchSink<T>>>)
            .collect();
        boxed_sink::<T>(Tee::new(targets))
    })
}

/// Hash of the layout of `T`; 0 for a type whose layout cannot be traced.
pub(crate) fn schema_hash<T: Record>() -> u64 {
    schema::schema_of::<T>().map_or(0, |schema| schema.hash())
}
