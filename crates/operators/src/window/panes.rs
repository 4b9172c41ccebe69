//! Windows in equal steps that fire when they are complete. Time is cut into panes, each with one
//! table of all keys; a window is a whole number of panes, and fires by a walk through one table. No
//! timer per key, no entry per window. A walk stops while there is no room downstream.

mod store;
mod walk;

use flott_network::{Batch, NO_TIMESTAMP};
use flott_record::Record;
use flott_state::{KeyedBackend, OperatorBackend, OperatorSnapshot, StateError};

use self::store::{PaneStore, Place};
use self::walk::Walk;
use super::emitter::Emitter;
use super::function::{Fired, WindowFunction};
use super::keyed::NO_EVENT_TIME;
use super::late::{Late, LateData};
use super::periods::Periods;
use super::shell::{Shell, Windows};
use super::{Contents, WindowAssigner};
use crate::blame::Site;
use crate::checkpoint::{cannot, unmoved};
use crate::keyed::{KeySelector, take_hashes};
use crate::{BatchSink, Output, SubtaskContext, TaskClock, TaskError};

/// Windows made of panes, for one subtask.
pub struct PaneOperator<T, S, A, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    site: Site,
    panes: Panes<T, S, A, C, F>,
}

struct Panes<T, S, A, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    selector: S,
    assigner: A,
    contents: C,
    function: F,
    store: PaneStore<S::Key, C::Value>,
    walk: Option<Walk<S::Key, C::Value>>,
    state: KeyedBackend<S::Key>,
    late: Late<T>,
    emitter: Emitter<F::Out>,
    clock: TaskClock,
    event_time: bool,
    /// Of records and windows: the watermark, or the last whole millisecond of the clock.
    reached: i64,
    /// The processing time, as last looked at.
    now: i64,
    /// BATCH: the keys so far have ended.
    ending: bool,
}

impl<T, S, A, C, F> PaneOperator<T, S, A, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    /// The operator of one subtask. `periods` are those of the assigner, `pane` is their pane.
    pub(super) fn boxed(
        context: &SubtaskContext,
        (selector, assigner): (S, A),
        late: LateData<T>,
        (periods, pane): (Periods, i64),
        contents: C,
        mut function: F,
        output: Output<F::Out>,
    ) -> Result<Box<dyn BatchSink<T>>, TaskError> {
        let tiers = context.tiers();
        let mut store = PaneStore::new(Place::of(context, tiers.clone()), periods, pane);
        let (mut state, mut reached) = (KeyedBackend::new(), i64::MIN);
        if let Some(restored) = context.checkpoints().restored() {
            let mut stored = || -> Result<_, StateError> {
                Ok((store.restore(restored)?, KeyedBackend::restored(restored)?))
            };
            (reached, state) = stored().map_err(|error| cannot("restored", &error))?;
        }
        state = state.with_tiers(tiers);
        let site = context.site();
        let opened = function.open(&mut state, &mut OperatorBackend::new(), context);
        opened.map_err(|error| site.locate(error))?;
        let event_time = assigner.is_event_time();
        let mut panes = Panes {
            selector,
            assigner,
            contents,
            function,
            store,
            walk: None,
            state,
            late: Late::new(late, context),
            emitter: Emitter::new(output),
            clock: context.clock.clone(),
            event_time,
            reached,
            now: i64::MIN,
            ending: false,
        };
        panes.note_next();
        let operator = Self { site, panes };
        Ok(Box::new(Shell::new(operator, context)))
    }
}

