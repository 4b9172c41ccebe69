//! How records are spread over the subtasks of what follows.

use std::sync::Arc;

use flott_model::ShipStrategy;
use flott_operators::keyed::{ByRef, ByValue};
use flott_operators::pipe::Pipe;
use flott_record::{Key, Record};

use crate::graph::{EdgeKind, NoKey, Partitioner};
use crate::stream::data::pass_through;
use crate::stream::{DataStream, KeyedStream};

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
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
