//! Event time of one subtask: of a source with its splits, or of one place in a stream.

use std::collections::VecDeque;

use flott_network::{Batch, Control, NO_TIMESTAMP};

use super::generator::{BatchGenerator, WatermarkOutput};
use super::idle::IdleTimer;
use super::strategy::{Assigner, WatermarkStrategy};
use crate::blame::Site;
use crate::{SubtaskContext, TaskClock};

/// One split: a partition of the input with a watermark of its own.
struct Part<T> {
    generator: Box<dyn BatchGenerator<T>>,
    output: WatermarkOutput,
    timer: IdleTimer,
    /// Silent for so long that nobody should wait for it.
    silent: bool,
}

impl<T> Part<T> {
    fn is_idle(&self) -> bool {
        self.silent || self.output.is_idle()
    }

    /// How far it is, emitted or not.
    fn reached(&self) -> i64 {
        self.output
            .watermark()
            .max(self.generator.peek().unwrap_or(NO_TIMESTAMP))
    }
}

/// Stamps rows, and merges the watermarks of all splits to that of the subtask: the smallest of
/// those that are not idle, and never one that is smaller than before.
pub struct EventTime<T> {
    strategy: WatermarkStrategy<T>,
    site: Site,
    parts: Vec<Option<Part<T>>>,
    clock: TaskClock,
    /// Milliseconds between ticks; 0: none.
    interval: i64,
    next_tick: Option<i64>,
    /// Rows came since the last tick.
    rows_came: bool,
    /// Something may have to be said.
    changed: bool,
    /// How far it has come.
    emitted: i64,
    /// The last watermark that the chain was told.
    told: i64,
    /// Whether the chain was told to ignore it.
    idle: bool,
    /// While there is no split at all.
    no_split: IdleTimer,
    no_split_idle: bool,
    ingested: i64,
    /// In BATCH mode rows get their times, and event time is over when the input is.
    batch_mode: bool,
}

