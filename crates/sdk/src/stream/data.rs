//! A stream of records of one type.

use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use flott_model::ShipStrategy;
use flott_operators::keyed::{ByRef, ByValue, KeySelector};
use flott_operators::pipe::{
    Detach, Emitter, Filter, FlatMap, FlatMapInto, Identity, Map, Pipe, PipeLink, TryFilter,
    TryFlatMap, TryMap,
};
use flott_record::{Data, Key, Record};
use flott_runtime::BufferTimeout;
use flott_runtime::plan::NodeFactory;

use crate::StreamExecutionEnvironment;
use crate::graph::{
    Chaining, EdgeKind, NoKey, OperatorInfo, Partitioner, StreamEdge, StreamNode, boxed_sink,
    edge_factory, gate_factory, schema_hash, tee_factory,
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
    /// (a `Vec`, an `Option`, an iterator that computes them one by one). An iterator that finds no
    /// room downstream waits and goes on later: it may give millions of records.
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
        I::IntoIter: Send + 'static,
        F: FnMut(T) -> I + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            FlatMap::new(before, function)
        })
    }

    /// Applies a function that may fail to each record. An error fails the job; it names the operator,
    /// its subtask, and the record's position in the subtask's input.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["1", "2"].map(String::from)).try_map(|text| text.parse::<i64>()).print();
    /// # env.execute("try_map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_map<U, E, F>(self, function: F) -> DataStream<U, H, TryMap<P, F>>
    where
        U: Data,
        E: Display,
        F: FnMut(T) -> Result<U, E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Map"), |before| {
            TryMap::new(before, function)
        })
    }

    /// Keeps the records for which a predicate that may fail holds. Errors as in
    /// [`DataStream::try_map`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["1", "2"].map(String::from))
    ///     .try_filter(|text| text.parse::<i64>().map(|n| n > 1))
    ///     .print();
    /// # env.execute("try_filter")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_filter<E, F>(self, predicate: F) -> DataStream<T, H, TryFilter<P, F>>
    where
        E: Display,
        F: FnMut(&T) -> Result<bool, E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Filter"), |before| {
            TryFilter::new(before, predicate)
        })
    }

    /// Replaces each record by any number of others, or fails. Errors as in
    /// [`DataStream::try_map`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["3".to_owned()]).try_flat_map(|text| text.parse::<i64>().map(|n| 0..n)).print();
    /// # env.execute("try_flat_map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_flat_map<I, E, F>(self, function: F) -> DataStream<I::Item, H, TryFlatMap<P, F>>
    where
        I: IntoIterator,
        I::Item: Data,
        I::IntoIter: Send + 'static,
        E: Display,
        F: FnMut(T) -> Result<I, E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            TryFlatMap::new(before, function)
        })
    }

    /// Replaces each record by what the function emits for it: it may borrow from the record and
    /// needs no collection. What one record emits is held in memory until the function returns; for
    /// very many records from one use [`DataStream::flat_map`] with an iterator.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["to be".to_owned()])
    ///     .flat_map_into(|line: String, out: &mut Emitter<'_, Str>| {
    ///         line.split(' ').for_each(|word| out.emit(Str::from(word)));
    ///     })
    ///     .print();
    /// # env.execute("flat_map_into")?;
    /// # Ok(())
    /// # }
    /// ```
    #[expect(
        clippy::type_complexity,
        reason = "the type of a closure cannot be named"
    )]
    pub fn flat_map_into<U, F>(
        self,
        mut function: F,
    ) -> DataStream<
        U,
        H,
        FlatMapInto<
            P,
            impl FnMut(T, &mut Emitter<'_, U>) -> Result<(), Infallible> + Clone + Send + Sync + 'static,
            U,
        >,
    >
    where
        U: Data,
        F: FnMut(T, &mut Emitter<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.try_flat_map_into(move |record, out: &mut Emitter<'_, U>| {
            function(record, out);
            Ok(())
        })
    }

    /// As [`DataStream::flat_map_into`], with a function that may fail. Errors as in
    /// [`DataStream::try_map`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["1 2".to_owned()])
    ///     .try_flat_map_into(|line: String, out: &mut Emitter<'_, i64>| {
    ///         for number in line.split(' ') {
    ///             out.emit(number.parse()?);
    ///         }
    ///         Ok::<(), std::num::ParseIntError>(())
    ///     })
    ///     .print();
    /// # env.execute("try_flat_map_into")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_flat_map_into<U, E, F>(self, function: F) -> DataStream<U, H, FlatMapInto<P, F, U>>
    where
        U: Data,
        E: Display,
        F: FnMut(T, &mut Emitter<'_, U>) -> Result<(), E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            FlatMapInto::new(before, function)
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

    fn redistribute(
        self,
        kind: EdgeKind<NoKey<T>, T>,
        ship: ShipStrategy,
        parallelism: Option<u32>,
    ) -> DataStream<T> {
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
        self.redistribute(EdgeKind::Plain, ShipStrategy::Rebalance, None)
    }

    /// Spreads the records of each subtask round robin over some subtasks of what follows: with 2
    /// before and 4 behind, each feeds two. Fewer connections than [`DataStream::rebalance`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).rescale().map(|n| n * 10).set_parallelism(2).print();
    /// # env.execute("rescale")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rescale(self) -> DataStream<T> {
        self.redistribute(EdgeKind::Plain, ShipStrategy::Rescale, None)
    }

    /// Spreads the records at random, evenly, over all subtasks of what follows.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).shuffle().map(|n| n * 10).print();
    /// # env.execute("shuffle")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shuffle(self) -> DataStream<T> {
        self.redistribute(EdgeKind::Shuffled, ShipStrategy::Custom, None)
    }

    /// Gives each record to the subtask of what follows that `partitioner(key, subtasks)` chooses; a
    /// number that is not below `subtasks` fails the job.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9)
    ///     .partition_custom(|parity, subtasks| parity % subtasks, |n| (*n % 2) as u32)
    ///     .map(|n| n * 10)
    ///     .print();
    /// # env.execute("partition_custom")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn partition_custom<K, F, G>(self, partitioner: F, key: G) -> DataStream<T>
    where
        F: Fn(K, u32) -> u32 + Send + Sync + 'static,
        G: Fn(&T) -> K + Send + Sync + 'static,
    {
        let choose: Partitioner<T> =
            Arc::new(move |record, subtasks| partitioner(key(record), subtasks));
        self.redistribute(EdgeKind::Custom(choose), ShipStrategy::Custom, None)
    }

    /// One to one to the subtask of the same index of what follows. That is how streams go on by
    /// themselves; behind another redistribution it has no effect.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).forward().map(|n| n * 10).print();
    /// # env.execute("forward")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn forward(self) -> DataStream<T> {
        self.seal()
    }

    /// Gives every record to every subtask of what follows.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([1, 2]).broadcast().map(|n| n * 10).set_parallelism(2).print();
    /// # env.execute("broadcast")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast(self) -> DataStream<T> {
        // Sealed, so that nothing is fused into an edge that may be drawn more than once.
        self.seal()
            .redistribute(EdgeKind::Plain, ShipStrategy::Broadcast, None)
    }

    /// Gives all records to one subtask.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).global().map(|n| n * 10).print();
    /// # env.execute("global")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn global(self) -> DataStream<T> {
        self.redistribute(EdgeKind::Plain, ShipStrategy::Global, Some(1))
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

    /// The longest time that records of the last operator's task wait in a buffer that is not full;
    /// `None`: until it is full. Default: `execution.buffer-timeout.interval`.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3)
    ///     .map(|n| n * n)
    ///     .set_buffer_timeout(Some(Duration::from_millis(5)))
    ///     .rebalance()
    ///     .print();
    /// # env.execute("set_buffer_timeout")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_buffer_timeout(self, timeout: Option<Duration>) -> DataStream<T> {
        let timeout = timeout.map_or(BufferTimeout::Never, BufferTimeout::After);
        self.detach_last(|node| node.buffer_timeout = Some(timeout))
    }

    /// Puts the last operator and what follows it into slots of that group.
    pub fn slot_sharing_group(self, group: &str) -> DataStream<T> {
        self.detach_last(|node| node.slot_sharing_group = group.to_owned())
    }
}
