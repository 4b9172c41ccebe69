//! The interval join of two keyed streams.

use std::marker::PhantomData;

use flott_operators::join::{self, JoinContext, ProcessJoinFn, ProcessJoinFunction};
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::Pipe;
use flott_operators::process::FunctionResult;
use flott_operators::{Collector, OutputTag};
use flott_record::Record;

use crate::graph::OperatorInfo;
use crate::stream::transform::{InputEdge, two_inputs};
use crate::stream::{DataStream, KeyedStream};

/// Two keyed streams to be joined by interval; [`between`](Self::between) says which.
pub struct IntervalJoined<A: Record, B: Record, S, R> {
    first: InputEdge,
    second: InputEdge,
    selectors: (S, R),
    types: PhantomData<fn(A, B)>,
}

/// Two keyed streams to be joined by an interval.
pub struct BoundedIntervalJoined<A: Record, B: Record, S, R> {
    joined: IntervalJoined<A, B, S, R>,
    join: join::IntervalJoin<A, B>,
}

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Joins this stream (left) with another one (right) that has the same type of key: each pair of
    /// records with equal keys whose event times are not further apart than
    /// [`between`](IntervalJoined::between) says. Event time only: a record without event time
    /// fails the task.
    ///
    /// Records are kept as long as the watermark says that partners may come. A record whose event
    /// time is before the watermark is late: it is not joined, and dropped or given to a side output.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// // Records with their event times, in milliseconds.
    /// let timed = |rows: [(u64, i64); 2]| {
    ///     env.from_collection(rows).process_fn(|row, _, out| {
    ///         out.collect_at(row, row.1);
    ///         Ok(())
    ///     })
    /// };
    /// let orders = timed([(1, 1_000), (2, 2_000)]);
    /// let payments = timed([(1, 4_000), (2, 90_000)]);
    /// orders
    ///     .key_by(|(id, _)| *id)
    ///     .interval_join(payments.key_by(|(id, _)| *id))
    ///     .between(0, 60_000)
    ///     .process_fn(|order, payment, cx, out| {
    ///         out.collect((order.0, cx.right_timestamp() - cx.left_timestamp()));
    ///         assert_eq!(order.0, payment.0);
    ///         Ok(())
    ///     })
    ///     .print_debug();
    /// # env.execute("interval join")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn interval_join<U, R, G, Q>(
        self,
        other: KeyedStream<U, R, G, Q>,
    ) -> IntervalJoined<T, U, S, R>
    where
        U: Record,
        R: KeySelector<U, Key = S::Key>,
        G: Record,
        Q: Pipe<G, Out = U>,
    {
        let selectors = (self.selector.clone(), other.selector.clone());
        IntervalJoined {
            first: self.into_input(),
            second: other.into_input(),
            selectors,
            types: PhantomData,
        }
    }
}

impl<A: Record, B: Record, S, R> IntervalJoined<A, B, S, R> {
    /// Joins a left record at event time *t* with the right records from *t* + `lower` to
    /// *t* + `upper`, in milliseconds, both included; either may be negative. See
    /// [`KeyedStream::interval_join`] for an example.
    ///
    /// # Panics
    /// If `lower` is greater than `upper`.
    pub fn between(self, lower: i64, upper: i64) -> BoundedIntervalJoined<A, B, S, R> {
        assert!(
            lower <= upper,
            "an interval join between {lower} ms and {upper} ms joins nothing: the lower bound is \
             given first"
        );
        BoundedIntervalJoined {
            joined: self,
            join: join::IntervalJoin {
                lower,
                upper,
                late_left: None,
                late_right: None,
            },
        }
    }
}

