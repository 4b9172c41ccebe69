//! A stream that is partitioned by a key.

use std::ops::AddAssign;
use std::sync::Arc;

use flott_model::ShipStrategy;
use flott_operators::keyed::{KeySelector, KeyedReduce};
use flott_operators::pipe::{Identity, Pipe};
use flott_record::Record;
use flott_runtime::exchange::unbox;
use flott_runtime::plan::NodeFactory;

use crate::graph::{EdgeKind, OperatorInfo, StreamNode, boxed_sink, gate_factory, tee_factory};
use crate::stream::DataStream;

/// A stream of `T` in which records with equal keys meet in the same subtask.
pub struct KeyedStream<T, S, H = T, P = Identity>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    stream: DataStream<T, H, P>,
    selector: S,
}

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    pub(crate) fn new(stream: DataStream<T, H, P>, selector: S) -> Self {
        Self { stream, selector }
    }

    /// Combines the records of each key: `function(accumulated, record)` changes the accumulated
    /// one, which begins as the key's first record and is emitted after every record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9)
    ///     .key_by(|n| n % 3)
    ///     .reduce(|largest, n| *largest = n.max(*largest))
    ///     .print();
    /// # env.execute("reduce")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce<F>(self, function: F) -> DataStream<T>
    where
        F: FnMut(&mut T, T) + Clone + Send + Sync + 'static,
    {
        self.reduce_as(OperatorInfo::new("Keyed Reduce"), function)
    }

    /// Adds up a field of the records of each key, and emits the first record with the sum so far
    /// after every record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([("a".to_owned(), 1), ("a".to_owned(), 2)])
    ///     .key_by_ref(|(name, _)| name)
    ///     .sum(|(_, n)| n)
    ///     .print_debug();
    /// # env.execute("sum")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sum<N, F>(self, field: F) -> DataStream<T>
    where
        N: AddAssign + Clone,
        F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
    {
        self.reduce_as(
            OperatorInfo::named("Keyed Reduce", "Keyed Sum"),
            move |sum, mut record| {
                let addend = field(&mut record).clone();
                *field(sum) += addend;
            },
        )
    }

    fn reduce_as<F>(self, operator: OperatorInfo, function: F) -> DataStream<T>
    where
        F: FnMut(&mut T, T) + Clone + Send + Sync + 'static,
    {
        let selector = self.selector.clone();
        let factory = NodeFactory::Operator {
            operator: Arc::new(move |_, next| {
                let (selector, function) = (selector.clone(), function.clone());
                Ok(boxed_sink::<T>(KeyedReduce::new(
                    selector,
                    function,
                    unbox(next),
                )))
            }),
            gate: gate_factory::<T>(),
        };
        let (env, edge) = self
            .stream
            .into_edge(EdgeKind::Keyed(self.selector), ShipStrategy::Hash);
        let parallelism = env.default_parallelism();
        let node = StreamNode {
            inputs: vec![edge],
            ..env.new_node(vec![operator], parallelism, factory, tee_factory::<T>())
        };
        DataStream::of_node(env.clone(), env.add_node(node))
    }
}
