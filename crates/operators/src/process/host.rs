//! What the functions of one subtask share between calls: state, timers, the time.

use flott_record::Key;
use flott_state::{KeyedBackend, OperatorBackend};

use crate::TaskClock;

/// State, timers and time of one operator's subtask. Operators without key have `K = ()` and no
/// keyed state.
pub(crate) struct Host<K: Key> {
    pub(crate) keyed: KeyedBackend<K>,
    pub(crate) operator: OperatorBackend,
    pub(crate) clock: TaskClock,
    pub(crate) watermark: i64,
    /// BATCH: the timers of keys that have ended fire. New processing-time timers would never end,
    /// and in STREAMING the end of the input drops them too.
    pub(crate) ending: bool,
}

impl<K: Key> Host<K> {
    pub(crate) fn new(clock: TaskClock) -> Self {
        Self {
            keyed: KeyedBackend::new(),
            operator: OperatorBackend::new(),
            clock,
            watermark: i64::MIN,
            ending: false,
        }
    }

    /// Asks to be called when the next processing-time timer is due.
    pub(crate) fn ask_for_time(&mut self) {
        if let Some(at) = self.keyed.timers().processing_time.next_deadline() {
            self.clock.wake_at(at);
        }
    }
}

/// A row of one of two inputs.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}
