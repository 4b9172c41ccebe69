//! A stream of records of one type.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_model::ShipStrategy;
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::{Detach, Identity, Pipe, PipeLink};
use flott_record::{Data, Record};
use flott_runtime::plan::NodeFactory;

use crate::StreamExecutionEnvironment;
use crate::graph::{
    Chaining, EdgeKind, NoKey, OperatorInfo, StreamEdge, StreamNode, boxed_sink, edge_factory,
    gate_factory, schema_hash, tee_factory,
};

/// A stream of `T`. Stateless operators (`map`, `filter`, `flat_map`) are fused into one piece of
/// code, which the other two parameters describe; `DataStream<T>` names a stream on which nothing
/// is fused yet, so that it can be stored, returned from functions, and cloned to be used twice
/// ([`DataStream::seal`] makes one of any stream).
pub struct DataStream<T: Data, H: Record = T, P: Pipe<H, Out = T> = Identity> {
    pub(crate) env: StreamExecutionEnvironment,
    /// The node whose output `pipe` is applied to.
    pub(crate) from: usize,
    pub(crate) pipe: P,
    /// The operators in `pipe`.
    pub(crate) operators: Vec<OperatorInfo>,
    types: PhantomData<fn(H) -> T>,
}

impl<T: Record> Clone for DataStream<T> {
    fn clone(&self) -> Self {
        Self::of_node(self.env.clone(), self.from)
    }
}

impl<T: Record> DataStream<T> {
    pub(crate) fn of_node(env: StreamExecutionEnvironment, from: usize) -> Self {
        Self {
            env,
            from,
            pipe: Identity,
            operators: Vec::new(),
            types: PhantomData,
        }
    }

    /// Merges this stream with others of the same type. Nothing is said about the order between
    /// records of different streams.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let small = env.from_sequence(1, 3);
    /// let large = env.from_sequence(1_000, 1_002);
    /// small.union([large]).print();
    /// env.execute("union")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn union(self, others: impl IntoIterator<Item = Self>) -> Self {
        let inputs: Vec<usize> = std::iter::once(self.from)
            .chain(others.into_iter().map(|other| other.from))
            .collect();
        let parallelism = self.env.parallelism_of(self.from);
        let edges = inputs
            .into_iter()
            .map(|from| plain_edge::<T>(from, ShipStrategy::Forward))
            .collect();
        let node = pass_through::<T>(&self.env, parallelism, edges);
        Self::of_node(self.env.clone(), self.env.add_node(node))
    }
}

/// A node without operators: it only ends exchanges.
pub(crate) fn pass_through<T: Record>(
    env: &StreamExecutionEnvironment,
    parallelism: u32,
    inputs: Vec<StreamEdge>,
) -> StreamNode {
    let factory = NodeFactory::Operator {
        operator: Arc::new(|_, next| Ok(next.main)),
        gate: gate_factory::<T>(),
    };
    StreamNode {
        chaining: Chaining::Head,
        inputs,
        ..env.new_node(Vec::new(), parallelism, factory, tee_factory::<T>())
    }
}

/// An edge into which nothing is fused.
pub(crate) fn plain_edge<T: Record>(from: usize, ship: ShipStrategy) -> StreamEdge {
    StreamEdge {
        from,
        ship,
        operators: Vec::new(),
        factory: edge_factory::<T, Identity, NoKey<T>>(Identity, EdgeKind::Plain),
        side: None,
        input: 0,
        record_schema: schema_hash::<T>(),
        key_schema: 0,
    }
}

impl<T: Data, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    pub(super) fn fuse<U: Data, Q: Pipe<H, Out = U>>(
        mut self,
        operator: OperatorInfo,
        fuse: impl FnOnce(P) -> Q,
    ) -> DataStream<U, H, Q> {
        self.operators.push(operator);
        DataStream {
            env: self.env,
            from: self.from,
            pipe: fuse(self.pipe),
            operators: self.operators,
            types: PhantomData,
        }
    }

    /// Names the last operator, for people.
    pub fn name(mut self, name: &str) -> Self {
        match self.operators.last_mut() {
            Some(operator) => operator.name = name.to_owned(),
            None => self
                .env
                .last_operator(self.from, |operator| operator.name = name.to_owned()),
        }
        self
    }

    /// Identifies the last operator, for savepoints: must be unique in the job and should never
    /// change. Without it an id is derived from the position in the graph.
    pub fn uid(mut self, uid: &str) -> Self {
        match self.operators.last_mut() {
            Some(operator) => operator.uid = Some(uid.to_owned()),
            None => self
                .env
                .last_operator(self.from, |operator| operator.uid = Some(uid.to_owned())),
        }
        self
    }
}

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Ends the fused run: the type becomes `DataStream<T>`. The operators keep running in one
    /// task with what is before and after them.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let squares: DataStream<i64> = env.from_sequence(1, 3).map(|n| n * n).seal();
    /// squares.clone().filter(|n| n % 2 == 0).print();
    /// squares.filter(|n| n % 2 == 1).print();
    /// # env.execute("seal")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn seal(self) -> DataStream<T> {
        if self.operators.is_empty() {
            return DataStream::of_node(self.env, self.from);
        }
        let pipe = self.pipe;
        let factory = NodeFactory::Operator {
            operator: Arc::new(move |context, next| {
                let output = next.output::<T>();
                Ok(boxed_sink::<H>(PipeLink::new(
                    pipe.clone(),
                    output,
                    context,
                )))
            }),
            gate: gate_factory::<H>(),
        };
        let parallelism = self.env.parallelism_of(self.from);
        let node = StreamNode {
            inputs: vec![plain_edge::<H>(self.from, ShipStrategy::Forward)],
            ..self
                .env
                .new_node(self.operators, parallelism, factory, tee_factory::<T>())
        };
        DataStream::of_node(self.env.clone(), self.env.add_node(node))
    }

    /// An edge that carries what leaves the fused run, keyed or not.
    pub(crate) fn into_edge<S: KeySelector<T>>(
        self,
        kind: EdgeKind<S, T>,
        ship: ShipStrategy,
    ) -> (StreamExecutionEnvironment, StreamEdge) {
        let key_schema = match &kind {
            EdgeKind::Keyed(_) => schema_hash::<S::Key>(),
            EdgeKind::Custom(_) | EdgeKind::Shuffled | EdgeKind::Plain => 0,
        };
        let edge = StreamEdge {
            from: self.from,
            ship,
            operators: self.operators,
            factory: edge_factory::<H, P, S>(self.pipe, kind),
            side: None,
            input: 0,
            record_schema: schema_hash::<T>(),
            key_schema,
        };
        (self.env, edge)
    }
}

impl<T, H, P> DataStream<T, H, P>
where
    T: Record,
    H: Record,
    P: Detach<H> + Pipe<H, Out = T>,
    P::Between: Record,
{
    /// Makes the last operator a node of its own and applies settings to it.
    pub(super) fn detach_last(mut self, set: impl FnOnce(&mut StreamNode)) -> DataStream<T> {
        let last = self.operators.pop();
        let (before, pipe) = self.pipe.detach();
        let before = DataStream {
            env: self.env,
            from: self.from,
            pipe: before,
            operators: self.operators,
            types: PhantomData,
        }
        .seal();
        let alone = DataStream {
            env: before.env,
            from: before.from,
            pipe,
            operators: last.into_iter().collect(),
            types: PhantomData,
        }
        .seal();
        alone.env.with_node(alone.from, set);
        alone
    }
}
