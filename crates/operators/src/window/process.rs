//! Functions over whole windows, with state and side outputs.

use std::ops::{Deref, DerefMut};

use flott_record::{Key, Record};
use flott_state::{InNamespace, KeyedBackend, KeyedStateAccess};

use super::Window;
use super::function::Fired;
use crate::process::{FunctionResult, RuntimeContext, Sides};

use crate::{Collector, OutputTag};

/// Processes the contents of a window: all its records, or the one value made of them.
///
/// ```
/// use flott_operators::Collector;
/// use flott_operators::window::{
///     FunctionResult, ProcessWindowFunction, TimeWindow, WindowContext, WindowRuntimeContext,
/// };
/// use flott_state::{ValueState, ValueStateDescriptor};
///
/// /// The number of records of each window, and the largest number so far.
/// #[derive(Clone, Default)]
/// struct Record {
///     largest: Option<ValueState<u64>>,
/// }
///
/// impl ProcessWindowFunction<(String, f64), String, TimeWindow> for Record {
///     type Out = (String, i64, u64, u64);
///
///     fn open(&mut self, cx: &mut WindowRuntimeContext<'_, String>) -> FunctionResult {
///         let descriptor = ValueStateDescriptor::new("largest");
///         self.largest = Some(cx.keyed_state().value_state(descriptor)?);
///         Ok(())
///     }
///     fn process(
///         &mut self,
///         key: &String,
///         cx: &mut WindowContext<'_, String, TimeWindow>,
///         elements: &[(String, f64)],
///         out: &mut Collector<'_, (String, i64, u64, u64)>,
///     ) -> FunctionResult {
///         let largest = self.largest.ok_or("not opened")?;
///         let count = elements.len() as u64;
///         let most = largest.value(cx).copied().unwrap_or(0).max(count);
///         largest.update(cx, most);
///         out.collect((key.clone(), cx.window().end(), count, most));
///         Ok(())
///     }
/// }
/// ```
pub trait ProcessWindowFunction<In, K: Key, W: Window>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Called once per subtask before anything else: registers state.
    fn open(&mut self, cx: &mut WindowRuntimeContext<'_, K>) -> FunctionResult {
        let _ = cx;
        Ok(())
    }

    /// A window fires. `elements` are its records in the order of their arrival; behind `reduce` or
    /// `aggregate` it is their one result.
    fn process(
        &mut self,
        key: &K,
        cx: &mut WindowContext<'_, K, W>,
        elements: &[In],
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// A window goes: clears what the function keeps for it ([`WindowContext::window_state`]).
    fn clear(&mut self, key: &K, cx: &mut WindowContext<'_, K, W>) -> FunctionResult {
        let _ = (key, cx);
        Ok(())
    }

    /// Called once at the end of the input.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

/// What a function learns when it is opened, and where it registers state.
pub struct WindowRuntimeContext<'a, K: Key> {
    pub(super) runtime: RuntimeContext<'a>,
    pub(super) state: &'a mut KeyedBackend<K>,
}

impl<K: Key> WindowRuntimeContext<'_, K> {
    /// Where keyed state is registered: with `value_state` and its like for state of a key, with
    /// `value_state_in` and its like for state of a key and window.
    pub fn keyed_state(&mut self) -> &mut KeyedBackend<K> {
        self.state
    }
}

impl<'a, K: Key> Deref for WindowRuntimeContext<'a, K> {
    type Target = RuntimeContext<'a>;

    fn deref(&self) -> &RuntimeContext<'a> {
        &self.runtime
    }
}

impl<K: Key> DerefMut for WindowRuntimeContext<'_, K> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.runtime
    }
}

/// What a function may ask and do when a window fires. Handles of keyed state open the state of the
/// key with it; [`WindowContext::window_state`] opens that of key and window.
pub struct WindowContext<'a, K: Key, W> {
    pub(super) fired: Fired<'a, K, W>,
    pub(super) state: &'a mut KeyedBackend<K>,
    pub(super) sides: &'a mut Sides,
}

impl<K: Key, W: Window> WindowContext<'_, K, W> {
    /// The window.
    pub fn window(&self) -> &W {
        self.fired.window
    }

    /// The event time up to which all records have come, in milliseconds since the epoch.
    pub fn current_watermark(&self) -> i64 {
        self.fired.watermark
    }

    /// The time of the machine, in milliseconds since the epoch.
    pub fn current_processing_time(&self) -> i64 {
        self.fired.processing_time
    }

    /// The state of the key in this window. Windows that merge lose theirs: the function's `clear`
    /// is called for them.
    pub fn window_state(&mut self) -> InNamespace<'_, K, W> {
        InNamespace::new(self.state, self.fired.window)
    }

    /// Emits a record to a side output, with the largest event time of the window. It is dropped if
    /// no stream reads that side output.
    pub fn output<T: Record>(&mut self, tag: &OutputTag<T>, record: T) {
        self.sides
            .emit(tag, record, self.fired.window.max_timestamp());
    }
}

impl<K: Key, W: Window> KeyedStateAccess for WindowContext<'_, K, W> {
    type Key = K;

    #[inline(always)]
    fn keyed_state(&mut self) -> &mut KeyedBackend<K> {
        self.state
    }
}
