//! Runs a function: feeds it rows and timers in order, stops when there is no room downstream and
//! goes on later, and says where an error was met.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flott_network::{Batch, Control, Waker};
use flott_record::{Key, Record};
use flott_state::TimeDomain;

use super::context::Element;
use super::function::{FunctionResult, user_error};
use super::host::{Either, Host};
use super::runtime::{KeyedRuntimeContext, RuntimeContext};
use super::sides::Sides;
use crate::blame::{Scope, Site};
use crate::checkpoint::unmoved;
use crate::{
    BatchSink, Collect, Collector, OperatorCheckpoints, Output, SubtaskContext, TaskError,
    TwoInputSink,
};

/// A round of timers gives way to other tasks after so long; looked at after so many timers.
const SLICE: Duration = Duration::from_millis(1);
const TIMERS_PER_LOOK: u32 = 64;

/// A function with its inputs, as the driver calls it.
pub(crate) trait Logic: Send {
    /// `()` if the operator has no keys.
    type Key: Key;
    type Row: Send;
    type Out: Record;
    /// Whether there are timers; others pass all control elements on at once.
    const KEYED: bool;

    fn open(&mut self, cx: KeyedRuntimeContext<'_, Self::Key>) -> FunctionResult;

    /// A row; `hash` is the stable hash of its key, if the writer sent it along.
    fn row(
        &mut self,
        row: Self::Row,
        hash: Option<u64>,
        call: Call<'_, Self::Key, Self::Out>,
    ) -> FunctionResult;

    /// A timer of the current key.
    fn timer(&mut self, call: Call<'_, Self::Key, Self::Out>) -> FunctionResult {
        let _ = call;
        Ok(())
    }

    fn close(&mut self) -> FunctionResult;
}

/// What one call of a function works with.
pub(crate) struct Call<'a, K: Key, Out> {
    pub(crate) host: &'a mut Host<K>,
    pub(crate) sides: &'a mut Sides,
    pub(crate) output: &'a mut Output<Out>,
    pub(crate) element: Element,
}

impl<'a, K: Key, Out: Record> Call<'a, K, Out> {
    /// What the function emits to, and what its context is made of.
    #[inline(always)]
    pub(crate) fn split(self) -> (Collector<'a, Out>, &'a mut Host<K>, &'a mut Sides, Element) {
        let collector = Collector::new(self.output, self.element.emit);
        (collector, self.host, self.sides, self.element)
    }
}

enum Waiting<Row> {
    Row {
        input: usize,
        row: Row,
        timestamp: i64,
        hash: Option<u64>,
    },
    Control(Control),
    Time(i64),
}

/// Timers that fire until none is due, and what is passed on then.
#[derive(Clone, Copy)]
enum Round {
    Watermark(i64),
    Time(i64),
    /// BATCH: of keys of which all rows have come; the end of all follows if that is so.
    Keys {
        end: bool,
    },
}

#[derive(PartialEq)]
enum Progress {
    Done,
    NoRoom,
    /// There is more to do, but others want to run too.
    Yield,
}

pub(crate) struct Driver<L: Logic> {
    logic: L,
    host: Host<L::Key>,
    output: Output<L::Out>,
    sides: Sides,
    sites: [Site; 2],
    /// What has come and must wait, in order.
    waiting: VecDeque<Waiting<L::Row>>,
    round: Option<Round>,
    /// Until the function is opened.
    opening: Option<SubtaskContext>,
    batch_mode: bool,
    waker: Waker,
    checkpoints: OperatorCheckpoints,
}