impl<T, S, A, C, F> Panes<T, S, A, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    #[inline(always)]
    fn add(&mut self, hash: u64, row: T, timestamp: i64) -> Result<(), TaskError> {
        let Some(rows) = self.store.open_at(timestamp) else {
            return self.add_elsewhere(hash, row, timestamp);
        };
        // The key is part of the row, and the row is consumed: find first, change then.
        let found = self.selector.with(&row, |key| rows.find(hash, key));
        match found.and_then(|position| rows.at_mut(position)) {
            Some(value) => self.contents.add(value, row, timestamp),
            None => {
                let key = self.selector.with(&row, Clone::clone);
                let value = self.contents.first(row, timestamp);
                rows.insert_new(hash, key, value);
            }
        }
        Ok(())
    }

    /// Adds a row to another pane than the last one, or to one of which windows have fired.
    #[cold]
    #[inline(never)]
    fn add_elsewhere(&mut self, hash: u64, row: T, timestamp: i64) -> Result<(), TaskError> {
        if timestamp == NO_TIMESTAMP {
            return Err(TaskError::user(NO_EVENT_TIME));
        }
        let last = self.store.last_end(timestamp);
        if self.late.until(last) <= self.reached {
            self.late.reject(row, timestamp, &mut self.emitter);
            return Ok(());
        }
        self.store.open(timestamp, self.reached);
        let key = self.selector.with(&row, Clone::clone);
        let (fired, rows) = self.store.hot();
        match rows.get_mut(hash, &key) {
            Some(value) => self.contents.add(value, row, timestamp),
            None => {
                let value = self.contents.first(row, timestamp);
                rows.insert_new(hash, key.clone(), value);
            }
        }
        if fired {
            self.fire_again(hash, &key, timestamp)?;
        }
        Ok(())
    }

    /// Fires, for one key, the windows of a late record that have fired already and are still kept.
    fn fire_again(&mut self, hash: u64, key: &S::Key, timestamp: i64) -> Result<(), TaskError> {
        let periods = self.store.periods();
        for start in periods.windows_of(timestamp).map(|window| window.start()) {
            let end = periods.max_timestamp(start);
            if end > self.reached || self.late.until(end) <= self.reached {
                continue;
            }
            let contents = &mut self.contents;
            let merged = self.store.merged(start, hash, key, |value, other| {
                contents.merge(value, other);
            });
            let merged = merged.map_err(unmoved)?;
            let (Some(mut value), Some(window)) = (merged, self.assigner.period(start)) else {
                continue;
            };
            let fired = Fired {
                hash,
                key,
                window: &window,
                watermark: self.reached,
                processing_time: self.now,
            };
            self.function.fire(
                &mut self.contents,
                &mut value,
                fired,
                &mut self.state,
                &mut self.emitter,
            )?;
        }
        Ok(())
    }

    /// The next window to walk through.
    fn next_walk(&mut self) -> Option<Walk<S::Key, C::Value>> {
        let keeps = self.late.is_allowed();
        if let Some(start) = self.store.next_to_fire(self.reached) {
            return Some(self.store.walk(start, true, F::CLEARS && !keeps));
        }
        if F::CLEARS && keeps {
            let start = self
                .store
                .next_to_clear(|end| self.late.until(end) <= self.reached)?;
            return Some(self.store.walk(start, false, true));
        }
        None
    }

    /// Goes on with a walk. Whether it is done.
    fn go_on(&mut self, walk: &mut Walk<S::Key, C::Value>) -> Result<bool, TaskError> {
        let Some(window) = self.assigner.period(walk.start()) else {
            return Ok(true);
        };
        let contents = &mut self.contents;
        self.store
            .prepare(walk, |value, other| contents.merge(value, other));
        self.state.set_processing_time(self.now);
        loop {
            if !self.walk_through(walk, &window)? {
                return Ok(false);
            }
            let contents = &mut self.contents;
            let merge = |value: &mut C::Value, other| contents.merge(value, other);
            if !self.store.advance(walk, merge).map_err(unmoved)? {
                return Ok(true);
            }
        }
    }

    /// Walks through the rows that are in memory. Whether there was room for all of them.
    fn walk_through(
        &mut self,
        walk: &mut Walk<S::Key, C::Value>,
        window: &A::Window,
    ) -> Result<bool, TaskError> {
        let (fires, clears) = (walk.fires(), walk.clears());
        // Elsewhere a timer of each key would have fired.
        let mut timers = 0;
        while let Some((hash, key, value)) = self.store.step(walk) {
            let fired = Fired {
                hash,
                key,
                window,
                watermark: self.reached,
                processing_time: self.now,
            };
            timers += u64::from(fires);
            if fires {
                self.function.fire(
                    &mut self.contents,
                    value,
                    fired,
                    &mut self.state,
                    &mut self.emitter,
                )?;
            }
            if clears {
                self.function
                    .clear(fired, &mut self.state, &mut self.emitter)?;
            }
            if self.emitter.is_full() {
                self.clock.fired(timers);
                return Ok(false);
            }
        }
        self.clock.fired(timers);
        Ok(true)
    }

    fn proceed(&mut self) -> Result<bool, TaskError> {
        if !self.store.is_due(self.reached) && self.walk.is_none() {
            self.store.pass(self.reached);
            return Ok(true);
        }
        while let Some(mut walk) = self.walk.take().or_else(|| self.next_walk()) {
            if !self.go_on(&mut walk)? {
                self.walk = Some(walk);
                return Ok(false);
            }
            self.store.walked(walk);
            self.forget();
        }
        self.store.all_fired(self.reached);
        self.forget();
        self.note_next();
        self.make_room()?;
        Ok(true)
    }

    /// Brings what the panes of rows have of their keys into memory.
    fn fetch(&mut self, batch: &Batch<T>, hashes: &[u64]) -> Result<(), TaskError> {
        if !self.store.is_tiered() {
            return Ok(());
        }
        for ((at, row), hash) in batch.rows.iter().enumerate().zip(hashes) {
            let timestamp = if self.event_time {
                batch.timestamps.get(at).copied().unwrap_or(NO_TIMESTAMP)
            } else {
                self.now
            };
            if timestamp != NO_TIMESTAMP {
                let store = &mut self.store;
                let wanted = self
                    .selector
                    .with(row, |key| store.want(timestamp, *hash, key));
                wanted.map_err(unmoved)?;
            }
        }
        self.store.fetch().map_err(unmoved)
    }

    /// Moves what was not used lately out of memory, if it does not fit.
    fn make_room(&mut self) -> Result<(), TaskError> {
        self.store.make_room().map_err(unmoved)?;
        self.state.make_room().map_err(unmoved)
    }

    /// Finds out when there is something to do next.
    fn note_next(&mut self) {
        let late = &self.late;
        self.store.note_next(self.reached, |end| late.until(end));
        self.ask_for_time();
    }

    /// Drops the panes of which all windows have gone.
    fn forget(&mut self) {
        let (late, reached) = (&self.late, self.reached);
        let cleared = F::CLEARS && late.is_allowed();
        self.store.forget(cleared, |end| late.until(end) <= reached);
    }

    fn ask_for_time(&mut self) {
        if !self.event_time
            && let Some(next) = self.store.next()
        {
            // A time has passed when the next millisecond has begun.
            self.clock.wake_at(next.saturating_add(1));
        }
    }

    fn look_at_clock(&mut self) {
        self.now = self.now.max(self.clock.now());
    }
}

