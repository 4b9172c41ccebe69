//! Process functions of a stream and a broadcast stream: every subtask keeps what was broadcast,
//! and processes its own part of the other stream with it.

use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::{Key, Record};
use flott_state::{
    KeyedBackend, KeyedStateAccess, ListState, MapState, MapStateDescriptor, OperatorBackend,
    OperatorStateAccess, OperatorStateRead, StateError, SubKey, TimeDomain, ValueState,
};

use super::context::{Element, context};
use super::driver::{Call, Logic, TwoInputs};
use super::function::FunctionResult;
use super::host::{Either, Host};
use super::keyed::set_key;
use super::runtime::{KeyedRuntimeContext, RuntimeContext};
use super::sides::Sides;
use super::timer_service::TimerService;
use crate::keyed::KeySelector;
use crate::{Collector, Output, SubtaskContext, TwoInputSink};

type Register = Arc<dyn Fn(&mut OperatorBackend) -> Result<(), StateError> + Send + Sync>;

/// The broadcast states that a broadcast stream comes with.
#[derive(Clone, Default)]
pub struct BroadcastStates(Vec<Register>);

impl BroadcastStates {
    /// Adds one.
    pub fn add<MK: SubKey, MV: Record>(&mut self, descriptor: MapStateDescriptor<MK, MV>) {
        self.0.push(Arc::new(move |state| {
            state.broadcast_state(descriptor.clone()).map(|_| ())
        }));
    }

    /// Registers all, so that a state of the same name and another type is refused.
    fn register(&self, runtime: &mut RuntimeContext<'_>) -> Result<(), StateError> {
        self.0
            .iter()
            .try_for_each(|register| register(runtime.operator_state()))
    }
}

/// The context of a [`BroadcastProcessFunction`] for records of the stream that is not broadcast:
/// broadcast state can be read.
pub struct ReadOnlyContext<'a> {
    host: &'a mut Host<()>,
    sides: &'a mut Sides,
    element: Element,
}

context!(ReadOnlyContext);

impl OperatorStateRead for ReadOnlyContext<'_> {
    fn operator_state(&self) -> &OperatorBackend {
        &self.host.operator
    }
}

/// The context of a [`BroadcastProcessFunction`] for records of the broadcast stream: broadcast
/// state can be read and changed.
pub struct BroadcastContext<'a> {
    host: &'a mut Host<()>,
    sides: &'a mut Sides,
    element: Element,
}

context!(BroadcastContext);

impl OperatorStateRead for BroadcastContext<'_> {
    fn operator_state(&self) -> &OperatorBackend {
        &self.host.operator
    }
}

impl OperatorStateAccess for BroadcastContext<'_> {
    fn operator_state_mut(&mut self) -> &mut OperatorBackend {
        &mut self.host.operator
    }
}

/// The context of a [`KeyedBroadcastProcessFunction`] for records of the keyed stream and for
/// timers: keyed state of the current key, and broadcast state to be read.
pub struct KeyedReadOnlyContext<'a, K: Key> {
    host: &'a mut Host<K>,
    sides: &'a mut Sides,
    element: Element,
}

context!(KeyedReadOnlyContext<K: Key>);

impl<K: Key> KeyedReadOnlyContext<'_, K> {
    /// The key of the record, or of the timer that fires.
    pub fn current_key(&self) -> &K {
        self.host.keyed.current_key()
    }

    /// Registers and deletes timers of the current key.
    pub fn timer_service(&mut self) -> TimerService<'_, K> {
        TimerService::new(self.host)
    }

    /// Which kind of timer fires; `None` while a record is processed.
    pub fn time_domain(&self) -> Option<TimeDomain> {
        self.element.domain
    }

    /// Both kinds of state at once: handles of broadcast state open the first, those of keyed state
    /// the second. For going through broadcast state while keyed state changes.
    pub fn states(&mut self) -> (&OperatorBackend, &mut KeyedBackend<K>) {
        (&self.host.operator, &mut self.host.keyed)
    }
}

impl<K: Key> KeyedStateAccess for KeyedReadOnlyContext<'_, K> {
    type Key = K;

    #[inline(always)]
    fn keyed_state(&mut self) -> &mut KeyedBackend<K> {
        &mut self.host.keyed
    }
}

