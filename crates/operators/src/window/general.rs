//! Windows of all kinds: an entry per key and window, which its trigger fires.

mod merging;
mod restored;
mod timers;

use flott_network::NO_TIMESTAMP;
use flott_record::{Key, Record};
use flott_state::cold::TieredTable;
use flott_state::{
    KeyedBackend, KeyedTable, OperatorBackend, OperatorSnapshot, StateError, TimeDomain, Timer,
    Timers,
};
use serde::{Deserialize, Serialize};

use self::restored::Restored;
use self::timers::{Clocks, OfWindow};
use super::emitter::Emitter;
use super::function::WindowFunction;
use super::keyed::NO_EVENT_TIME;
use super::late::{Late, LateData};
use super::trigger::TriggerResult;
use super::{Contents, Trigger, Window, WindowAssigner, WindowAssignerContext};
use crate::blame::Site;
use crate::checkpoint::{cannot, unmoved};
use crate::keyed::{KeySelector, fetch_rows};
use crate::process::user_error;
use crate::{Output, SubtaskContext, TaskClock, TaskError};

/// States of the operator: the windows of each key, their timers, the watermark.
const CONTENTS: &str = "window-contents";
const TIMERS: &str = "window-timers";
const WATERMARK: &str = "watermark";

/// What is kept of a window of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept<W, V, R> {
    window: W,
    /// Its contents; none: purged, or all evicted.
    value: Option<V>,
    /// The state of its trigger.
    state: R,
}

impl<W, V, R: Default + PartialEq> Kept<W, V, R> {
    fn new(window: W) -> Self {
        Self {
            window,
            value: None,
            state: R::default(),
        }
    }

    /// Whether it is as good as not there.
    fn is_empty(&self) -> bool {
        self.value.is_none() && self.state == R::default()
    }
}

/// Whose windows: a key with its stable hash.
struct Of<'a, K> {
    hash: u64,
    key: &'a K,
}

impl<K> Clone for Of<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Of<'_, K> {}

/// The windows of a key, in order.
type KeptOf<T, A, R, C> = Vec<
    Kept<
        <A as WindowAssigner<T>>::Window,
        <C as Contents<T>>::Value,
        <R as Trigger<T, <A as WindowAssigner<T>>::Window>>::State,
    >,
>;

/// The windows of one subtask.
pub(super) struct Store<T, K, A, R, C, F>
where
    T: Record,
    K: Key,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, K, A::Window, C>,
{
    assigner: A,
    trigger: R,
    contents: C,
    function: F,
    table: TieredTable<K, KeptOf<T, A, R, C>>,
    timers: Timers<K, A::Window>,
    state: KeyedBackend<K>,
    /// The key of the row that is processed; its memory is used again.
    key: Option<K>,
    hash: u64,
    assigned: Vec<A::Window>,
    candidates: Vec<A::Window>,
    late: Late<T>,
    emitter: Emitter<F::Out>,
    clock: TaskClock,
    clocks: Clocks,
    event_time: bool,
    merging: bool,
}

/// While timers fire, room is made after so many.
const TIMERS_PER_ROOM: u32 = 256;

const NO_KEY: &str = "the key of a row is set before the row is added";