impl<A, B, S, R> BoundedIntervalJoined<A, B, S, R>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
{
    /// Leaves the lower bound out: right records must be later than that.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |from| {
    ///     env.from_sequence(from, 9).process_fn(|n, _, out| {
    ///         out.collect_at(n, n);
    ///         Ok(())
    ///     })
    /// };
    /// // Each number with the next one.
    /// timed(1)
    ///     .key_by(|_| 0)
    ///     .interval_join(timed(1).key_by(|_| 0))
    ///     .between(0, 2)
    ///     .lower_bound_exclusive()
    ///     .upper_bound_exclusive()
    ///     .process_fn(|n, next, _, out| {
    ///         out.collect((*n, *next));
    ///         Ok(())
    ///     })
    ///     .print_debug();
    /// # env.execute("exclusive bounds")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn lower_bound_exclusive(mut self) -> Self {
        self.join.lower = self.join.lower.saturating_add(1);
        self
    }

    /// Leaves the upper bound out: right records must be earlier than that. See
    /// [`lower_bound_exclusive`](Self::lower_bound_exclusive) for an example.
    #[must_use]
    pub fn upper_bound_exclusive(mut self) -> Self {
        self.join.upper = self.join.upper.saturating_sub(1);
        self
    }

    /// Gives late records of the left stream to a side output of what follows; by default they are
    /// dropped.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |name: &str| {
    ///     env.from_collection([name.to_owned()]).process_fn(|name, _, out| {
    ///         out.collect_at(name, 1_000);
    ///         Ok(())
    ///     })
    /// };
    /// let (late_left, late_right) = (OutputTag::new("late left"), OutputTag::new("late right"));
    /// let pairs = timed("left")
    ///     .key_by(|_| 0)
    ///     .interval_join(timed("right").key_by(|_| 0))
    ///     .between(-500, 500)
    ///     .side_output_left_late_data(&late_left)
    ///     .side_output_right_late_data(&late_right)
    ///     .process_fn(|left, right, _, out| {
    ///         out.collect(format!("{left} and {right}"));
    ///         Ok(())
    ///     });
    /// pairs.get_side_output(&late_left).print();
    /// pairs.get_side_output(&late_right).print();
    /// pairs.print();
    /// # env.execute("late data")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn side_output_left_late_data(mut self, tag: &OutputTag<A>) -> Self {
        self.join.late_left = Some(tag.clone());
        self
    }

    /// Gives late records of the right stream to a side output of what follows. See
    /// [`side_output_left_late_data`](Self::side_output_left_late_data) for an example.
    #[must_use]
    pub fn side_output_right_late_data(mut self, tag: &OutputTag<B>) -> Self {
        self.join.late_right = Some(tag.clone());
        self
    }

    /// Applies a function to each pair.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// #[derive(Clone)]
    /// struct Sum;
    ///
    /// impl ProcessJoinFunction<i64, i64> for Sum {
    ///     type Out = i64;
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         left: &i64,
    ///         right: &i64,
    ///         _: &mut JoinContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         out.collect(left + right);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |from| {
    ///     env.from_sequence(from, 9).process_fn(|n, _, out| {
    ///         out.collect_at(n, n);
    ///         Ok(())
    ///     })
    /// };
    /// timed(1)
    ///     .key_by(|_| 0)
    ///     .interval_join(timed(5).key_by(|_| 0))
    ///     .between(0, 1)
    ///     .process(Sum)
    ///     .print();
    /// # env.execute("interval join")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: ProcessJoinFunction<A, B>>(self, function: F) -> DataStream<F::Out> {
        let Self { joined, join } = self;
        let (operator, selectors) = (OperatorInfo::new("Interval Join"), joined.selectors);
        two_inputs(
            joined.first,
            joined.second,
            operator,
            move |context, output| {
                let (join, function) = (join.clone(), function.clone());
                let selectors = selectors.clone();
                Ok(join::interval_join(
                    join, function, selectors, context, output,
                ))
            },
        )
    }

    /// As [`process`](Self::process), with a closure. See [`KeyedStream::interval_join`] for an
    /// example.
    pub fn process_fn<U, F>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(&A, &B, &mut JoinContext<'_>, &mut Collector<'_, U>) -> FunctionResult
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.process(ProcessJoinFn::new(function))
    }
}
