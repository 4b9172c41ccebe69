//! Registers and deletes timers of the current key, and tells the time.

use flott_record::Key;
use flott_state::TimeDomain;

use super::host::Host;

/// Timers of the current key, and the time. All times are milliseconds since the epoch.
///
/// There is at most one timer per key, kind of time and timestamp: registering it again has no
/// effect. Timers fire in the order of their timestamps.
pub struct TimerService<'a, K: Key> {
    host: &'a mut Host<K>,
}

impl<'a, K: Key> TimerService<'a, K> {
    pub(crate) fn new(host: &'a mut Host<K>) -> Self {
        Self { host }
    }

    /// The event time that all records have reached; `i64::MIN` before the first watermark and, in
    /// BATCH, as long as records of the key may come.
    pub fn current_watermark(&self) -> i64 {
        self.host.watermark
    }

    /// The clock of this machine.
    pub fn current_processing_time(&self) -> i64 {
        self.host.clock.now()
    }

    /// Calls `on_timer` when the watermark reaches `timestamp`; one that the watermark has passed
    /// already fires with the next watermark. At the end of the input all of them fire.
    pub fn register_event_time_timer(&mut self, timestamp: i64) {
        self.host
            .keyed
            .register_timer(TimeDomain::EventTime, timestamp);
    }

    /// Calls `on_timer` when the clock reaches `timestamp`, at once if it has. Timers that wait
    /// when the input ends are dropped; in BATCH they fire, but register no further ones.
    pub fn register_processing_time_timer(&mut self, timestamp: i64) {
        if self.host.ending {
            return;
        }
        let new = self
            .host
            .keyed
            .register_timer(TimeDomain::ProcessingTime, timestamp);
        if new {
            self.host.clock.wake_at(timestamp);
        }
    }

    /// Deletes the event-time timer of that time, if there is one.
    pub fn delete_event_time_timer(&mut self, timestamp: i64) {
        self.host
            .keyed
            .delete_timer(TimeDomain::EventTime, timestamp);
    }

    /// Deletes the processing-time timer of that time, if there is one.
    pub fn delete_processing_time_timer(&mut self, timestamp: i64) {
        self.host
            .keyed
            .delete_timer(TimeDomain::ProcessingTime, timestamp);
    }
}
