//! Handles that no state has been registered for yet: what the fields of a function are before it is
//! opened. Used all the same, they panic and say so.

use flott_record::Record;

use crate::{AggregatingState, ListState, MapState, ReducingState, SubKey, ValueState};

/// No state has this index.
pub(crate) const UNREGISTERED: u32 = u32::MAX;

impl<T: Record, N: SubKey> Default for ValueState<T, N> {
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self::at(UNREGISTERED)
    }
}

impl<T: Record, N: SubKey> Default for ListState<T, N> {
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self::at(UNREGISTERED)
    }
}

impl<MK: SubKey, MV: Record, N: SubKey> Default for MapState<MK, MV, N> {
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self::at(UNREGISTERED)
    }
}

impl<T: Record, N: SubKey> Default for ReducingState<T, N> {
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self::at(UNREGISTERED)
    }
}

impl<In: 'static, Acc: Record, Out: 'static, N: SubKey> Default
    for AggregatingState<In, Acc, Out, N>
{
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self::at(UNREGISTERED)
    }
}

#[cfg(test)]
mod tests {
    use crate::{KeyedBackend, ValueState};

    #[test]
    #[should_panic(expected = "register it in `open`")]
    fn a_handle_that_was_not_registered_says_so() {
        let mut state = KeyedBackend::<u32>::new();
        state.set_current_key(1, &1);
        ValueState::<u32>::default().value(&mut state);
    }
}
