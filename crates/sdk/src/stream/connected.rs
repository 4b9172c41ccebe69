//! Two connected streams: one operator with two inputs, which may have different types.

use std::marker::PhantomData;

use flott_operators::keyed::{ByValue, KeySelector};
use flott_operators::pipe::Pipe;
use flott_operators::process::{self, CoFlatMap, CoMap, CoProcessFunction, KeyedCoProcessFunction};
use flott_record::{Key, Record};

use crate::graph::OperatorInfo;
use crate::stream::transform::two_inputs;
use crate::stream::{DataStream, KeyedStream};

/// Two streams on their way into one operator. Nothing is said about the order between records of
/// different streams.
pub struct ConnectedStreams<A: Record, B: Record> {
    first: DataStream<A>,
    second: DataStream<B>,
}

/// Two streams, partitioned by the same kind of key, on their way into one operator: records with
/// equal keys meet in the same subtask, and share state.
pub struct KeyedConnectedStreams<A: Record, B: Record, S, R> {
    first: crate::stream::transform::InputEdge,
    second: crate::stream::transform::InputEdge,
    selectors: (S, R),
    types: PhantomData<fn(A, B)>,
}

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Connects this stream with another one, of any type. What follows has the parallelism of this
    /// one.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let words = env.from_collection(["one", "two"].map(String::from));
    /// env.from_sequence(1, 3).connect(words).map(|n| n.to_string(), |word| word).print();
    /// # env.execute("connect")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<U, G, Q>(self, other: DataStream<U, G, Q>) -> ConnectedStreams<T, U>
    where
        U: Record,
        G: Record,
        Q: Pipe<G, Out = U>,
    {
        ConnectedStreams {
            first: self.seal(),
            second: other.seal(),
        }
    }
}

impl<A: Record, B: Record> ConnectedStreams<A, B> {
    /// Maps the records of both streams to one type.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let names = env.from_collection(["a", "b"].map(String::from));
    /// env.from_sequence(1, 3)
    ///     .connect(names)
    ///     .map(|n| (n, None), |name| (0, Some(name)))
    ///     .print_debug();
    /// # env.execute("co-map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U, F, G>(self, first: F, second: G) -> DataStream<U>
    where
        U: Record,
        F: FnMut(A) -> U + Clone + Send + Sync + 'static,
        G: FnMut(B) -> U + Clone + Send + Sync + 'static,
    {
        self.process_as(OperatorInfo::new("Co-Map"), CoMap(first, second))
    }

    /// Replaces the records of both streams by any number of records of one type.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let lines = env.from_collection(["4 5", "6"].map(String::from));
    /// env.from_sequence(1, 3)
    ///     .connect(lines)
    ///     .flat_map(
    ///         |n| (n % 2 == 0).then_some(n),
    ///         |line| line.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<i64>>(),
    ///     )
    ///     .print();
    /// # env.execute("co-flat-map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<I, J, F, G>(self, first: F, second: G) -> DataStream<I::Item>
    where
        I: IntoIterator,
        I::Item: Record,
        J: IntoIterator<Item = I::Item>,
        F: FnMut(A) -> I + Clone + Send + Sync + 'static,
        G: FnMut(B) -> J + Clone + Send + Sync + 'static,
    {
        self.process_as(OperatorInfo::new("Co-Flat Map"), CoFlatMap(first, second))
    }

    /// Applies a function that sees the records of both streams.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// /// Scales numbers by the largest factor so far.
    /// #[derive(Clone)]
    /// struct Scale(i64);
    ///
    /// impl CoProcessFunction<i64, i64> for Scale {
    ///     type Out = i64;
    ///
    ///     fn process_element1(
    ///         &mut self,
    ///         n: i64,
    ///         _: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         out.collect(n * self.0);
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element2(
    ///         &mut self,
    ///         factor: i64,
    ///         _: &mut ProcessContext<'_>,
    ///         _: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         self.0 = self.0.max(factor);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let factors = env.from_collection([10, 5]);
    /// env.from_sequence(1, 3).connect(factors).process(Scale(1)).print();
    /// # env.execute("co-process")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: CoProcessFunction<A, B>>(self, function: F) -> DataStream<F::Out> {
        self.process_as(OperatorInfo::new("Co-Process"), function)
    }

    fn process_as<F: CoProcessFunction<A, B>>(
        self,
        operator: OperatorInfo,
        function: F,
    ) -> DataStream<F::Out> {
        let (first, second) = (self.first.into_input(), self.second.into_input());
        two_inputs(first, second, operator, move |context, output| {
            Ok(process::co_process(function.clone(), context, output))
        })
    }

