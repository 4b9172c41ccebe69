//! A stream that is partitioned by a key.

use std::ops::AddAssign;

use flott_operators::keyed::extremes::{self, Ties};
use flott_operators::keyed::{Aggregate, Fold, KeySelector, Reduce, keyed_fold};
use flott_operators::pipe::{Identity, Pipe};
use flott_record::Record;
use flott_state::AggregateFunction;

use crate::graph::OperatorInfo;
use crate::stream::DataStream;

/// A stream of `T` in which records with equal keys meet in the same subtask.
pub struct KeyedStream<T, S, H = T, P = Identity>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    pub(crate) stream: DataStream<T, H, P>,
    pub(crate) selector: S,
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
    /// one, which begins as the key's first record.
    ///
    /// STREAMING emits the accumulated record after every record; BATCH emits it once per key, when
    /// all records of the key have come. A panic of the function fails the job, naming the record.
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
        self.reduce_as("Keyed Reduce", function)
    }

    /// Adds up a field of the records of each key; the rest of the record is that of the key's first
    /// record. Emits as [`reduce`](Self::reduce) does.
    ///
    /// Integers that overflow panic in builds with overflow checks, and wrap around in others.
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
        self.reduce_as("Keyed Sum", extremes::sum(field))
    }

    /// Keeps the smallest value of a field of the records of each key; the rest of the record is that
    /// of the key's first record. Emits as [`reduce`](Self::reduce) does. Values that cannot be
    /// compared, as NaN, are passed over unless they come first.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// // STREAMING prints (1, 10, 5), (1, 10, 5), (1, 10, 3).
    /// env.from_collection([(1, 10, 5), (1, 20, 7), (1, 30, 3)])
    ///     .key_by(|(sensor, _, _)| *sensor)
    ///     .min(|(_, _, n)| n)
    ///     .print_debug();
    /// # env.execute("min")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn min<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd + Clone,
        F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
    {
        self.reduce_as("Keyed Min", extremes::min(field))
    }

    /// Keeps the largest value of a field of the records of each key; otherwise as
    /// [`min`](Self::min).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).key_by(|n| n % 3).max(|n| n).print();
    /// # env.execute("max")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd + Clone,
        F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
    {
        self.reduce_as("Keyed Max", extremes::max(field))
    }

    /// Keeps the record with the smallest value of a field, whole; of several the first. Emits as
    /// [`reduce`](Self::reduce) does. Values that cannot be compared, as NaN, are passed over unless
    /// they come first.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// // STREAMING prints (1, 10, 5), (1, 10, 5), (1, 30, 3).
    /// env.from_collection([(1, 10, 5), (1, 20, 7), (1, 30, 3)])
    ///     .key_by(|(sensor, _, _)| *sensor)
    ///     .min_by(|(_, _, n)| n)
    ///     .print_debug();
    /// # env.execute("min by")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_by<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd,
        F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
    {
        self.reduce_as("Keyed Min By", extremes::min_by(field, Ties::First))
    }

    /// As [`min_by`](Self::min_by), but of several records with the smallest value the last.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([(1, 3), (2, 3)])
    ///     .key_by(|_| 0)
    ///     .min_by_last(|(_, n)| n)
    ///     .print_debug();
    /// # env.execute("min by, last")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_by_last<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd,
        F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
    {
        self.reduce_as("Keyed Min By", extremes::min_by(field, Ties::Last))
    }

    /// Keeps the record with the largest value of a field, whole; of several the first. Otherwise as
    /// [`min_by`](Self::min_by).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([(1, 3), (2, 8)])
    ///     .key_by(|_| 0)
    ///     .max_by(|(_, n)| n)
    ///     .print_debug();
    /// # env.execute("max by")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_by<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd,
        F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
    {
        self.reduce_as("Keyed Max By", extremes::max_by(field, Ties::First))
    }

    /// As [`max_by`](Self::max_by), but of several records with the largest value the last.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([(1, 3), (2, 3)])
    ///     .key_by(|_| 0)
    ///     .max_by_last(|(_, n)| n)
    ///     .print_debug();
    /// # env.execute("max by, last")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_by_last<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd,
        F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
    {
        self.reduce_as("Keyed Max By", extremes::max_by(field, Ties::Last))
    }

    /// Aggregates the records of each key into a result of another type. Emits as
    /// [`reduce`](Self::reduce) does: STREAMING the result so far after every record, BATCH the
    /// result once per key.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// #[derive(Clone)]
    /// struct Average;
    ///
    /// impl AggregateFunction<(String, f64)> for Average {
    ///     type Accumulator = (f64, u64);
    ///     type Output = f64;
    ///
    ///     fn create_accumulator(&self) -> (f64, u64) {
    ///         (0.0, 0)
    ///     }
    ///     fn add(&self, (sum, count): &mut (f64, u64), (_, value): (String, f64)) {
    ///         *sum += value;
    ///         *count += 1;
    ///     }
    ///     fn get_result(&self, (sum, count): &(f64, u64)) -> f64 {
    ///         sum / *count as f64
    ///     }
    ///     fn merge(&self, left: &mut (f64, u64), right: (f64, u64)) {
    ///         left.0 += right.0;
    ///         left.1 += right.1;
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([("a".to_owned(), 1.0), ("a".to_owned(), 2.0)])
    ///     .key_by_ref(|(sensor, _)| sensor)
    ///     .aggregate(Average)
    ///     .print();
    /// # env.execute("aggregate")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate<A>(self, function: A) -> DataStream<A::Output>
    where
        A: AggregateFunction<T> + Clone + Send + Sync + 'static,
        A::Output: Record,
    {
        self.fold_as(OperatorInfo::new("Keyed Aggregation"), Aggregate(function))
    }

    fn reduce_as<F>(self, name: &str, function: F) -> DataStream<T>
    where
        F: FnMut(&mut T, T) + Clone + Send + Sync + 'static,
    {
        self.fold_as(OperatorInfo::named("Keyed Reduce", name), Reduce(function))
    }

    fn fold_as<F>(self, operator: OperatorInfo, fold: F) -> DataStream<F::Out>
    where
        F: Fold<T> + Clone + Sync,
    {
        self.transform(operator, move |context, selector, output| {
            keyed_fold(context, selector, fold.clone(), output)
        })
    }
}
