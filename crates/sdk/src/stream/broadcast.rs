//! The broadcast state pattern: a stream of rules or the like that every subtask of another stream
//! keeps.

use std::marker::PhantomData;

use flott_model::ShipStrategy;
use flott_operators::keyed::KeySelector;
use flott_operators::pipe::Pipe;
use flott_operators::process::{
    self, BroadcastProcessFunction, BroadcastStates, KeyedBroadcastProcessFunction,
};
use flott_record::Record;
use flott_state::{MapStateDescriptor, SubKey};

use crate::graph::{EdgeKind, NoKey, OperatorInfo};
use crate::stream::transform::{InputEdge, two_inputs};
use crate::stream::{DataStream, KeyedStream};

/// A stream whose records go to every subtask of what it is connected with, and the broadcast state
/// that they change.
pub struct BroadcastStream<B: Record> {
    stream: DataStream<B>,
    states: BroadcastStates,
}

/// A stream and a broadcast stream on their way into one operator.
pub struct BroadcastConnectedStream<A: Record, B: Record> {
    first: InputEdge,
    second: BroadcastStream<B>,
    types: PhantomData<fn(A)>,
}

/// A keyed stream and a broadcast stream on their way into one operator.
pub struct KeyedBroadcastConnectedStream<A: Record, B: Record, S> {
    first: InputEdge,
    selector: S,
    second: BroadcastStream<B>,
    types: PhantomData<fn(A)>,
}

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Makes a broadcast stream, with descriptors of the broadcast state that its records change.
    /// See [`connect_broadcast`](Self::connect_broadcast).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let descriptor = MapStateDescriptor::<String, u64>::new("limits");
    /// let limits = env.from_collection([("a".to_owned(), 5_u64)]).broadcast_with(&[descriptor]);
    /// # let _ = limits;
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast_with<MK: SubKey, MV: Record>(
        self,
        descriptors: &[MapStateDescriptor<MK, MV>],
    ) -> BroadcastStream<T> {
        let stream = BroadcastStream {
            stream: self.seal(),
            states: BroadcastStates::default(),
        };
        let descriptors = descriptors.iter().cloned();
        descriptors.fold(stream, BroadcastStream::and_state)
    }

    /// Connects this stream with a broadcast stream: each of its subtasks gets all records of that
    /// one. What follows has the parallelism of this stream.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// fn limits() -> MapStateDescriptor<String, u64> {
    ///     MapStateDescriptor::new("limits")
    /// }
    ///
    /// /// Lets through what is below the limit of its name, if that is known already.
    /// #[derive(Clone, Default)]
    /// struct Limit {
    ///     limits: BroadcastState<String, u64>,
    /// }
    ///
    /// impl BroadcastProcessFunction<(String, u64), (String, u64)> for Limit {
    ///     type Out = (String, u64);
    ///
    ///     fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
    ///         self.limits = cx.broadcast_state(limits())?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         (name, n): (String, u64),
    ///         cx: &mut ReadOnlyContext<'_>,
    ///         out: &mut Collector<'_, (String, u64)>,
    ///     ) -> FunctionResult {
    ///         if self.limits.get(cx, &name).is_none_or(|limit| n < *limit) {
    ///             out.collect((name, n));
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         (name, limit): (String, u64),
    ///         cx: &mut BroadcastContext<'_>,
    ///         _: &mut Collector<'_, (String, u64)>,
    ///     ) -> FunctionResult {
    ///         self.limits.put(cx, name, limit);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let rules = env.from_collection([("a".to_owned(), 5)]).broadcast_with(&[limits()]);
    /// env.from_collection([("a".to_owned(), 3), ("a".to_owned(), 7), ("b".to_owned(), 9)])
    ///     .connect_broadcast(rules)
    ///     .process(Limit::default())
    ///     .print_debug();
    /// # env.execute("broadcast")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_broadcast<B: Record>(
        self,
        broadcast: BroadcastStream<B>,
    ) -> BroadcastConnectedStream<T, B> {
        BroadcastConnectedStream {
            first: self.into_input(),
            second: broadcast,
            types: PhantomData,
        }
    }
}

