//! Process functions of streams without key.

use std::marker::PhantomData;

use flott_record::Record;

use super::context::ProcessContext;
use super::driver::{Call, Logic, OneInput};
use super::function::FunctionResult;
use super::runtime::{KeyedRuntimeContext, RuntimeContext};
use crate::{BatchSink, Collector, Output, SubtaskContext};

/// Processes the records of a stream one by one: any number of records out for each, also to side
/// outputs. It has no keyed state and no timers; see [`KeyedProcessFunction`](super::KeyedProcessFunction).
///
/// Each subtask works with a clone of its own.
pub trait ProcessFunction<In>: Clone + Send + Sync + 'static {
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

    /// Called for each record. What is collected gets the record's event time.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element(
        &mut self,
        value: In,
        cx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called when the input has ended, not when the task fails or is cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

/// A closure as a [`ProcessFunction`].
pub struct ProcessFn<F, Out> {
    function: F,
    types: PhantomData<fn() -> Out>,
}

impl<F, Out> ProcessFn<F, Out> {
    /// The closure as a function.
    pub fn new(function: F) -> Self {
        Self {
            function,
            types: PhantomData,
        }
    }
}

impl<F: Clone, Out> Clone for ProcessFn<F, Out> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<In, Out, F> ProcessFunction<In> for ProcessFn<F, Out>
where
    Out: Record,
    F: FnMut(In, &mut ProcessContext<'_>, &mut Collector<'_, Out>) -> FunctionResult
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
        cx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        (self.function)(value, cx, out)
    }
}

struct Plain<In, F> {
    function: F,
    types: PhantomData<fn(In)>,
}

impl<In: Record, F: ProcessFunction<In>> Logic for Plain<In, F> {
    type Key = ();
    type Row = In;
    type Out = F::Out;
    const KEYED: bool = false;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, ()>) -> FunctionResult {
        self.function.open(&mut cx)
    }

    #[inline(always)]
    fn row(&mut self, row: In, _: Option<u64>, call: Call<'_, (), F::Out>) -> FunctionResult {
        let (mut out, host, sides, element) = call.split();
        let mut cx = ProcessContext::new(host, sides, element);
        self.function.process_element(row, &mut cx, &mut out)
    }

    fn close(&mut self) -> FunctionResult {
        self.function.close()
    }
}

/// The operator of a [`ProcessFunction`].
pub fn process<In: Record, F: ProcessFunction<In>>(
    function: F,
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn BatchSink<In>> {
    let logic = Plain {
        function,
        types: PhantomData,
    };
    Box::new(OneInput::new(logic, context, output))
}