impl<T, K, A, R, C, F> Store<T, K, A, R, C, F>
where
    T: Record,
    K: Key,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, K, A::Window, C>,
{
    pub(super) fn new(
        context: &SubtaskContext,
        (assigner, trigger, late): (A, R, LateData<T>),
        contents: C,
        mut function: F,
        output: Output<F::Out>,
    ) -> Result<Self, TaskError> {
        let checkpoints = context.checkpoints();
        let from = Restored::of(checkpoints.restored(), context.tiers());
        let mut from = from.map_err(|error| cannot("restored", &error))?;
        function.open(&mut from.state, &mut OperatorBackend::new(), context)?;
        let mut store = Self {
            event_time: assigner.is_event_time(),
            merging: assigner.is_merging(),
            assigner,
            trigger,
            contents,
            function,
            table: from.table,
            timers: from.timers,
            state: from.state,
            key: None,
            hash: 0,
            assigned: Vec::new(),
            candidates: Vec::new(),
            late: Late::new(late, context),
            emitter: Emitter::new(output),
            clock: context.clock.clone(),
            clocks: Clocks::default(),
        };
        store.clocks.watermark = from.watermark;
        store.ask_for_time();
        Ok(store)
    }

    /// Hands over windows, timers, the state of functions, and how far time is.
    pub(super) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        snapshot.tiered(CONTENTS, &mut self.table)?;
        snapshot.timers(TIMERS, &mut self.timers)?;
        snapshot.keyed(&mut self.state)?;
        if self.clocks.watermark != i64::MIN {
            snapshot.value(WATERMARK, &self.clocks.watermark)?;
        }
        Ok(())
    }

    pub(super) fn emitter(&mut self) -> &mut Emitter<F::Out> {
        &mut self.emitter
    }

    pub(super) fn close(&mut self) -> Result<(), TaskError> {
        self.function.close()
    }

    /// Rows follow.
    pub(super) fn begin(&mut self) {
        self.clocks.look(self.clock.now());
        self.state.set_processing_time(self.clocks.now);
    }

    /// Brings what is kept of the keys of rows into memory, where it may be elsewhere.
    pub(super) fn fetch<I, S: KeySelector<I, Key = K>>(
        &mut self,
        selector: &S,
        rows: &[I],
        hashes: &[u64],
    ) -> Result<(), TaskError> {
        fetch_rows(&mut self.table, selector, rows, hashes)
    }

    /// Moves what was not used lately out of memory, if it does not fit.
    pub(super) fn make_room(&mut self) -> Result<(), TaskError> {
        self.table.make_room().map_err(unmoved)?;
        self.state.make_room().map_err(unmoved)
    }

    /// Whose rows are added from now on.
    #[inline]
    pub(super) fn set_key(&mut self, hash: u64, key: &K) {
        match &mut self.key {
            Some(current) if self.hash == hash && *current == *key => {}
            Some(current) => current.clone_from(key),
            None => self.key = Some(key.clone()),
        }
        self.hash = hash;
    }

    /// Adds a row of the current key.
    pub(super) fn add(&mut self, row: T, timestamp: i64) -> Result<(), TaskError> {
        if self.event_time && timestamp == NO_TIMESTAMP {
            return Err(TaskError::user(NO_EVENT_TIME));
        }
        let mut windows = std::mem::take(&mut self.assigned);
        windows.clear();
        let cx = WindowAssignerContext {
            processing_time: self.clocks.now,
        };
        self.assigner
            .assign_windows(&row, timestamp, &cx, &mut windows)
            .map_err(|error| user_error(&*error))?;
        let key = self.key.take().expect(NO_KEY);
        let hash = self.hash;
        let added = self.add_to_all(Of { hash, key: &key }, &mut windows, row, timestamp);
        self.key = Some(key);
        self.assigned = windows;
        added
    }

    fn add_to_all(
        &mut self,
        of: Of<'_, K>,
        windows: &mut Vec<A::Window>,
        row: T,
        timestamp: i64,
    ) -> Result<(), TaskError> {
        let (mut rest, mut skipped) = (Some(row), true);
        let mut left = windows.len();
        for window in windows.drain(..) {
            left -= 1;
            let window = if self.merging {
                self.merge(of, window)?
            } else {
                window
            };
            if self.is_late(&window) {
                // An assigner that lets windows shrink may have made it late by merging.
                if self.merging && self.kept(of, &window).is_some() {
                    self.register_cleanup(of, &window);
                }
                continue;
            }
            skipped = false;
            let row = if left == 0 { rest.take() } else { rest.clone() };
            if let Some(row) = row {
                self.add_to(of, &window, row, timestamp)?;
            }
        }
        if skipped
            && self.event_time
            && self.late.until(timestamp) <= self.clocks.watermark
            && let Some(row) = rest
        {
            self.late.reject(row, timestamp, &mut self.emitter);
        }
        Ok(())
    }

    fn is_late(&self, window: &A::Window) -> bool {
        self.event_time && self.cleanup_time(window) <= self.clocks.watermark
    }

    /// When a window goes; `i64::MAX`: never.
    fn cleanup_time(&self, window: &A::Window) -> i64 {
        if self.event_time {
            self.late.until(window.max_timestamp())
        } else {
            window.max_timestamp()
        }
    }

    fn cleanup_domain(&self) -> TimeDomain {
        if self.event_time {
            TimeDomain::EventTime
        } else {
            TimeDomain::ProcessingTime
        }
    }

    fn register_cleanup(&mut self, of: Of<'_, K>, window: &A::Window) {
        let until = self.cleanup_time(window);
        if until != i64::MAX {
            let domain = self.cleanup_domain();
            self.timers
                .of(domain)
                .register(until, of.hash, of.key, window);
        }
    }

    fn add_to(
        &mut self,
        of: Of<'_, K>,
        window: &A::Window,
        row: T,
        timestamp: i64,
    ) -> Result<(), TaskError> {
        let windows = self.table.get_or_insert_with(of.hash, of.key, Vec::new);
        let found = windows.binary_search_by(|kept| kept.window.cmp(window));
        let at = found.unwrap_or_else(|at| {
            windows.insert(at, Kept::new(window.clone()));
            at
        });
        let kept = &mut windows[at];
        let mut timers = OfWindow::new(&mut self.timers, of, window, &self.clocks);
        let mut cx = self.clocks.trigger_context(&mut timers);
        // Before the row is moved into the contents, which a trigger does not see anyway.
        let result = self
            .trigger
            .on_element(&row, timestamp, window, &mut kept.state, &mut cx);
        match &mut kept.value {
            Some(value) => self.contents.add(value, row, timestamp),
            None => kept.value = Some(self.contents.first(row, timestamp)),
        }
        if result == TriggerResult::Continue {
            self.register_cleanup(of, window);
            return Ok(());
        }
        self.act(of, window, result)?;
        self.register_cleanup(of, window);
        self.drop_if_empty(of, window);
        Ok(())
    }

    fn kept(
        &mut self,
        of: Of<'_, K>,
        window: &A::Window,
    ) -> Option<&mut Kept<A::Window, C::Value, R::State>> {
        find::<T, K, A, R, C>(&mut self.table, of, window)
    }

    /// What a trigger has decided.
    fn act(
        &mut self,
        of: Of<'_, K>,
        window: &A::Window,
        result: TriggerResult,
    ) -> Result<(), TaskError> {
        let fired = self.clocks.fired(of, window);
        let Some(kept) = find::<T, K, A, R, C>(&mut self.table, of, window) else {
            return Ok(());
        };
        if result.is_fire()
            && let Some(value) = &mut kept.value
        {
            self.function.fire(
                &mut self.contents,
                value,
                fired,
                &mut self.state,
                &mut self.emitter,
            )?;
            if self.contents.is_empty(value) {
                kept.value = None;
            }
        }
        if result.is_purge() {
            kept.value = None;
        }
        Ok(())
    }

    /// Forgets a window that nobody will come to clear, if nothing is left of it.
    fn drop_if_empty(&mut self, of: Of<'_, K>, window: &A::Window) {
        if self.cleanup_time(window) == i64::MAX
            && self.kept(of, window).is_some_and(|kept| kept.is_empty())
        {
            self.take(of, window);
        }
    }

    /// Takes a window out.
    fn take(
        &mut self,
        of: Of<'_, K>,
        window: &A::Window,
    ) -> Option<Kept<A::Window, C::Value, R::State>> {
        let windows = self.table.get_mut(of.hash, of.key)?;
        let at = windows.binary_search_by(|kept| kept.window.cmp(window));
        let kept = windows.remove(at.ok()?);
        if windows.is_empty() {
            self.table.remove(of.hash, of.key);
        }
        Some(kept)
    }

    /// A window goes: trigger and function forget it.
    fn clear(
        &mut self,
        of: Of<'_, K>,
        window: &A::Window,
        trigger: &mut R::State,
    ) -> Result<(), TaskError> {
        if F::CLEARS {
            let fired = self.clocks.fired(of, window);
            self.function
                .clear(fired, &mut self.state, &mut self.emitter)?;
        }
        let mut timers = OfWindow::new(&mut self.timers, of, window, &self.clocks);
        let mut cx = self.clocks.trigger_context(&mut timers);
        self.trigger.clear(window, trigger, &mut cx);
        Ok(())
    }

    fn on_timer(
        &mut self,
        domain: TimeDomain,
        timer: &Timer<K, A::Window>,
    ) -> Result<(), TaskError> {
        let (time, window) = (timer.timestamp, &timer.namespace);
        let of = Of {
            hash: timer.hash,
            key: &timer.key,
        };
        self.table.load(of.hash, of.key).map_err(unmoved)?;
        let Some(kept) = find::<T, K, A, R, C>(&mut self.table, of, window) else {
            return Ok(());
        };
        let mut timers = OfWindow::new(&mut self.timers, of, window, &self.clocks);
        let mut cx = self.clocks.trigger_context(&mut timers);
        let (trigger, state) = (&self.trigger, &mut kept.state);
        let result = match domain {
            TimeDomain::EventTime => trigger.on_event_time(time, window, state, &mut cx),
            TimeDomain::ProcessingTime => trigger.on_processing_time(time, window, state, &mut cx),
        };
        if result != TriggerResult::Continue {
            self.act(of, window, result)?;
        }
        if domain == self.cleanup_domain() && time == self.cleanup_time(window) && time != i64::MAX
        {
            if let Some(mut kept) = self.take(of, window) {
                self.clear(of, window, &mut kept.state)?;
            }
        } else {
            self.drop_if_empty(of, window);
        }
        Ok(())
    }

    pub(super) fn watermark(&mut self, watermark: i64) {
        self.clocks.watermark = self.clocks.watermark.max(watermark);
    }

    pub(super) fn processing_time(&mut self, now: i64) {
        self.clocks.look(now);
        // A time has passed when the next millisecond has begun.
        self.clocks.passed = self.clocks.now.saturating_sub(1);
    }

    pub(super) fn end_of_keys(&mut self) {
        self.clocks.look(self.clock.now());
        self.clocks.watermark = i64::MAX;
        self.clocks.passed = i64::MAX;
        self.clocks.ending = true;
    }

    /// Fires what is due until there is no room; whether nothing is left.
    pub(super) fn proceed(&mut self, site: &mut Site) -> Result<bool, TaskError> {
        self.state.set_processing_time(self.clocks.now);
        let mut scope = site.scope();
        let mut fired = 0_u32;
        loop {
            fired += 1;
            if fired.is_multiple_of(TIMERS_PER_ROOM) {
                self.make_room()?;
            }
            if self.emitter.is_full() {
                self.make_room()?;
                return Ok(false);
            }
            let (watermark, passed) = (self.clocks.watermark, self.clocks.passed);
            let (domain, timer) = if let Some(timer) = self.timers.event_time.pop_due(watermark) {
                (TimeDomain::EventTime, timer)
            } else if let Some(timer) = self.timers.processing_time.pop_due(passed) {
                (TimeDomain::ProcessingTime, timer)
            } else {
                break;
            };
            scope.at_timer(timer.timestamp);
            self.clock.fired(1);
            let fired = self.on_timer(domain, &timer);
            fired.map_err(|error| scope.locate(error))?;
        }
        drop(scope);
        if self.clocks.ending {
            self.clocks.restart();
            self.table.clear();
            self.timers.clear();
            self.state.clear_all();
        }
        self.make_room()?;
        self.ask_for_time();
        Ok(true)
    }

    pub(super) fn ask_for_time(&mut self) {
        if let Some(next) = self.timers.processing_time.next_deadline() {
            self.clock.wake_at(next.saturating_add(1));
        }
    }
}

/// What is kept of a window, apart from the rest of the store.
fn find<'a, T, K, A, R, C>(
    table: &'a mut KeyedTable<K, KeptOf<T, A, R, C>>,
    of: Of<'_, K>,
    window: &A::Window,
) -> Option<&'a mut Kept<A::Window, C::Value, R::State>>
where
    K: Key,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
{
    let windows = table.get_mut(of.hash, of.key)?;
    let at = windows.binary_search_by(|kept| kept.window.cmp(window));
    windows.get_mut(at.ok()?)
}