impl<K: Key> OperatorStateRead for KeyedReadOnlyContext<'_, K> {
    fn operator_state(&self) -> &OperatorBackend {
        &self.host.operator
    }
}

/// The context of a [`KeyedBroadcastProcessFunction`] for records of the broadcast stream: broadcast
/// state can be changed, and the state of all keys of the subtask.
pub struct KeyedBroadcastContext<'a, K: Key> {
    host: &'a mut Host<K>,
    sides: &'a mut Sides,
    element: Element,
}

context!(KeyedBroadcastContext<K: Key>);

impl<K: Key> OperatorStateRead for KeyedBroadcastContext<'_, K> {
    fn operator_state(&self) -> &OperatorBackend {
        &self.host.operator
    }
}

impl<K: Key> OperatorStateAccess for KeyedBroadcastContext<'_, K> {
    fn operator_state_mut(&mut self) -> &mut OperatorBackend {
        &mut self.host.operator
    }
}

/// A handle of keyed state that knows which keys have some.
pub trait KeyedStateKeys {
    /// All keys of this subtask that have some of that state, with their hashes.
    fn all_keys<K: Key>(&self, state: &mut KeyedBackend<K>) -> Vec<(u64, K)>;
}

impl<T: Record> KeyedStateKeys for ValueState<T> {
    fn all_keys<K: Key>(&self, state: &mut KeyedBackend<K>) -> Vec<(u64, K)> {
        self.keys(state)
    }
}

impl<T: Record> KeyedStateKeys for ListState<T> {
    fn all_keys<K: Key>(&self, state: &mut KeyedBackend<K>) -> Vec<(u64, K)> {
        self.keys(state)
    }
}

impl<MK: SubKey, MV: Record> KeyedStateKeys for MapState<MK, MV> {
    fn all_keys<K: Key>(&self, state: &mut KeyedBackend<K>) -> Vec<(u64, K)> {
        self.state_keys(state)
    }
}

impl<K: Key> KeyedBroadcastContext<'_, K> {
    /// Calls `function` for each key of this subtask that has some of that state, with the state of
    /// that key. Nothing is said about the order of the keys.
    ///
    /// # Errors
    /// What `function` returns.
    pub fn apply_to_keyed_state<S: KeyedStateKeys>(
        &mut self,
        state: &S,
        mut function: impl FnMut(&K, &mut KeyedBackend<K>) -> FunctionResult,
    ) -> FunctionResult {
        let keyed = &mut self.host.keyed;
        for (hash, key) in state.all_keys(keyed) {
            keyed.set_current_key(hash, &key);
            function(&key, keyed)?;
        }
        Ok(())
    }
}

/// Processes the records of a stream with what a broadcast stream says.
///
/// Each subtask works with a clone of its own, and gets every record of the broadcast stream.
/// Nothing is said about the order between the two streams, nor between records that different
/// subtasks broadcast.
pub trait BroadcastProcessFunction<A, B>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Called once in each subtask before its first record: finds the broadcast state.
    ///
    /// # Errors
    /// Fail the task.
    fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
        let _ = cx;
        Ok(())
    }

    /// Called for each record of the stream that is not broadcast, in one subtask.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element(
        &mut self,
        value: A,
        cx: &mut ReadOnlyContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each record of the broadcast stream, in every subtask. Must change broadcast
    /// state in the same way in all of them.
    ///
    /// # Errors
    /// Fail the task.
    fn process_broadcast_element(
        &mut self,
        value: B,
        cx: &mut BroadcastContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called when both inputs have ended, not when the task fails or is cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

/// Processes the records of a keyed stream with what a broadcast stream says, with state and timers
/// per key.
///
/// Each subtask works with a clone of its own, and gets every record of the broadcast stream.
pub trait KeyedBroadcastProcessFunction<K: Key, A, B>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Called once in each subtask before its first record: registers the state.
    ///
    /// # Errors
    /// Fail the task.
    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, K>) -> FunctionResult {
        let _ = cx;
        Ok(())
    }

    /// Called for each record of the keyed stream, in one subtask.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element(
        &mut self,
        value: A,
        cx: &mut KeyedReadOnlyContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each record of the broadcast stream, in every subtask. Must change broadcast
    /// state in the same way in all of them.
    ///
    /// # Errors
    /// Fail the task.
    fn process_broadcast_element(
        &mut self,
        value: B,
        cx: &mut KeyedBroadcastContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each timer at its time, in milliseconds since the epoch, in order.
    ///
    /// # Errors
    /// Fail the task.
    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedReadOnlyContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult {
        let _ = (timestamp, cx, out);
        Ok(())
    }

    /// Called when both inputs have ended, not when the task fails or is cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

struct Broadcast<A, B, F> {
    function: F,
    states: BroadcastStates,
    types: PhantomData<fn(A, B)>,
}

impl<A: Record, B: Record, F: BroadcastProcessFunction<A, B>> Logic for Broadcast<A, B, F> {
    type Key = ();
    type Row = Either<A, B>;
    type Out = F::Out;
    const KEYED: bool = false;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, ()>) -> FunctionResult {
        self.states.register(&mut cx)?;
        self.function.open(&mut cx)
    }

    #[inline(always)]
    fn row(
        &mut self,
        row: Either<A, B>,
        _: Option<u64>,
        call: Call<'_, (), F::Out>,
    ) -> FunctionResult {
        let (mut out, host, sides, element) = call.split();
        match row {
            Either::First(row) => {
                let mut cx = ReadOnlyContext::new(host, sides, element);
                self.function.process_element(row, &mut cx, &mut out)
            }
            Either::Second(row) => {
                let mut cx = BroadcastContext::new(host, sides, element);
                self.function
                    .process_broadcast_element(row, &mut cx, &mut out)
            }
        }
    }

    fn close(&mut self) -> FunctionResult {
        self.function.close()
    }
}