impl<L: Logic> Driver<L> {
    fn new(
        logic: L,
        sites: [Site; 2],
        context: &SubtaskContext,
        mut output: Output<L::Out>,
    ) -> Self {
        Self {
            logic,
            host: Host::new(context.clock.clone()),
            sides: output.take_sides(),
            output,
            sites,
            waiting: VecDeque::new(),
            round: None,
            opening: Some(context.clone()),
            batch_mode: context.batch_mode,
            waker: context.waker.clone(),
            checkpoints: context.checkpoints(),
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.round.is_none()
    }

    /// Opens the function, once, in the task itself: what it does wrong is told like all else.
    #[inline]
    fn open(&mut self) -> Result<(), TaskError> {
        match self.opening.take() {
            None => Ok(()),
            Some(context) => self.open_in(&context),
        }
    }

    #[cold]
    fn open_in(&mut self, context: &SubtaskContext) -> Result<(), TaskError> {
        let tiers = if L::KEYED { context.tiers() } else { None };
        self.host.restore(&self.checkpoints, tiers)?;
        let scope = self.sites[0].scope();
        self.host.keyed.set_processing_time(self.host.clock.now());
        let runtime = RuntimeContext::new(context, &mut self.host.operator);
        let cx = KeyedRuntimeContext::new(runtime, &mut self.host.keyed);
        let opened = self.logic.open(cx);
        opened.map_err(|error| scope.locate(user_error(&*error)))
    }

    /// The rows of a batch of one input; those for which there is no room wait.
    #[inline(always)]
    fn feed<T>(
        &mut self,
        input: usize,
        batch: &mut Batch<T>,
        row_of: impl Fn(T) -> L::Row,
    ) -> Result<(), TaskError> {
        self.open()?;
        let mut hashes = std::mem::take(&mut batch.hashes);
        if hashes.len() != batch.rows.len() {
            hashes.clear();
        }
        let idle = self.is_idle();
        self.host.keyed.set_processing_time(self.host.clock.now());
        let mut known = hashes.iter().copied();
        let mut rows = batch.drain();
        if idle {
            let mut scope = self.sites[input].scope();
            for (row, timestamp) in rows.by_ref() {
                let call = Call {
                    host: &mut self.host,
                    sides: &mut self.sides,
                    output: &mut self.output,
                    element: Element::record(timestamp),
                };
                run_row(&mut self.logic, &mut scope, row_of(row), known.next(), call)?;
                if self.output.is_full() || self.sides.is_full() {
                    break;
                }
            }
        }
        for (row, timestamp) in rows {
            self.waiting.push_back(Waiting::Row {
                input,
                row: row_of(row),
                timestamp,
                hash: known.next(),
            });
        }
        hashes.clear();
        batch.hashes = hashes;
        self.host.keyed.make_room().map_err(unmoved)?;
        self.hand_on()
    }

    fn hand_on(&mut self) -> Result<(), TaskError> {
        self.sides.hand_on()?;
        self.output.hand_on()
    }

    fn is_full(&self) -> bool {
        self.output.is_full() || self.sides.is_full()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.open()?;
        self.waiting.push_back(Waiting::Control(control));
        self.go_on()
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.open()?;
        // BATCH: timers fire when their keys have ended.
        if !L::KEYED || self.batch_mode {
            return self.pass_time(now);
        }
        self.waiting.push_back(Waiting::Time(now));
        self.go_on()
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.hand_on()?;
        self.sides.flush()?;
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.open()?;
        loop {
            // Both are asked: each must know that somebody waits for room.
            let room = self.sides.settle()? & self.output.settle()?;
            if !room {
                return Ok(false);
            }
            if self.is_idle() {
                return Ok(true);
            }
            if self.advance()? == Progress::Yield {
                self.waker.wake();
                return Ok(false);
            }
        }
    }

    /// Does what can be done now; the rest is done in `settle`.
    fn go_on(&mut self) -> Result<(), TaskError> {
        if self.advance()? == Progress::Yield {
            self.waker.wake();
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Progress, TaskError> {
        self.host.keyed.set_processing_time(self.host.clock.now());
        let progress = self.work()?;
        self.host.keyed.make_room().map_err(unmoved)?;
        self.hand_on()?;
        Ok(progress)
    }

    fn work(&mut self) -> Result<Progress, TaskError> {
        loop {
            if let Some(round) = self.round {
                match self.fire(round)? {
                    Progress::Done => self.end_round(round)?,
                    other => return Ok(other),
                }
            }
            if self.is_full() {
                return Ok(Progress::NoRoom);
            }
            match self.waiting.pop_front() {
                None => return Ok(Progress::Done),
                Some(Waiting::Control(control)) => self.begin(control)?,
                Some(Waiting::Time(now)) => self.round = Some(Round::Time(now)),
                Some(Waiting::Row {
                    input,
                    row,
                    timestamp,
                    hash,
                }) => {
                    let mut scope = self.sites[input].scope();
                    let call = Call {
                        host: &mut self.host,
                        sides: &mut self.sides,
                        output: &mut self.output,
                        element: Element::record(timestamp),
                    };
                    run_row(&mut self.logic, &mut scope, row, hash, call)?;
                }
            }
        }
    }

    fn begin(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            // BATCH: keys end one after the other; before that there is no event time.
            Control::Watermark(watermark)
                if L::KEYED && self.batch_mode && watermark != i64::MAX =>
            {
                Ok(())
            }
            Control::Watermark(watermark) => {
                self.host.watermark = watermark;
                if L::KEYED {
                    self.round = Some(Round::Watermark(watermark));
                    return Ok(());
                }
                self.pass_control(control)
            }
            Control::KeysEnd if L::KEYED => {
                self.begin_keys_end(false);
                Ok(())
            }
            Control::End if L::KEYED && self.batch_mode => {
                self.begin_keys_end(true);
                Ok(())
            }
            Control::End => self.end(),
            Control::Barrier(_) => {
                let host = &mut self.host;
                self.checkpoints
                    .snapshot(|snapshot| host.snapshot(snapshot))?;
                self.pass_control(control)
            }
            Control::KeysEnd | Control::Idle | Control::Active | Control::Marker(_) => {
                self.pass_control(control)
            }
        }
    }

    fn begin_keys_end(&mut self, end: bool) {
        self.host.watermark = i64::MAX;
        self.host.ending = true;
        self.round = Some(Round::Keys { end });
    }

    /// Fires the timers of a round that are due.
    fn fire(&mut self, round: Round) -> Result<Progress, TaskError> {
        let started = Instant::now();
        let mut scope = self.sites[0].scope();
        let mut fired = 0_u32;
        loop {
            if self.output.is_full() || self.sides.is_full() {
                return Ok(Progress::NoRoom);
            }
            if fired == TIMERS_PER_LOOK {
                fired = 0;
                if started.elapsed() >= SLICE {
                    return Ok(Progress::Yield);
                }
            }
            let keyed = &mut self.host.keyed;
            let (domain, due) = match round {
                Round::Watermark(watermark) => {
                    let due = keyed.next_due(TimeDomain::EventTime, watermark);
                    (TimeDomain::EventTime, due)
                }
                Round::Time(now) => {
                    let due = keyed.next_due(TimeDomain::ProcessingTime, now);
                    (TimeDomain::ProcessingTime, due)
                }
                Round::Keys { .. } => match keyed.next_due(TimeDomain::EventTime, i64::MAX) {
                    Some(timestamp) => (TimeDomain::EventTime, Some(timestamp)),
                    None => {
                        let due = keyed.next_due(TimeDomain::ProcessingTime, i64::MAX);
                        (TimeDomain::ProcessingTime, due)
                    }
                },
            };
            let Some(timestamp) = due else {
                return Ok(Progress::Done);
            };
            scope.at_timer(timestamp);
            fired += 1;
            self.host.clock.fired(1);
            let called = self.logic.timer(Call {
                host: &mut self.host,
                sides: &mut self.sides,
                output: &mut self.output,
                element: Element::timer(domain, timestamp),
            });
            called.map_err(|error| scope.locate(user_error(&*error)))?;
        }
    }

    fn end_round(&mut self, round: Round) -> Result<(), TaskError> {
        self.round = None;
        match round {
            Round::Watermark(watermark) => self.pass_control(Control::Watermark(watermark)),
            Round::Time(now) => {
                self.host.ask_for_time();
                self.pass_time(now)
            }
            Round::Keys { end } => {
                self.host.keyed.clear_all();
                self.host.ending = false;
                if end {
                    return self.end();
                }
                self.host.watermark = i64::MIN;
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), TaskError> {
        let scope = self.sites[0].scope();
        let closed = self.logic.close();
        closed.map_err(|error| scope.locate(user_error(&*error)))?;
        drop(scope);
        self.pass_control(Control::End)
    }

    fn pass_control(&mut self, control: Control) -> Result<(), TaskError> {
        self.sides.control(control)?;
        self.output.control(control)
    }

    fn pass_time(&mut self, now: i64) -> Result<(), TaskError> {
        self.sides.time(now)?;
        self.output.time(now)
    }
}

#[inline(always)]
fn run_row<L: Logic>(
    logic: &mut L,
    scope: &mut Scope<'_>,
    row: L::Row,
    hash: Option<u64>,
    call: Call<'_, L::Key, L::Out>,
) -> Result<(), TaskError> {
    scope.next();
    let called = logic.row(row, hash, call);
    called.map_err(|error| scope.locate(user_error(&*error)))
}

/// A function with one input at its place in a chain.
pub(crate) struct OneInput<L: Logic>(Driver<L>);

impl<L: Logic> OneInput<L> {
    pub(crate) fn new(logic: L, context: &SubtaskContext, output: Output<L::Out>) -> Self {
        let sites = [context.site(), context.site()];
        Self(Driver::new(logic, sites, context, output))
    }
}

impl<L: Logic> BatchSink<L::Row> for OneInput<L> {
    fn batch(&mut self, batch: &mut Batch<L::Row>) -> Result<(), TaskError> {
        self.0.feed(0, batch, |row| row)
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.0.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.0.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.0.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.0.settle()
    }
}

/// A function with two inputs, at the head of its task.
pub(crate) struct TwoInputs<L: Logic>(Driver<L>);

impl<L: Logic> TwoInputs<L> {
    pub(crate) fn new(logic: L, context: &SubtaskContext, output: Output<L::Out>) -> Self {
        let sites = ["first", "second"].map(|input| context.site().of_input(input));
        Self(Driver::new(logic, sites, context, output))
    }

    /// Rows in all keyed states.
    #[cfg(test)]
    pub(crate) fn rows_of_states(&self) -> usize {
        self.0.host.keyed.states().map(|(_, rows)| rows).sum()
    }
}

impl<A: Record, B: Record, L: Logic<Row = Either<A, B>>> TwoInputSink<A, B> for TwoInputs<L> {
    fn batch1(&mut self, batch: &mut Batch<A>) -> Result<(), TaskError> {
        self.0.feed(0, batch, Either::First)
    }

    fn batch2(&mut self, batch: &mut Batch<B>) -> Result<(), TaskError> {
        self.0.feed(1, batch, Either::Second)
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.0.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.0.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.0.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.0.settle()
    }
}