impl<B: Record> BroadcastStream<B> {
    /// Adds broadcast state of another type.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let rules = env
    ///     .from_collection([1_u64])
    ///     .broadcast_with(&[MapStateDescriptor::<u64, String>::new("names")])
    ///     .and_state(MapStateDescriptor::<String, u64>::new("limits"));
    /// # let _ = rules;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn and_state<MK: SubKey, MV: Record>(
        mut self,
        descriptor: MapStateDescriptor<MK, MV>,
    ) -> Self {
        self.states.add(descriptor);
        self
    }

    fn into_input(self) -> (InputEdge, BroadcastStates) {
        let (env, edge) = self
            .stream
            .into_edge(EdgeKind::<NoKey<B>, B>::Plain, ShipStrategy::Broadcast);
        let parallelism = env.parallelism_of(edge.from);
        let input = InputEdge {
            env,
            edge,
            parallelism,
            first_in_batch: true,
        };
        (input, self.states)
    }
}

impl<A: Record, B: Record> BroadcastConnectedStream<A, B> {
    /// Applies a function that sees the records of both streams. See
    /// [`DataStream::connect_broadcast`] for an example.
    pub fn process<F: BroadcastProcessFunction<A, B>>(self, function: F) -> DataStream<F::Out> {
        let operator = OperatorInfo::new("Broadcast Process");
        let (second, states) = self.second.into_input();
        two_inputs(self.first, second, operator, move |context, output| {
            let (function, states) = (function.clone(), states.clone());
            Ok(process::broadcast_process(
                function, states, context, output,
            ))
        })
    }
}

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Connects this stream with a broadcast stream: each of its subtasks gets all records of that
    /// one.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// fn rules() -> MapStateDescriptor<String, u64> {
    ///     MapStateDescriptor::new("rules")
    /// }
    ///
    /// /// Counts per key, and tells which rules the count has reached.
    /// #[derive(Clone, Default)]
    /// struct Alarm {
    ///     count: ValueState<u64>,
    ///     rules: BroadcastState<String, u64>,
    /// }
    ///
    /// impl KeyedBroadcastProcessFunction<i64, i64, (String, u64)> for Alarm {
    ///     type Out = String;
    ///
    ///     fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, i64>) -> FunctionResult {
    ///         self.count = cx.value_state(ValueStateDescriptor::new("count"))?;
    ///         self.rules = cx.broadcast_state(rules())?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         _: i64,
    ///         cx: &mut KeyedReadOnlyContext<'_, i64>,
    ///         out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         let count = self.count.value(cx).copied().unwrap_or(0) + 1;
    ///         self.count.update(cx, count);
    ///         for (name, limit) in self.rules.iter(cx) {
    ///             if count == *limit {
    ///                 out.collect(format!("{name}: key {} has {count}", cx.current_key()));
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         (name, limit): (String, u64),
    ///         cx: &mut KeyedBroadcastContext<'_, i64>,
    ///         out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         let count = self.count;
    ///         // Keys that have got there before the rule came.
    ///         cx.apply_to_keyed_state(&count, |key, state| {
    ///             if let Some(reached) = count.value(state).filter(|count| **count >= limit) {
    ///                 out.collect(format!("{name}: key {key} has {reached} already"));
    ///             }
    ///             Ok(())
    ///         })?;
    ///         self.rules.put(cx, name, limit);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let rules = env.from_collection([("many".to_owned(), 3)]).broadcast_with(&[rules()]);
    /// env.from_sequence(1, 9)
    ///     .key_by(|n| n % 3)
    ///     .connect_broadcast(rules)
    ///     .process(Alarm::default())
    ///     .print();
    /// # env.execute("keyed broadcast")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_broadcast<B: Record>(
        self,
        broadcast: BroadcastStream<B>,
    ) -> KeyedBroadcastConnectedStream<T, B, S> {
        KeyedBroadcastConnectedStream {
            selector: self.selector.clone(),
            first: self.into_input(),
            second: broadcast,
            types: PhantomData,
        }
    }
}

impl<A: Record, B: Record, S: KeySelector<A>> KeyedBroadcastConnectedStream<A, B, S> {
    /// Applies a function with state and timers per key that sees the records of both streams. See
    /// [`KeyedStream::connect_broadcast`] for an example.
    pub fn process<F: KeyedBroadcastProcessFunction<S::Key, A, B>>(
        self,
        function: F,
    ) -> DataStream<F::Out> {
        let operator = OperatorInfo::new("Keyed Broadcast Process");
        let (second, states) = self.second.into_input();
        let selector = self.selector;
        two_inputs(self.first, second, operator, move |context, output| {
            let (function, states) = (function.clone(), states.clone());
            Ok(process::keyed_broadcast_process(
                function,
                selector.clone(),
                states,
                context,
                output,
            ))
        })
    }
}
