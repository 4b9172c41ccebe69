//! Process functions of streams with a key: state and timers per key.

use std::marker::PhantomData;

use flott_record::hash::stable_hash;
use flott_record::{Key, Record};

use super::context::KeyedContext;
use super::driver::{Call, Logic, OneInput};
use super::function::FunctionResult;
use super::host::Host;
use super::runtime::KeyedRuntimeContext;
use crate::keyed::KeySelector;
use crate::{BatchSink, Collector, Output, SubtaskContext};

/// Processes the records of a keyed stream one by one, with state and timers per key: any number of
/// records out for each record and for each timer, also to side outputs.
///
/// Each subtask works with a clone of its own; what belongs to a key is kept in state, not in the
/// fields of the function.
pub trait KeyedProcessFunction<K: Key, In>: Clone + Send + Sync + 'static {
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

    /// Called for each record. What is collected gets the record's event time.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element(
        &mut self,
        value: In,
        cx: &mut KeyedContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each timer at its time, in milliseconds since the epoch, in order. What is
    /// collected gets the timestamp of an event-time timer, and no event time from a
    /// processing-time timer.
    ///
    /// # Errors
    /// Fail the task.
    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult {
        let _ = (timestamp, cx, out);
        Ok(())
    }

    /// Called when the input has ended, not when the task fails or is cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

/// A closure as a [`KeyedProcessFunction`] without state of its own and without `on_timer`.
pub struct KeyedProcessFn<F, Out> {
    function: F,
    types: PhantomData<fn() -> Out>,
}

impl<F, Out> KeyedProcessFn<F, Out> {
    /// The closure as a function.
    pub fn new(function: F) -> Self {
        Self {
            function,
            types: PhantomData,
        }
    }
}

impl<F: Clone, Out> Clone for KeyedProcessFn<F, Out> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<K, In, Out, F> KeyedProcessFunction<K, In> for KeyedProcessFn<F, Out>
where
    K: Key,
    Out: Record,
    F: FnMut(In, &mut KeyedContext<'_, K>, &mut Collector<'_, Out>) -> FunctionResult
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Out = Out;

    #[inline(always)]
    fn process_element(
        &mut self,
        value: In,
        cx: &mut KeyedContext<'_, K>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        (self.function)(value, cx, out)
    }
}

/// Makes the key of a row the current one.
#[inline(always)]
pub(crate) fn set_key<T, S: KeySelector<T>>(
    selector: &S,
    row: &T,
    hash: Option<u64>,
    host: &mut Host<S::Key>,
) {
    selector.with(row, |key| {
        let hash = hash.unwrap_or_else(|| stable_hash(key));
        host.keyed.set_current_key(hash, key);
    });
}

struct Keyed<In, S, F> {
    selector: S,
    function: F,
    types: PhantomData<fn(In)>,
}

impl<In, S, F> Logic for Keyed<In, S, F>
where
    In: Record,
    S: KeySelector<In>,
    F: KeyedProcessFunction<S::Key, In>,
{
    type Key = S::Key;
    type Row = In;
    type Out = F::Out;
    const KEYED: bool = true;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, S::Key>) -> FunctionResult {
        self.function.open(&mut cx)
    }

    #[inline(always)]
    fn row(
        &mut self,
        row: In,
        hash: Option<u64>,
        call: Call<'_, S::Key, F::Out>,
    ) -> FunctionResult {
        let (mut out, host, sides, element) = call.split();
        set_key(&self.selector, &row, hash, host);
        let mut cx = KeyedContext::new(host, sides, element);
        self.function.process_element(row, &mut cx, &mut out)
    }

    fn timer(&mut self, call: Call<'_, S::Key, F::Out>) -> FunctionResult {
        let (mut out, host, sides, element) = call.split();
        let mut cx = KeyedContext::new(host, sides, element);
        self.function.on_timer(element.timestamp, &mut cx, &mut out)
    }

    fn close(&mut self) -> FunctionResult {
        self.function.close()
    }
}

/// The operator of a [`KeyedProcessFunction`].
pub fn keyed_process<In, S, F>(
    function: F,
    selector: S,
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn BatchSink<In>>
where
    In: Record,
    S: KeySelector<In>,
    F: KeyedProcessFunction<S::Key, In>,
{
    let logic = Keyed {
        selector,
        function,
        types: PhantomData,
    };
    Box::new(OneInput::new(logic, context, output))
}
