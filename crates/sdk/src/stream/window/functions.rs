//! What is made of windows: one value per window, or whatever a function makes of their records.
//! Sums and extremes are in `extremes`.

use flott_operators::Collector;
use flott_operators::keyed::{Aggregate, KeySelector, Reduce};
use flott_operators::pipe::Pipe;
use flott_operators::process::FunctionResult;
use flott_operators::window::{
    Apply, EmitResult, Evicting, Evictor, Folded, Folding, Listed, MergingFold, Process, ProcessFn,
    ProcessWindowFunction, Trigger, WindowAssigner, WindowContext, WindowFunction, keyed_windows,
};
use flott_record::Record;
use flott_state::AggregateFunction;

use super::{WindowedStream, operator, refuse};
use crate::stream::DataStream;

impl<T, S, A, R, E, H, P> WindowedStream<T, S, A, R, E, H, P>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    E: Evictor<T, A::Window>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Combines the records of each window: `function(combined, record)`; the window's first record is
    /// what it begins with. Only the combined record is kept.
    ///
    /// Windows share and merge what they have combined, so the function must be associative; where
    /// windows overlap or merge it should not depend on the order of records either.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 8)
    ///     .key_by(|n| n % 2)
    ///     .count_window(4)
    ///     .reduce(|product, n| *product *= n)
    ///     .print(); // 105, 384
    /// # env.execute("reduce")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce<F>(self, function: F) -> DataStream<T>
    where
        F: FnMut(&mut T, T) + Clone + Send + Sync + 'static,
    {
        self.folded(Reduce(function), EmitResult)
    }

    /// As [`reduce`](Self::reduce), and gives the combined record with its window to a function:
    /// `elements` has that one record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 8)
    ///     .key_by(|n| n % 2)
    ///     .count_window(4)
    ///     .reduce_with_fn(
    ///         |sum, n| *sum += n,
    ///         |rest, _cx, elements, out| {
    ///             out.collect(format!("rest {rest}: {}", elements[0]));
    ///             Ok(())
    ///         },
    ///     )
    ///     .print();
    /// # env.execute("reduce_with_fn")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce_with_fn<F, G, U>(self, reduce: F, function: G) -> DataStream<U>
    where
        U: Record,
        F: FnMut(&mut T, T) + Clone + Send + Sync + 'static,
        G: FnMut(
                &S::Key,
                &mut WindowContext<'_, S::Key, A::Window>,
                &[T],
                &mut Collector<'_, U>,
            ) -> FunctionResult
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.folded(Reduce(reduce), ProcessFn::new(function))
    }

    /// As [`reduce_with_fn`](Self::reduce_with_fn), with a function that may have state; see
    /// [`process`](Self::process).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{GlobalWindow, ProcessWindowFunction, WindowContext};
    /// #[derive(Clone)]
    /// struct Label;
    ///
    /// impl ProcessWindowFunction<i64, i64, GlobalWindow> for Label {
    ///     type Out = String;
    ///
    ///     fn process(
    ///         &mut self,
    ///         rest: &i64,
    ///         _cx: &mut WindowContext<'_, i64, GlobalWindow>,
    ///         elements: &[i64],
    ///         out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         out.collect(format!("rest {rest}: {}", elements[0]));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 8)
    ///     .key_by(|n| n % 2)
    ///     .count_window(4)
    ///     .reduce_with(|sum, n| *sum += n, Label)
    ///     .print();
    /// # env.execute("reduce_with")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce_with<F, G>(self, reduce: F, function: G) -> DataStream<G::Out>
    where
        F: FnMut(&mut T, T) + Clone + Send + Sync + 'static,
        G: ProcessWindowFunction<T, S::Key, A::Window>,
    {
        self.folded(Reduce(reduce), Process(function))
    }

    /// Aggregates the records of each window into a result of another type. Only the accumulator is
    /// kept. Windows merge accumulators where they overlap or merge themselves; see
    /// [`reduce`](Self::reduce).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// #[derive(Clone)]
    /// struct Count;
    ///
    /// impl<T> AggregateFunction<T> for Count {
    ///     type Accumulator = u64;
    ///     type Output = u64;
    ///
    ///     fn create_accumulator(&self) -> u64 {
    ///         0
    ///     }
    ///     fn add(&self, count: &mut u64, _: T) {
    ///         *count += 1;
    ///     }
    ///     fn get_result(&self, count: &u64) -> u64 {
    ///         *count
    ///     }
    ///     fn merge(&self, count: &mut u64, other: u64) {
    ///         *count += other;
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).key_by(|n| n % 2).count_window(2).aggregate(Count).print();
    /// # env.execute("aggregate")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate<F>(self, function: F) -> DataStream<F::Output>
    where
        F: AggregateFunction<T> + Clone + Send + Sync + 'static,
        F::Output: Record,
    {
        self.folded(Aggregate(function), EmitResult)
    }

    /// As [`aggregate`](Self::aggregate), and gives the result with its window to a function:
    /// `elements` is that one result.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::TumblingEventTimeWindows;
    /// # #[derive(Clone)]
    /// # struct Count;
    /// # impl<T> AggregateFunction<T> for Count {
    /// #     type Accumulator = u64;
    /// #     type Output = u64;
    /// #     fn create_accumulator(&self) -> u64 { 0 }
    /// #     fn add(&self, count: &mut u64, _: T) { *count += 1; }
    /// #     fn get_result(&self, count: &u64) -> u64 { *count }
    /// #     fn merge(&self, count: &mut u64, other: u64) { *count += other; }
    /// # }
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// # let strategy = WatermarkStrategy::for_monotonous_timestamps()
    /// #     .with_timestamp_assigner(|at_ms: &i64, _| *at_ms);
    /// env.from_sequence(0, 5_000)
    ///     .assign_timestamps_and_watermarks(strategy)
    ///     .key_by(|n| n % 3)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .aggregate_with_fn(Count, |key, cx, elements, out| {
    ///         out.collect((*key, cx.window().start(), elements[0]));
    ///         Ok(())
    ///     })
    ///     .print_debug();
    /// # env.execute("aggregate_with_fn")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate_with_fn<F, G, U>(self, aggregate: F, function: G) -> DataStream<U>
    where
        U: Record,
        F: AggregateFunction<T> + Clone + Send + Sync + 'static,
        F::Output: Record,
        G: FnMut(
                &S::Key,
                &mut WindowContext<'_, S::Key, A::Window>,
                &[F::Output],
                &mut Collector<'_, U>,
            ) -> FunctionResult
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.folded(Aggregate(aggregate), ProcessFn::new(function))
    }

    /// As [`aggregate_with_fn`](Self::aggregate_with_fn), with a function that may have state; see
    /// [`process`](Self::process).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{GlobalWindow, ProcessWindowFunction, WindowContext};
    /// # #[derive(Clone)]
    /// # struct Count;
    /// # impl<T> AggregateFunction<T> for Count {
    /// #     type Accumulator = u64;
    /// #     type Output = u64;
    /// #     fn create_accumulator(&self) -> u64 { 0 }
    /// #     fn add(&self, count: &mut u64, _: T) { *count += 1; }
    /// #     fn get_result(&self, count: &u64) -> u64 { *count }
    /// #     fn merge(&self, count: &mut u64, other: u64) { *count += other; }
    /// # }
    /// #[derive(Clone)]
    /// struct Keyed;
    ///
    /// impl ProcessWindowFunction<u64, i64, GlobalWindow> for Keyed {
    ///     type Out = (i64, u64);
    ///
    ///     fn process(
    ///         &mut self,
    ///         key: &i64,
    ///         _cx: &mut WindowContext<'_, i64, GlobalWindow>,
    ///         elements: &[u64],
    ///         out: &mut Collector<'_, (i64, u64)>,
    ///     ) -> FunctionResult {
    ///         out.collect((*key, elements[0]));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9)
    ///     .key_by(|n| n % 2)
    ///     .count_window(2)
    ///     .aggregate_with(Count, Keyed)
    ///     .print_debug();
    /// # env.execute("aggregate_with")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate_with<F, G>(self, aggregate: F, function: G) -> DataStream<G::Out>
    where
        F: AggregateFunction<T> + Clone + Send + Sync + 'static,
        F::Output: Record,
        G: ProcessWindowFunction<F::Output, S::Key, A::Window>,
    {
        self.folded(Aggregate(aggregate), Process(function))
    }

    /// Calls `function(key, window, records, out)` when a window fires. All records of the window are
    /// kept until then.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9)
    ///     .key_by(|n| n % 2)
    ///     .count_window(2)
    ///     .apply(|rest, _, records, out| out.collect((*rest, records.to_vec())))
    ///     .print_debug();
    /// # env.execute("apply")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply<F, U>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(&S::Key, &A::Window, &[T], &mut Collector<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.listed(Apply::new(function))
    }

    /// Calls `function(key, cx, records, out)` when a window fires; an error fails the task. The
    /// context knows the window and the time, and writes to side outputs. All records of the window
    /// are kept until then.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let small = OutputTag::<String>::new("small");
    /// let tag = small.clone();
    /// let sums = env.from_sequence(1, 9).key_by(|n| n % 2).count_window(2).process_fn(
    ///     move |rest, cx, records, out| {
    ///         let sum = records.iter().sum::<i64>();
    ///         if sum < 5 {
    ///             cx.output(&tag, format!("{sum} is small"));
    ///         }
    ///         out.collect((*rest, sum));
    ///         Ok(())
    ///     },
    /// );
    /// sums.get_side_output(&small).print();
    /// sums.print_debug();
    /// # env.execute("process_fn")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_fn<F, U>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(
                &S::Key,
                &mut WindowContext<'_, S::Key, A::Window>,
                &[T],
                &mut Collector<'_, U>,
            ) -> FunctionResult
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.listed(ProcessFn::new(function))
    }

    /// Calls a [`ProcessWindowFunction`] when a window fires, which may have state per key, and per
    /// key and window. All records of the window are kept until then.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{
    /// #     GlobalWindow, ProcessWindowFunction, WindowContext, WindowRuntimeContext,
    /// # };
    /// /// Numbers the windows of each key.
    /// #[derive(Clone, Default)]
    /// struct Number {
    ///     windows: ValueState<u64>,
    /// }
    ///
    /// impl ProcessWindowFunction<i64, i64, GlobalWindow> for Number {
    ///     type Out = (i64, u64, i64);
    ///
    ///     fn open(&mut self, cx: &mut WindowRuntimeContext<'_, i64>) -> FunctionResult {
    ///         self.windows = cx.keyed_state().value_state(ValueStateDescriptor::new("windows"))?;
    ///         Ok(())
    ///     }
    ///     fn process(
    ///         &mut self,
    ///         key: &i64,
    ///         cx: &mut WindowContext<'_, i64, GlobalWindow>,
    ///         records: &[i64],
    ///         out: &mut Collector<'_, (i64, u64, i64)>,
    ///     ) -> FunctionResult {
    ///         let number = self.windows.value(cx).copied().unwrap_or(0) + 1;
    ///         self.windows.update(cx, number);
    ///         out.collect((*key, number, records.iter().sum()));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9)
    ///     .key_by(|n| n % 2)
    ///     .count_window(2)
    ///     .process(Number::default())
    ///     .print_debug();
    /// # env.execute("process")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F>(self, function: F) -> DataStream<F::Out>
    where
        F: ProcessWindowFunction<T, S::Key, A::Window>,
    {
        self.listed(Process(function))
    }

    /// Windows that keep one value each (or, for an evictor, all records).
    pub(super) fn folded<M, F>(self, fold: M, function: F) -> DataStream<F::Out>
    where
        M: MergingFold<T> + Clone + Sync,
        F: WindowFunction<T, S::Key, A::Window, Folded<M>> + Clone + Sync,
    {
        if E::EVICTS {
            return self.listed(Folding::new(fold, function));
        }
        let (spec, all) = (self.spec, self.all);
        let checked = spec.check();
        let stream =
            self.input
                .transform(operator::<A>("Window"), move |context, selector, output| {
                    let (spec, contents) = (spec.clone(), Folded(fold.clone()));
                    let function = function.clone();
                    keyed_windows(context, selector, spec, contents, function, output)
                });
        finish(stream, all, checked)
    }

    /// Windows that keep all records.
    fn listed<F>(self, function: F) -> DataStream<F::Out>
    where
        F: WindowFunction<T, S::Key, A::Window, Listed> + Clone + Sync,
    {
        let (spec, all, evictor) = (self.spec, self.all, self.evictor);
        let checked = spec.check();
        let stream =
            self.input
                .transform(operator::<A>("Window"), move |context, selector, output| {
                    let (spec, function) = (spec.clone(), function.clone());
                    if E::EVICTS {
                        let evicting = Evicting::new(evictor.clone(), function);
                        keyed_windows(context, selector, spec, Listed::timed(), evicting, output)
                    } else {
                        let contents = Listed::untimed();
                        keyed_windows(context, selector, spec, contents, function, output)
                    }
                });
        finish(stream, all, checked)
    }
}

fn finish<U: Record>(
    stream: DataStream<U>,
    all: bool,
    checked: Result<(), String>,
) -> DataStream<U> {
    stream.env.with_node(stream.from, |node| {
        if all {
            node.parallelism = 1;
            node.max_parallelism = Some(1);
        }
        refuse(node, checked);
    });
    stream
}