    /// Partitions both streams by a computed key of the same type.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let names = env.from_collection([(1, "one".to_owned()), (2, "two".to_owned())]);
    /// env.from_sequence(1, 3)
    ///     .connect(names)
    ///     .key_by(|n| *n, |(n, _)| *n)
    ///     .map(|n| n.to_string(), |(_, name)| name)
    ///     .print();
    /// # env.execute("key_by")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key_by<K, F, G>(
        self,
        first: F,
        second: G,
    ) -> KeyedConnectedStreams<A, B, ByValue<F, K>, ByValue<G, K>>
    where
        K: Key,
        F: Fn(&A) -> K + Clone + Send + Sync + 'static,
        G: Fn(&B) -> K + Clone + Send + Sync + 'static,
    {
        self.first.key_by(first).connect(self.second.key_by(second))
    }
}

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Connects this stream with another one that has the same type of key.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let names = env.from_collection([(1, "one".to_owned()), (2, "two".to_owned())]);
    /// env.from_sequence(1, 3)
    ///     .key_by(|n| *n)
    ///     .connect(names.key_by_ref(|(n, _)| n))
    ///     .map(|n| n.to_string(), |(_, name)| name)
    ///     .print();
    /// # env.execute("connect")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<U, R, G, Q>(
        self,
        other: KeyedStream<U, R, G, Q>,
    ) -> KeyedConnectedStreams<T, U, S, R>
    where
        U: Record,
        R: KeySelector<U, Key = S::Key>,
        G: Record,
        Q: Pipe<G, Out = U>,
    {
        let selectors = (self.selector.clone(), other.selector.clone());
        KeyedConnectedStreams {
            first: self.into_input(),
            second: other.into_input(),
            selectors,
            types: PhantomData,
        }
    }
}

impl<A, B, S, R> KeyedConnectedStreams<A, B, S, R>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
{
    /// Maps the records of both streams to one type.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let words = env.from_collection([(1, "a".to_owned())]).key_by(|(n, _)| *n);
    /// env.from_sequence(1, 3)
    ///     .key_by(|n| *n)
    ///     .connect(words)
    ///     .map(|n| n.to_string(), |(_, word)| word)
    ///     .print();
    /// # env.execute("keyed co-map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U, F, G>(self, first: F, second: G) -> DataStream<U>
    where
        U: Record,
        F: FnMut(A) -> U + Clone + Send + Sync + 'static,
        G: FnMut(B) -> U + Clone + Send + Sync + 'static,
    {
        self.without_key(OperatorInfo::new("Co-Map"), CoMap(first, second))
    }

    /// Replaces the records of both streams by any number of records of one type.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let limits = env.from_collection([2, 3]).key_by(|n| *n);
    /// env.from_sequence(1, 3)
    ///     .key_by(|n| *n)
    ///     .connect(limits)
    ///     .flat_map(|n| [n, n], |limit| 0..limit)
    ///     .print();
    /// # env.execute("keyed co-flat-map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<I, J, F, G>(self, first: F, second: G) -> DataStream<I::Item>
    where
        I: IntoIterator,
        I::Item: Record,
        J: IntoIterator<Item = I::Item>,
        F: FnMut(A) -> I + Clone + Send + Sync + 'static,
        G: FnMut(B) -> J + Clone + Send + Sync + 'static,
    {
        self.without_key(OperatorInfo::new("Co-Flat Map"), CoFlatMap(first, second))
    }

    fn without_key<F: CoProcessFunction<A, B>>(
        self,
        operator: OperatorInfo,
        function: F,
    ) -> DataStream<F::Out> {
        two_inputs(self.first, self.second, operator, move |context, output| {
            Ok(process::co_process(function.clone(), context, output))
        })
    }

    /// Applies a function with state and timers per key, which both streams share.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// type Order = (u64, String);
    /// type Payment = (u64, f64);
    ///
    /// /// Puts order and payment together, whichever comes first.
    /// #[derive(Clone, Default)]
    /// struct Match {
    ///     order: ValueState<Order>,
    ///     payment: ValueState<Payment>,
    /// }
    ///
    /// impl KeyedCoProcessFunction<u64, Order, Payment> for Match {
    ///     type Out = (String, f64);
    ///
    ///     fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u64>) -> FunctionResult {
    ///         self.order = cx.value_state(ValueStateDescriptor::new("order"))?;
    ///         self.payment = cx.value_state(ValueStateDescriptor::new("payment"))?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element1(
    ///         &mut self,
    ///         order: Order,
    ///         cx: &mut KeyedContext<'_, u64>,
    ///         out: &mut Collector<'_, (String, f64)>,
    ///     ) -> FunctionResult {
    ///         match self.payment.take(cx) {
    ///             Some((_, amount)) => out.collect((order.1, amount)),
    ///             None => self.order.update(cx, order),
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element2(
    ///         &mut self,
    ///         payment: Payment,
    ///         cx: &mut KeyedContext<'_, u64>,
    ///         out: &mut Collector<'_, (String, f64)>,
    ///     ) -> FunctionResult {
    ///         match self.order.take(cx) {
    ///             Some((_, what)) => out.collect((what, payment.1)),
    ///             None => self.payment.update(cx, payment),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let orders = env.from_collection([(1, "tea".to_owned()), (2, "cup".to_owned())]);
    /// let payments = env.from_collection([(2, 4.5), (1, 3.0)]);
    /// orders
    ///     .key_by(|(id, _)| *id)
    ///     .connect(payments.key_by(|(id, _)| *id))
    ///     .process(Match::default())
    ///     .print_debug();
    /// # env.execute("keyed co-process")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: KeyedCoProcessFunction<S::Key, A, B>>(
        self,
        function: F,
    ) -> DataStream<F::Out> {
        let operator = OperatorInfo::new("Keyed Co-Process");
        let selectors = self.selectors;
        two_inputs(self.first, self.second, operator, move |context, output| {
            let (function, selectors) = (function.clone(), selectors.clone());
            Ok(process::keyed_co_process(
                function, selectors, context, output,
            ))
        })
    }
}
