//! Process functions of two connected streams.

use std::marker::PhantomData;

use flott_record::{Key, Record};

use super::context::{KeyedContext, ProcessContext};
use super::driver::{Call, Logic, TwoInputs};
use super::function::FunctionResult;
use super::host::Either;
use super::keyed::set_key;
use super::runtime::{KeyedRuntimeContext, RuntimeContext};
use crate::keyed::KeySelector;
use crate::{Collector, Output, SubtaskContext, TwoInputSink};

/// Processes the records of two connected streams one by one. Nothing is said about the order
/// between records of different streams.
///
/// Each subtask works with a clone of its own.
pub trait CoProcessFunction<A, B>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Called once in each subtask before its first record.
    ///
    /// # Errors
    /// Fail the task.
    fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
        let _ = cx;
        Ok(())
    }

    /// Called for each record of the first stream.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element1(
        &mut self,
        value: A,
        cx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each record of the second stream.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element2(
        &mut self,
        value: B,
        cx: &mut ProcessContext<'_>,
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

/// Processes the records of two connected streams with the same kind of key, with state and timers
/// per key, which both share.
///
/// Each subtask works with a clone of its own; what belongs to a key is kept in state.
pub trait KeyedCoProcessFunction<K: Key, A, B>: Clone + Send + Sync + 'static {
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

    /// Called for each record of the first stream.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element1(
        &mut self,
        value: A,
        cx: &mut KeyedContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each record of the second stream.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element2(
        &mut self,
        value: B,
        cx: &mut KeyedContext<'_, K>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called for each timer at its time, in milliseconds since the epoch, in order; the watermark
    /// is the smaller one of both streams.
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

    /// Called when both inputs have ended, not when the task fails or is cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

/// Two closures that map the records of two streams to one type.
#[derive(Clone)]
pub struct CoMap<F, G>(
    /// For the first stream.
    pub F,
    /// For the second stream.
    pub G,
);

impl<A, B, Out, F, G> CoProcessFunction<A, B> for CoMap<F, G>
where
    Out: Record,
    F: FnMut(A) -> Out + Clone + Send + Sync + 'static,
    G: FnMut(B) -> Out + Clone + Send + Sync + 'static,
{
    type Out = Out;

    #[inline(always)]
    fn process_element1(
        &mut self,
        value: A,
        _: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        out.collect((self.0)(value));
        Ok(())
    }

    #[inline(always)]
    fn process_element2(
        &mut self,
        value: B,
        _: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        out.collect((self.1)(value));
        Ok(())
    }
}

/// Two closures that replace the records of two streams by any number of records of one type.
#[derive(Clone)]
pub struct CoFlatMap<F, G>(
    /// For the first stream.
    pub F,
    /// For the second stream.
    pub G,
);

impl<A, B, I, J, F, G> CoProcessFunction<A, B> for CoFlatMap<F, G>
where
    I: IntoIterator,
    I::Item: Record,
    J: IntoIterator<Item = I::Item>,
    F: FnMut(A) -> I + Clone + Send + Sync + 'static,
    G: FnMut(B) -> J + Clone + Send + Sync + 'static,
{
    type Out = I::Item;

    #[inline(always)]
    fn process_element1(
        &mut self,
        value: A,
        _: &mut ProcessContext<'_>,
        out: &mut Collector<'_, I::Item>,
    ) -> FunctionResult {
        (self.0)(value).into_iter().for_each(|row| out.collect(row));
        Ok(())
    }

    #[inline(always)]
    fn process_element2(
        &mut self,
        value: B,
        _: &mut ProcessContext<'_>,
        out: &mut Collector<'_, I::Item>,
    ) -> FunctionResult {
        (self.1)(value).into_iter().for_each(|row| out.collect(row));
        Ok(())
    }
}

struct Co<A, B, F> {
    function: F,
    types: PhantomData<fn(A, B)>,
}

impl<A: Record, B: Record, F: CoProcessFunction<A, B>> Logic for Co<A, B, F> {
    type Key = ();
    type Row = Either<A, B>;
    type Out = F::Out;
    const KEYED: bool = false;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, ()>) -> FunctionResult {
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
        let mut cx = ProcessContext::new(host, sides, element);
        match row {
            Either::First(row) => self.function.process_element1(row, &mut cx, &mut out),
            Either::Second(row) => self.function.process_element2(row, &mut cx, &mut out),
        }
    }

    fn close(&mut self) -> FunctionResult {
        self.function.close()
    }
}

struct KeyedCo<A, B, S, R, F> {
    first: S,
    second: R,
    function: F,
    types: PhantomData<fn(A, B)>,
}

impl<A, B, S, R, F> Logic for KeyedCo<A, B, S, R, F>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
    F: KeyedCoProcessFunction<S::Key, A, B>,
{
    type Key = S::Key;
    type Row = Either<A, B>;
    type Out = F::Out;
    const KEYED: bool = true;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, S::Key>) -> FunctionResult {
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
                set_key(&self.first, &row, hash, host);
                let mut cx = KeyedContext::new(host, sides, element);
                self.function.process_element1(row, &mut cx, &mut out)
            }
            Either::Second(row) => {
                set_key(&self.second, &row, hash, host);
                let mut cx = KeyedContext::new(host, sides, element);
                self.function.process_element2(row, &mut cx, &mut out)
            }
        }
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

/// The operator of a [`CoProcessFunction`].
pub fn co_process<A, B, F>(
    function: F,
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn TwoInputSink<A, B>>
where
    A: Record,
    B: Record,
    F: CoProcessFunction<A, B>,
{
    let logic = Co {
        function,
        types: PhantomData,
    };
    Box::new(TwoInputs::new(logic, context, output))
}

/// The operator of a [`KeyedCoProcessFunction`]; the selectors are those of the two inputs.
pub fn keyed_co_process<A, B, S, R, F>(
    function: F,
    (first, second): (S, R),
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn TwoInputSink<A, B>>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
    F: KeyedCoProcessFunction<S::Key, A, B>,
{
    let logic = KeyedCo {
        first,
        second,
        function,
        types: PhantomData,
    };
    Box::new(TwoInputs::new(logic, context, output))
}