struct KeyedBroadcast<A, B, S, F> {
    selector: S,
    function: F,
    states: BroadcastStates,
    types: PhantomData<fn(A, B)>,
}

impl<A, B, S, F> Logic for KeyedBroadcast<A, B, S, F>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    F: KeyedBroadcastProcessFunction<S::Key, A, B>,
{
    type Key = S::Key;
    type Row = Either<A, B>;
    type Out = F::Out;
    const KEYED: bool = true;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, S::Key>) -> FunctionResult {
        self.states.register(&mut cx)?;
        self.function.open(&mut cx)
    }

    #[inline(always)]
    fn row(
        &mut self,
        row: Either<A, B>,
        hash: Option<u64>,
        call: Call<'_, S::Key, F::Out>,
    ) -> FunctionResult {
        let (mut out, host, sides, element) = call.split();
        match row {
            Either::First(row) => {
                set_key(&self.selector, &row, hash, host);
                let mut cx = KeyedReadOnlyContext::new(host, sides, element);
                self.function.process_element(row, &mut cx, &mut out)
            }
            Either::Second(row) => {
                let mut cx = KeyedBroadcastContext::new(host, sides, element);
                self.function
                    .process_broadcast_element(row, &mut cx, &mut out)
            }
        }
    }

    fn timer(&mut self, call: Call<'_, S::Key, F::Out>) -> FunctionResult {
        let (mut out, host, sides, element) = call.split();
        let mut cx = KeyedReadOnlyContext::new(host, sides, element);
        self.function.on_timer(element.timestamp, &mut cx, &mut out)
    }

    fn close(&mut self) -> FunctionResult {
        self.function.close()
    }
}

/// The operator of a [`BroadcastProcessFunction`]; the second input is the broadcast one.
pub fn broadcast_process<A, B, F>(
    function: F,
    states: BroadcastStates,
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn TwoInputSink<A, B>>
where
    A: Record,
    B: Record,
    F: BroadcastProcessFunction<A, B>,
{
    let logic = Broadcast {
        function,
        states,
        types: PhantomData,
    };
    Box::new(TwoInputs::new(logic, context, output))
}

/// The operator of a [`KeyedBroadcastProcessFunction`]; the second input is the broadcast one.
pub fn keyed_broadcast_process<A, B, S, F>(
    function: F,
    selector: S,
    states: BroadcastStates,
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn TwoInputSink<A, B>>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    F: KeyedBroadcastProcessFunction<S::Key, A, B>,
{
    let logic = KeyedBroadcast {
        selector,
        function,
        states,
        types: PhantomData,
    };
    Box::new(TwoInputs::new(logic, context, output))
}