impl<T: 'static> EventTime<T> {
    /// As the strategy says; `auto_watermark_interval_ms`: `pipeline.auto-watermark-interval`.
    pub fn new(
        strategy: WatermarkStrategy<T>,
        auto_watermark_interval_ms: i64,
        context: &SubtaskContext,
    ) -> Self {
        let interval = match strategy.idleness_ms() {
            // Nothing ever changes by itself.
            None if !strategy.has_watermarks() => 0,
            Some(idleness) if auto_watermark_interval_ms <= 0 => (idleness / 4).max(1),
            None | Some(_) => auto_watermark_interval_ms.max(0),
        };
        Self {
            no_split: IdleTimer::new(strategy.idleness_ms(), interval),
            strategy,
            site: context.site(),
            parts: Vec::new(),
            clock: context.clock.clone(),
            interval,
            next_tick: None,
            rows_came: false,
            changed: false,
            emitted: NO_TIMESTAMP,
            told: NO_TIMESTAMP,
            idle: false,
            no_split_idle: false,
            ingested: NO_TIMESTAMP,
            batch_mode: context.batch_mode,
        }
    }

    /// A split begins; its rows are told by the number that is returned.
    pub fn add_split(&mut self) -> usize {
        let part = self.strategy.generator().map(|generator| Part {
            generator,
            output: WatermarkOutput::default(),
            timer: IdleTimer::new(self.strategy.idleness_ms(), self.interval),
            silent: false,
        });
        let free = self.parts.iter().position(Option::is_none);
        let at = free.unwrap_or(self.parts.len());
        if at == self.parts.len() {
            self.parts.push(None);
        }
        self.parts[at] = part;
        self.no_split_idle = false;
        self.begin();
        at
    }

    /// A split has ended: nobody waits for its watermark any more.
    pub fn remove_split(&mut self, split: usize) {
        let Some(part) = self.parts.get_mut(split).and_then(Option::take) else {
            return;
        };
        if self.live().next().is_none() {
            // As far as the last one came: what follows it begins there.
            let mut part = part;
            part.generator.periodic(&mut part.output);
            self.advance(part.output.watermark());
            self.no_split = IdleTimer::new(self.strategy.idleness_ms(), self.interval);
            self.begin();
        }
        self.changed = true;
    }

    /// Gives rows of a split their event times.
    pub fn rows(&mut self, split: usize, batch: &mut Batch<T>) {
        if batch.is_empty() {
            return;
        }
        match self.strategy.assigner() {
            Assigner::Keep => (),
            Assigner::Custom(stamp) => stamp(batch, &mut self.site),
            Assigner::Ingestion => {
                self.ingested = self.ingested.max(self.clock.now());
                batch.timestamps.clear();
                batch.timestamps.resize(batch.rows.len(), self.ingested);
            }
        }
        if self.batch_mode {
            return;
        }
        let Some(Some(part)) = self.parts.get_mut(split) else {
            return;
        };
        let before = part.output;
        part.output.mark_active();
        part.generator.observe(batch, &mut part.output);
        part.timer.came();
        part.silent = false;
        self.changed |= part.output != before;
        if !std::mem::replace(&mut self.rows_came, true) {
            self.begin();
        }
    }

    /// What must precede the rows of the last call of [`EventTime::rows`].
    pub fn before(&mut self) -> Option<Control> {
        let back = self.idle && self.rows_came && !self.is_idle();
        if back {
            self.idle = false;
        }
        back.then_some(Control::Active)
    }

    /// Processing time has come so far.
    pub fn tick(&mut self, now: i64, held: impl Fn(usize) -> bool) {
        match self.next_tick {
            Some(at) if now >= at => self.next_tick = None,
            Some(at) => return self.clock.wake_at(at),
            None => return,
        }
        self.rows_came = false;
        let mut again = false;
        for (index, part) in self.parts.iter_mut().enumerate() {
            let Some(part) = part else { continue };
            part.generator.periodic(&mut part.output);
            if held(index) {
                part.timer.held(now);
                again |= part.timer.runs();
                continue;
            }
            part.silent = part.timer.tick(now);
            again |= part.timer.runs();
        }
        if self.live().next().is_none() {
            self.no_split_idle = self.no_split.tick(now);
            again |= self.no_split.runs();
        }
        self.changed = true;
        if again {
            self.ask(now);
        }
    }

    /// Appends what is to be said behind the rows so far.
    pub fn controls(&mut self, out: &mut VecDeque<Control>) {
        if self.batch_mode || !std::mem::take(&mut self.changed) {
            return;
        }
        let idle = self.is_idle();
        if self.idle && !idle {
            self.idle = false;
            out.push_back(Control::Active);
        }
        let watermark = self.live().filter(|part| !part.is_idle());
        if let Some(watermark) = watermark.map(|part| part.output.watermark()).min() {
            self.advance(watermark);
        }
        if self.told < self.emitted {
            self.told = self.emitted;
            out.push_back(Control::Watermark(self.emitted));
        }
        if idle && !self.idle {
            self.idle = true;
            out.push_back(Control::Idle);
        }
    }

    /// The end of the input follows: what the chain was told to ignore counts again.
    pub fn end(&mut self, out: &mut VecDeque<Control>) {
        if std::mem::take(&mut self.idle) {
            out.push_back(Control::Active);
        }
    }

    /// How far the subtask is, emitted or not; `i64::MAX` while it is idle.
    pub fn reached(&self) -> i64 {
        if self.is_idle() {
            return i64::MAX;
        }
        let parts = self.live().filter(|part| !part.is_idle());
        parts
            .map(Part::reached)
            .min()
            .unwrap_or(self.emitted)
            .max(self.emitted)
    }

    /// How far a split is, emitted or not; [`NO_TIMESTAMP`] while it is idle.
    pub fn reached_by(&self, split: usize) -> i64 {
        match self.parts.get(split) {
            Some(Some(part)) if !part.is_idle() => part.reached(),
            _ => NO_TIMESTAMP,
        }
    }

    fn live(&self) -> impl Iterator<Item = &Part<T>> {
        self.parts.iter().flatten()
    }

    fn is_idle(&self) -> bool {
        let mut live = self.live().peekable();
        match live.peek() {
            None => self.no_split_idle,
            Some(_) => live.all(Part::is_idle),
        }
    }

    fn advance(&mut self, watermark: i64) {
        self.emitted = self.emitted.max(watermark);
    }

    /// Has the next tick come, if none is under way.
    fn begin(&mut self) {
        if self.next_tick.is_none() && !self.batch_mode {
            self.ask(self.clock.now());
        }
    }

    fn ask(&mut self, now: i64) {
        if self.interval > 0 {
            let at = now.saturating_add(self.interval);
            self.next_tick = Some(at);
            self.clock.wake_at(at);
        }
    }
}
