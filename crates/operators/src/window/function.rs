//! What is called when a window fires: user functions of all shapes behind one trait.

use std::marker::PhantomData;

use flott_record::{Key, Record};
use flott_state::{KeyedBackend, OperatorBackend};

use super::contents::{Contents, Folded, Listed, MergingFold, Single};
use super::emitter::Emitter;
use super::evictor::{Evictor, EvictorContext};
use super::process::{ProcessWindowFunction, WindowContext, WindowRuntimeContext};
use super::{Elements, Window};
use crate::process::{FunctionResult, RuntimeContext, user_error};
use crate::{Collector, SubtaskContext, TaskError};

/// Which window of which key fires, and when.
#[derive(Debug)]
pub struct Fired<'a, K, W> {
    pub(super) hash: u64,
    pub(super) key: &'a K,
    pub(super) window: &'a W,
    pub(super) watermark: i64,
    pub(super) processing_time: i64,
}

impl<K, W> Clone for Fired<'_, K, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, W> Copy for Fired<'_, K, W> {}

/// What is called when windows fire and when they go.
pub trait WindowFunction<T, K: Key, W: Window, C: Contents<T>>: Send + 'static {
    /// What it emits.
    type Out: Record;

    /// Whether it wants to know when windows go.
    const CLEARS: bool = false;

    /// Whether it changes the contents of windows.
    const EVICTS: bool = false;

    /// Called once, before anything else.
    fn open(
        &mut self,
        state: &mut KeyedBackend<K>,
        operator: &mut OperatorBackend,
        context: &SubtaskContext,
    ) -> Result<(), TaskError> {
        let _ = (state, operator, context);
        Ok(())
    }

    /// A window fires.
    fn fire(
        &mut self,
        contents: &mut C,
        value: &mut C::Value,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<Self::Out>,
    ) -> Result<(), TaskError>;

    /// A window goes.
    fn clear(
        &mut self,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<Self::Out>,
    ) -> Result<(), TaskError> {
        let _ = (fired, state, emitter);
        Ok(())
    }

    /// Called once, at the end of the input.
    fn close(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Emits the value of the window.
#[derive(Debug, Clone, Copy)]
pub struct EmitResult;

impl<T, K: Key, W: Window, C: Single<T>> WindowFunction<T, K, W, C> for EmitResult
where
    C::View: Record,
{
    type Out = C::View;

    #[inline(always)]
    fn fire(
        &mut self,
        contents: &mut C,
        value: &mut C::Value,
        fired: Fired<'_, K, W>,
        _: &mut KeyedBackend<K>,
        emitter: &mut Emitter<C::View>,
    ) -> Result<(), TaskError> {
        emitter.collect(contents.result(value), fired.window.max_timestamp());
        Ok(())
    }
}

/// Calls `function(key, window, elements, out)`.
#[derive(Debug, Clone)]
pub struct Apply<F, U>(F, PhantomData<fn() -> U>);

impl<F, U> Apply<F, U> {
    /// Calls that function.
    pub fn new(function: F) -> Self {
        Self(function, PhantomData)
    }
}

impl<T, K, W, C, U, F> WindowFunction<T, K, W, C> for Apply<F, U>
where
    K: Key,
    W: Window,
    C: Contents<T>,
    U: Record,
    F: FnMut(&K, &W, &[C::View], &mut Collector<'_, U>) + Send + 'static,
{
    type Out = U;

    #[inline(always)]
    fn fire(
        &mut self,
        contents: &mut C,
        value: &mut C::Value,
        fired: Fired<'_, K, W>,
        _: &mut KeyedBackend<K>,
        emitter: &mut Emitter<U>,
    ) -> Result<(), TaskError> {
        let (mut out, _) = emitter.split(fired.window.max_timestamp());
        contents.view(value, |elements| {
            (self.0)(fired.key, fired.window, elements, &mut out);
        });
        Ok(())
    }
}

/// Calls `function(key, context, elements, out)`, which may fail.
#[derive(Debug, Clone)]
pub struct ProcessFn<F, U>(F, PhantomData<fn() -> U>);

impl<F, U> ProcessFn<F, U> {
    /// Calls that function.
    pub fn new(function: F) -> Self {
        Self(function, PhantomData)
    }
}

impl<T, K, W, C, U, F> WindowFunction<T, K, W, C> for ProcessFn<F, U>
where
    K: Key,
    W: Window,
    C: Contents<T>,
    U: Record,
    F: FnMut(&K, &mut WindowContext<'_, K, W>, &[C::View], &mut Collector<'_, U>) -> FunctionResult
        + Send
        + 'static,
{
    type Out = U;

    #[inline]
    fn fire(
        &mut self,
        contents: &mut C,
        value: &mut C::Value,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<U>,
    ) -> Result<(), TaskError> {
        let (mut out, sides) = emitter.split(fired.window.max_timestamp());
        let mut cx = WindowContext {
            fired,
            state,
            sides,
        };
        contents
            .view(value, |elements| {
                (self.0)(fired.key, &mut cx, elements, &mut out)
            })
            .map_err(|error| user_error(&*error))
    }
}

/// Calls a [`ProcessWindowFunction`].
#[derive(Debug, Clone)]
pub struct Process<P>(pub P);

impl<T, K, W, C, P> WindowFunction<T, K, W, C> for Process<P>
where
    K: Key,
    W: Window,
    C: Contents<T>,
    P: ProcessWindowFunction<C::View, K, W>,
{
    type Out = P::Out;
    const CLEARS: bool = true;

    fn open(
        &mut self,
        state: &mut KeyedBackend<K>,
        operator: &mut OperatorBackend,
        context: &SubtaskContext,
    ) -> Result<(), TaskError> {
        let runtime = RuntimeContext::new(context, operator);
        let mut cx = WindowRuntimeContext { runtime, state };
        self.0.open(&mut cx).map_err(|error| user_error(&*error))
    }

    #[inline]
    fn fire(
        &mut self,
        contents: &mut C,
        value: &mut C::Value,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<P::Out>,
    ) -> Result<(), TaskError> {
        state.set_current_key(fired.hash, fired.key);
        let (mut out, sides) = emitter.split(fired.window.max_timestamp());
        let mut cx = WindowContext {
            fired,
            state,
            sides,
        };
        contents
            .view(value, |elements| {
                self.0.process(fired.key, &mut cx, elements, &mut out)
            })
            .map_err(|error| user_error(&*error))
    }

    #[inline]
    fn clear(
        &mut self,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<P::Out>,
    ) -> Result<(), TaskError> {
        state.set_current_key(fired.hash, fired.key);
        let (_, sides) = emitter.split(fired.window.max_timestamp());
        let mut cx = WindowContext {
            fired,
            state,
            sides,
        };
        let cleared = self.0.clear(fired.key, &mut cx);
        cleared.map_err(|error| user_error(&*error))
    }

    fn close(&mut self) -> Result<(), TaskError> {
        self.0.close().map_err(|error| user_error(&*error))
    }
}

/// Evicts around another function.
#[derive(Debug, Clone)]
pub struct Evicting<E, F> {
    evictor: E,
    function: F,
}

impl<E, F> Evicting<E, F> {
    /// Evicts by `evictor` before and after `function`.
    pub fn new(evictor: E, function: F) -> Self {
        Self { evictor, function }
    }
}

impl<T, K, W, E, F> WindowFunction<T, K, W, Listed> for Evicting<E, F>
where
    T: Record,
    K: Key,
    W: Window,
    E: Evictor<T, W>,
    F: WindowFunction<T, K, W, Listed>,
{
    type Out = F::Out;
    const CLEARS: bool = F::CLEARS;
    const EVICTS: bool = true;

    fn open(
        &mut self,
        state: &mut KeyedBackend<K>,
        operator: &mut OperatorBackend,
        context: &SubtaskContext,
    ) -> Result<(), TaskError> {
        self.function.open(state, operator, context)
    }

    fn fire(
        &mut self,
        contents: &mut Listed,
        elements: &mut Elements<T>,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<F::Out>,
    ) -> Result<(), TaskError> {
        let cx = EvictorContext {
            watermark: fired.watermark,
            processing_time: fired.processing_time,
        };
        self.evictor.evict_before(elements, fired.window, &cx);
        if !elements.is_empty() {
            self.function
                .fire(contents, elements, fired, state, emitter)?;
        }
        self.evictor.evict_after(elements, fired.window, &cx);
        Ok(())
    }

    fn clear(
        &mut self,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<F::Out>,
    ) -> Result<(), TaskError> {
        self.function.clear(fired, state, emitter)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        self.function.close()
    }
}

/// Folds all records of a window when it fires, and gives the value to another function: what
/// `reduce` and `aggregate` are where there is an evictor.
#[derive(Debug, Clone)]
pub struct Folding<M, F> {
    folded: Folded<M>,
    function: F,
}

impl<M, F> Folding<M, F> {
    /// Gives what `fold` makes of the records to `function`.
    pub fn new(fold: M, function: F) -> Self {
        Self {
            folded: Folded(fold),
            function,
        }
    }
}

impl<T, K, W, M, F> WindowFunction<T, K, W, Listed> for Folding<M, F>
where
    T: Record,
    K: Key,
    W: Window,
    M: MergingFold<T>,
    F: WindowFunction<T, K, W, Folded<M>>,
{
    type Out = F::Out;
    const CLEARS: bool = F::CLEARS;

    fn open(
        &mut self,
        state: &mut KeyedBackend<K>,
        operator: &mut OperatorBackend,
        context: &SubtaskContext,
    ) -> Result<(), TaskError> {
        self.function.open(state, operator, context)
    }

    fn fire(
        &mut self,
        _: &mut Listed,
        elements: &mut Elements<T>,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<F::Out>,
    ) -> Result<(), TaskError> {
        let Some((first, others)) = elements.rows().split_first() else {
            return Ok(());
        };
        let fold = &mut self.folded.0;
        let mut value = fold.first(first.clone());
        for row in others {
            fold.add(&mut value, row.clone());
        }
        self.function
            .fire(&mut self.folded, &mut value, fired, state, emitter)
    }

    fn clear(
        &mut self,
        fired: Fired<'_, K, W>,
        state: &mut KeyedBackend<K>,
        emitter: &mut Emitter<F::Out>,
    ) -> Result<(), TaskError> {
        self.function.clear(fired, state, emitter)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        self.function.close()
    }
}
