//! Process functions on streams.

use flott_operators::Collector;
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::Pipe;
use flott_operators::process::{
    self, FunctionResult, KeyedContext, KeyedProcessFn, KeyedProcessFunction, ProcessContext,
    ProcessFn, ProcessFunction,
};
use flott_record::Record;

use crate::graph::OperatorInfo;
use crate::stream::{DataStream, KeyedStream};

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Applies a function that sees each record with its event time, and may emit any number of
    /// records, also to side outputs. For state and timers per key, see
    /// [`KeyedStream::process`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// #[derive(Clone)]
    /// struct Parse {
    ///     bad: OutputTag<String>,
    /// }
    ///
    /// impl ProcessFunction<String> for Parse {
    ///     type Out = i64;
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         line: String,
    ///         cx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         match line.parse() {
    ///             Ok(number) => out.collect(number),
    ///             Err(_) => cx.output(&self.bad, line),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let bad = OutputTag::new("bad");
    /// let lines = env.from_collection(["1", "two", "3"].map(String::from));
    /// let numbers = lines.process(Parse { bad: bad.clone() });
    /// numbers.get_side_output(&bad).print();
    /// numbers.print();
    /// # env.execute("process")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: ProcessFunction<T>>(self, function: F) -> DataStream<F::Out> {
        self.transform(OperatorInfo::new("Process"), move |context, output| {
            Ok(process::process(function.clone(), context, output))
        })
    }

    /// As [`process`](Self::process), with a closure.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3)
    ///     .process_fn(|n, cx, out| {
    ///         out.collect((n, cx.timestamp()));
    ///         Ok(())
    ///     })
    ///     .print_debug();
    /// # env.execute("process_fn")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_fn<U, F>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(T, &mut ProcessContext<'_>, &mut Collector<'_, U>) -> FunctionResult
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.process(ProcessFn::new(function))
    }
}

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Applies a function with state and timers per key.
    ///
    /// State is registered in `open`; the handles open the state of the current key with the
    /// context of the call. At the end of the input, event-time timers fire.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// /// Tells how many records a key had, a second after its last one.
    /// #[derive(Clone, Default)]
    /// struct CountUntilQuiet {
    ///     count: ValueState<u64>,
    ///     quiet_at: ValueState<i64>,
    /// }
    ///
    /// impl KeyedProcessFunction<String, (String, i64)> for CountUntilQuiet {
    ///     type Out = (String, u64);
    ///
    ///     fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, String>) -> FunctionResult {
    ///         self.count = cx.value_state(ValueStateDescriptor::new("count"))?;
    ///         self.quiet_at = cx.value_state(ValueStateDescriptor::new("quiet-at"))?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         (_, at): (String, i64),
    ///         cx: &mut KeyedContext<'_, String>,
    ///         _: &mut Collector<'_, (String, u64)>,
    ///     ) -> FunctionResult {
    ///         let count = self.count.value(cx).copied().unwrap_or(0);
    ///         self.count.update(cx, count + 1);
    ///         if let Some(before) = self.quiet_at.take(cx) {
    ///             cx.timer_service().delete_event_time_timer(before);
    ///         }
    ///         cx.timer_service().register_event_time_timer(at + 1_000);
    ///         self.quiet_at.update(cx, at + 1_000);
    ///         Ok(())
    ///     }
    ///
    ///     fn on_timer(
    ///         &mut self,
    ///         _: i64,
    ///         cx: &mut KeyedContext<'_, String>,
    ///         out: &mut Collector<'_, (String, u64)>,
    ///     ) -> FunctionResult {
    ///         let count = self.count.take(cx).unwrap_or(0);
    ///         out.collect((cx.current_key().clone(), count));
    ///         self.quiet_at.clear(cx);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([("a", 100), ("b", 200), ("a", 900)].map(|(key, at)| (key.to_owned(), at)))
    ///     .key_by_ref(|(key, _)| key)
    ///     .process(CountUntilQuiet::default())
    ///     .print_debug();
    /// # env.execute("keyed process")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: KeyedProcessFunction<S::Key, T>>(self, function: F) -> DataStream<F::Out> {
        let operator = OperatorInfo::new("Keyed Process");
        self.transform(operator, move |context, selector, output| {
            Ok(process::keyed_process(
                function.clone(),
                selector,
                context,
                output,
            ))
        })
    }

    /// As [`process`](Self::process), with a closure, which has no state of its own and no timers.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9)
    ///     .key_by(|n| n % 3)
    ///     .process_fn(|n, cx, out| {
    ///         out.collect((*cx.current_key(), n));
    ///         Ok(())
    ///     })
    ///     .print_debug();
    /// # env.execute("process_fn")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_fn<U, F>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(T, &mut KeyedContext<'_, S::Key>, &mut Collector<'_, U>) -> FunctionResult
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.process(KeyedProcessFn::new(function))
    }
}
