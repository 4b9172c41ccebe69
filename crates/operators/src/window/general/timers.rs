//! The time of a store of windows, and the timers of one of its windows.

use flott_record::Key;
use flott_state::Timers;

use super::Of;
use crate::window::Window;
use crate::window::function::Fired;
use crate::window::trigger::{TriggerContext, WindowTimers};

/// What time it is, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    pub(super) watermark: i64,
    /// The time of the machine, as last looked at; never goes back.
    pub(super) now: i64,
    /// Processing-time timers up to here are due.
    pub(super) passed: i64,
    /// BATCH: the keys so far have ended.
    pub(super) ending: bool,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            watermark: i64::MIN,
            now: i64::MIN,
            passed: i64::MIN,
            ending: false,
        }
    }
}

impl Clocks {
    pub(super) fn look(&mut self, now: i64) {
        self.now = self.now.max(now);
    }

    /// Other keys follow.
    pub(super) fn restart(&mut self) {
        *self = Self {
            now: self.now,
            ..Self::default()
        };
    }

    pub(super) fn trigger_context<'a>(
        &self,
        timers: &'a mut dyn WindowTimers,
    ) -> TriggerContext<'a> {
        TriggerContext {
            timers,
            watermark: self.watermark,
            processing_time: self.now,
        }
    }

    pub(super) fn fired<'a, K, W>(&self, of: Of<'a, K>, window: &'a W) -> Fired<'a, K, W> {
        Fired {
            hash: of.hash,
            key: of.key,
            window,
            watermark: self.watermark,
            processing_time: self.now,
        }
    }
}

/// The timers of one window of one key.
pub(super) struct OfWindow<'a, K, W> {
    timers: &'a mut Timers<K, W>,
    of: Of<'a, K>,
    window: &'a W,
    ending: bool,
}

impl<'a, K, W> OfWindow<'a, K, W> {
    pub(super) fn new(
        timers: &'a mut Timers<K, W>,
        of: Of<'a, K>,
        window: &'a W,
        clocks: &Clocks,
    ) -> Self {
        Self {
            timers,
            of,
            window,
            ending: clocks.ending,
        }
    }
}

impl<K: Key, W: Window> WindowTimers for OfWindow<'_, K, W> {
    fn register_event_time(&mut self, timestamp: i64) {
        let Of { hash, key } = self.of;
        self.timers
            .event_time
            .register(timestamp, hash, key, self.window);
    }

    fn register_processing_time(&mut self, timestamp: i64) {
        // While the last timers of a key fire, new ones would never end.
        if !self.ending {
            let Of { hash, key } = self.of;
            self.timers
                .processing_time
                .register(timestamp, hash, key, self.window);
        }
    }

    fn delete_event_time(&mut self, timestamp: i64) {
        let Of { hash, key } = self.of;
        self.timers
            .event_time
            .delete(timestamp, hash, key, self.window);
    }

    fn delete_processing_time(&mut self, timestamp: i64) {
        let Of { hash, key } = self.of;
        self.timers
            .processing_time
            .delete(timestamp, hash, key, self.window);
    }
}
