//! What a function learns when it is opened: where it runs, and the handles of its state.

use std::ops::{Deref, DerefMut};

use flott_metrics::MetricGroup;
use flott_record::{Key, Record};
use flott_state::{
    AggregatingState, AggregatingStateDescriptor, BroadcastState, KeyedBackend, ListState,
    ListStateDescriptor, MapState, MapStateDescriptor, OperatorBackend, OperatorListState,
    ReducingState, ReducingStateDescriptor, StateError, SubKey, ValueState, ValueStateDescriptor,
};

use crate::SubtaskContext;

/// Where a function runs, and the registration of its operator state. Given to `open`.
pub struct RuntimeContext<'a> {
    task: &'a SubtaskContext,
    operator: &'a mut OperatorBackend,
}

impl<'a> RuntimeContext<'a> {
    pub(crate) fn new(task: &'a SubtaskContext, operator: &'a mut OperatorBackend) -> Self {
        Self { task, operator }
    }

    pub(crate) fn operator_state(&mut self) -> &mut OperatorBackend {
        self.operator
    }

    /// The task with its subtask, for people: `Map -> Filter (2/4)`.
    pub fn task_name_with_subtasks(&self) -> &str {
        &self.task.task_name
    }

    /// The name of the operator, for people.
    pub fn operator_name(&self) -> &str {
        &self.task.operator.name
    }

    /// Index of the subtask, from 0.
    pub fn index_of_this_subtask(&self) -> u32 {
        self.task.subtask
    }

    /// Number of subtasks of the operator.
    pub fn number_of_parallel_subtasks(&self) -> u32 {
        self.task.parallelism
    }

    /// Number of key groups: the upper bound of the operator's parallelism.
    pub fn max_number_of_parallel_subtasks(&self) -> u32 {
        self.task.max_parallelism
    }

    /// How often the subtask was started before, from 0.
    pub fn attempt_number(&self) -> u32 {
        self.task.attempt.attempt
    }

    /// The arguments of the program, without its name; the same in every subtask.
    pub fn args(&self) -> Vec<String> {
        std::env::args().skip(1).collect()
    }

    /// Whether the job runs in BATCH mode.
    pub fn is_batch(&self) -> bool {
        self.task.batch_mode
    }

    /// Where the function adds metrics of its own; they are shown with the operator's.
    pub fn metric_group(&self) -> &MetricGroup {
        &self.task.metrics
    }

    /// What the subtasks of the job add up; see the job's result.
    pub fn accumulators(&self) -> &flott_metrics::accumulators::Accumulators {
        &self.task.accumulators
    }

    /// Registers a list whose elements are split among the subtasks after a change of parallelism.
    ///
    /// # Errors
    /// When the name is taken by a state of another kind or type, or a time to live is set.
    pub fn operator_list_state<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<OperatorListState<T>, StateError> {
        self.operator.list_state(descriptor)
    }

    /// Registers a list of which every subtask gets all elements after a restore.
    ///
    /// # Errors
    /// As [`operator_list_state`](Self::operator_list_state).
    pub fn union_list_state<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<OperatorListState<T>, StateError> {
        self.operator.union_list_state(descriptor)
    }

    /// Registers, or finds, a broadcast state. Only the broadcast side of a function may change it,
    /// and must change it in the same way in every subtask.
    ///
    /// # Errors
    /// As [`operator_list_state`](Self::operator_list_state).
    pub fn broadcast_state<MK: SubKey, MV: Record>(
        &mut self,
        descriptor: MapStateDescriptor<MK, MV>,
    ) -> Result<BroadcastState<MK, MV>, StateError> {
        self.operator.broadcast_state(descriptor)
    }
}

/// A [`RuntimeContext`] of a function behind `key_by`, which also registers keyed state. Given to
/// `open`.
pub struct KeyedRuntimeContext<'a, K: Key> {
    runtime: RuntimeContext<'a>,
    keyed: &'a mut KeyedBackend<K>,
}

impl<'a, K: Key> Deref for KeyedRuntimeContext<'a, K> {
    type Target = RuntimeContext<'a>;

    fn deref(&self) -> &RuntimeContext<'a> {
        &self.runtime
    }
}

impl<K: Key> DerefMut for KeyedRuntimeContext<'_, K> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.runtime
    }
}

impl<'a, K: Key> KeyedRuntimeContext<'a, K> {
    pub(crate) fn new(runtime: RuntimeContext<'a>, keyed: &'a mut KeyedBackend<K>) -> Self {
        Self { runtime, keyed }
    }

    /// Registers a value per key.
    ///
    /// # Errors
    /// When the name is taken by a state of another kind or type, or the time to live cannot be.
    pub fn value_state<T: Record>(
        &mut self,
        descriptor: ValueStateDescriptor<T>,
    ) -> Result<ValueState<T>, StateError> {
        self.keyed.value_state(descriptor)
    }

    /// Registers a list per key.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn list_state<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<ListState<T>, StateError> {
        self.keyed.list_state(descriptor)
    }

    /// Registers a map per key.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn map_state<MK: SubKey, MV: Record>(
        &mut self,
        descriptor: MapStateDescriptor<MK, MV>,
    ) -> Result<MapState<MK, MV>, StateError> {
        self.keyed.map_state(descriptor)
    }

    /// Registers a value per key that combines what is added.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn reducing_state<T: Record>(
        &mut self,
        descriptor: ReducingStateDescriptor<T>,
    ) -> Result<ReducingState<T>, StateError> {
        self.keyed.reducing_state(descriptor)
    }

    /// Registers an accumulator per key of what is added.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn aggregating_state<In: 'static, Acc: Record, Out: 'static>(
        &mut self,
        descriptor: AggregatingStateDescriptor<In, Acc, Out>,
    ) -> Result<AggregatingState<In, Acc, Out>, StateError> {
        self.keyed.aggregating_state(descriptor)
    }
}
