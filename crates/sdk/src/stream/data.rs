//! A stream of records of one type.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_model::ShipStrategy;
use flott_operators::keyed::{ByRef, ByValue, KeySelector};
use flott_operators::pipe::{Detach, Filter, FlatMap, Identity, Map, Pipe, PipeLink};
use flott_record::{Data, Key, Record};
use flott_runtime::exchange::unbox;
use flott_runtime::plan::NodeFactory;

use crate::StreamExecutionEnvironment;
use crate::graph::{
    Chaining, EdgeKind, OperatorInfo, StreamEdge, StreamNode, boxed_sink, edge_factory,
    gate_factory, schema_hash, tee_factory,
};
use crate::stream::KeyedStream;

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
fn pass_through<T: Record>(
    env: &StreamExecutionEnvironment,
    parallelism: u32,
    inputs: Vec<StreamEdge>,
) -> StreamNode {
    let factory = NodeFactory::Operator {
        operator: Arc::new(|_, next| Ok(next)),
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
        factory: edge_factory::<T, Identity, ByRef<fn(&T) -> &u8, u8>>(Identity, EdgeKind::Plain),
        record_schema: schema_hash::<T>(),
        key_schema: 0,
    }
}

impl<T: Data, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    fn fuse<U: Data, Q: Pipe<H, Out = U>>(
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

    /// Applies a function to each record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).map(|n| n * n).print();
    /// # env.execute("map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U, F>(self, function: F) -> DataStream<U, H, Map<P, F>>
    where
        U: Data,
        F: FnMut(T) -> U + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Map"), |before| {
            Map::new(before, function)
        })
    }

    /// Keeps the records for which a predicate holds.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 10).filter(|n| n % 2 == 0).print();
    /// # env.execute("filter")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter<F>(self, predicate: F) -> DataStream<T, H, Filter<P, F>>
    where
        F: FnMut(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Filter"), |before| {
            Filter::new(before, predicate)
        })
    }

    /// Replaces each record by any number of others: the items of whatever the function returns
    /// (a `Vec`, an `Option`, an iterator that computes them one by one).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).flat_map(|n| 0..n).print();
    /// # env.execute("flat_map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<I, F>(self, function: F) -> DataStream<I::Item, H, FlatMap<P, F>>
    where
        I: IntoIterator,
        I::Item: Data,
        F: FnMut(T) -> I + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            FlatMap::new(before, function)
        })
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
            operator: Arc::new(move |_, next| {
                Ok(boxed_sink::<H>(PipeLink::new(pipe.clone(), unbox(next))))
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
        kind: EdgeKind<S>,
        ship: ShipStrategy,
    ) -> (StreamExecutionEnvironment, StreamEdge) {
        let key_schema = match &kind {
            EdgeKind::Keyed(_) => schema_hash::<S::Key>(),
            EdgeKind::Plain => 0,
        };
        let edge = StreamEdge {
            from: self.from,
            ship,
            operators: self.operators,
            factory: edge_factory::<H, P, S>(self.pipe, kind),
            record_schema: schema_hash::<T>(),
            key_schema,
        };
        (self.env, edge)
    }

    fn redistribute(self, ship: ShipStrategy, parallelism: Option<u32>) -> DataStream<T> {
        let kind: EdgeKind<ByRef<fn(&T) -> &u8, u8>> = EdgeKind::Plain;
        let (env, edge) = self.into_edge(kind, ship);
        let parallelism = parallelism.unwrap_or_else(|| env.default_parallelism());
        let node = pass_through::<T>(&env, parallelism, vec![edge]);
        DataStream::of_node(env.clone(), env.add_node(node))
    }

    /// Spreads the records round robin over all subtasks of what follows.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([3, 1, 2]).rebalance().map(|n| n * 10).print();
    /// # env.execute("rebalance")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rebalance(self) -> DataStream<T> {
        self.redistribute(ShipStrategy::Rebalance, None)
    }

    /// Gives every record to every subtask of what follows.
    pub fn broadcast(self) -> DataStream<T> {
        // Sealed, so that nothing is fused into an edge that may be drawn more than once.
        self.seal().redistribute(ShipStrategy::Broadcast, None)
    }

    /// Gives all records to one subtask.
    pub fn global(self) -> DataStream<T> {
        self.redistribute(ShipStrategy::Global, Some(1))
    }

    /// Partitions by a computed key. Records with equal keys meet in the same subtask.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).map(|n| (n % 3, n)).key_by(|(rest, _)| *rest).sum(|(_, n)| n).print_debug();
    /// # env.execute("key_by")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key_by<K: Key, F>(self, key: F) -> KeyedStream<T, ByValue<F, K>, H, P>
    where
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self, ByValue::new(key))
    }

    /// Partitions by a key that is a part of the record: nothing is copied on the way.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([("a".to_owned(), 1), ("b".to_owned(), 2)])
    ///     .key_by_ref(|(name, _)| name)
    ///     .sum(|(_, n)| n)
    ///     .print_debug();
    /// # env.execute("key_by_ref")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key_by_ref<K: Key, F>(self, key: F) -> KeyedStream<T, ByRef<F, K>, H, P>
    where
        F: Fn(&T) -> &K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self, ByRef::new(key))
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
    fn detach_last(mut self, set: impl FnOnce(&mut StreamNode)) -> DataStream<T> {
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

    /// The number of subtasks of the last operator; default: that of the environment.
    ///
    /// # Panics
    /// If it is 0.
    pub fn set_parallelism(self, parallelism: u32) -> DataStream<T> {
        assert!(
            parallelism > 0,
            "the parallelism of an operator is at least 1"
        );
        let (env, from, first) = (self.env.clone(), self.from, self.operators.len() == 1);
        if first && env.is_pass_through(from) {
            // Directly behind an exchange: the exchange itself spreads over that many.
            env.with_node(from, |node| node.parallelism = parallelism);
        }
        self.detach_last(|node| node.parallelism = parallelism)
    }

    /// The number of key groups of the last operator's task: an upper bound of its parallelism.
    pub fn set_max_parallelism(self, max_parallelism: u32) -> DataStream<T> {
        self.detach_last(|node| node.max_parallelism = Some(max_parallelism))
    }

    /// Runs the last operator in a task of its own.
    pub fn disable_chaining(self) -> DataStream<T> {
        self.detach_last(|node| node.chaining = Chaining::Never)
    }

    /// Begins a new task with the last operator.
    pub fn start_new_chain(self) -> DataStream<T> {
        self.detach_last(|node| node.chaining = Chaining::Head)
    }

    /// Puts the last operator and what follows it into slots of that group.
    pub fn slot_sharing_group(self, group: &str) -> DataStream<T> {
        self.detach_last(|node| node.slot_sharing_group = group.to_owned())
    }
}