impl<T, S, A, C, F> Windows for PaneOperator<T, S, A, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    type Rows = Batch<T>;
    type Out = F::Out;

    fn rows(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        let Self { site, panes } = self;
        panes.look_at_clock();
        let mut scope = site.scope();
        let mut hashes = take_hashes(batch, &panes.selector);
        panes.fetch(batch, &hashes)?;
        let (event_time, now) = (panes.event_time, panes.now);
        for ((row, timestamp), hash) in batch.drain().zip(&hashes) {
            scope.next();
            let timestamp = if event_time { timestamp } else { now };
            if let Err(error) = panes.add(*hash, row, timestamp) {
                return Err(scope.locate(error));
            }
        }
        drop(scope);
        hashes.clear();
        batch.hashes = hashes;
        panes.make_room()?;
        panes.ask_for_time();
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) {
        if self.panes.event_time {
            self.panes.reached = self.panes.reached.max(watermark);
        }
    }

    fn processing_time(&mut self, now: i64) {
        self.panes.now = self.panes.now.max(now);
        if !self.panes.event_time {
            self.panes.reached = self.panes.now.saturating_sub(1);
        }
    }

    fn end_of_keys(&mut self) {
        self.panes.look_at_clock();
        self.panes.reached = i64::MAX;
        self.panes.ending = true;
    }

    fn proceed(&mut self) -> Result<bool, TaskError> {
        let scope = self.site.scope();
        let done = self.panes.proceed().map_err(|error| scope.locate(error))?;
        drop(scope);
        if done && self.panes.ending {
            self.panes.ending = false;
            self.panes.reached = i64::MIN;
            self.panes.store.reset();
            self.panes.state.clear_all();
        }
        self.panes.ask_for_time();
        Ok(done)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        self.panes.store.snapshot(self.panes.reached, snapshot)?;
        snapshot.keyed(&mut self.panes.state)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        let closed = self.panes.function.close();
        closed.map_err(|error| self.site.locate(error))
    }

    fn emitter(&mut self) -> &mut Emitter<F::Out> {
        &mut self.panes.emitter
    }
}
