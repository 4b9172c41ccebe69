//! The operator: starts calls, keeps their order or at least their side of each watermark, takes no
//! more rows than may be under way, and emits what comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flott_network::{Batch, Control};
use flott_record::Record;

use super::call::{Ended, Outcome, Running, start};
use super::{AsyncFunction, AsyncOptions};
use crate::blame::Site;
use crate::checkpoint::cannot;
use crate::process::{RuntimeContext, user_error};
use crate::{BatchSink, Collect, OperatorCheckpoints, Output, SubtaskContext, TaskError};

/// The state: records whose results were not out.
const UNDER_WAY: &str = "under-way";

/// In which order results are emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsyncOrder {
    /// In the order of the records.
    Ordered,
    /// As they come, but never across a watermark.
    Unordered,
}

enum State<Out> {
    Running {
        _call: Running,
    },
    Ended(Outcome<Out>),
    /// Its results are out.
    Gone,
}

/// A record under way.
struct Entry<In, Out> {
    /// Kept for the case that it takes too long, until its results are out.
    input: Option<In>,
    timestamp: i64,
    /// Position in the input, for messages.
    record: u64,
    state: State<Out>,
}

enum Waiting<In> {
    Row(In, i64),
    Control(Control),
}

struct Async<In, F: AsyncFunction<In>> {
    function: Arc<F>,
    checkpoints: OperatorCheckpoints,
    opened: bool,
    order: AsyncOrder,
    options: AsyncOptions<F::Out>,
    context: SubtaskContext,
    site: Site,
    output: Output<F::Out>,
    /// What has come while there was no capacity, in order.
    waiting: VecDeque<Waiting<In>>,
    /// Records under way; the first has the number `first`.
    entries: VecDeque<Entry<In, F::Out>>,
    first: u64,
    /// Control elements behind the records before that number.
    controls: VecDeque<(u64, Control)>,
    ended: Arc<Ended<F::Out>>,
    arrived: Vec<(u64, Outcome<F::Out>)>,
    /// Unordered: ended calls in the order of their end that are not emitted yet.
    ready: VecDeque<u64>,
    /// The end of the input has come.
    ending: bool,
}

/// The operator of an [`AsyncFunction`].
pub fn async_wait<In, F>(
    function: F,
    order: AsyncOrder,
    options: AsyncOptions<F::Out>,
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn BatchSink<In>>
where
    In: Record,
    F: AsyncFunction<In>,
{
    Box::new(Async {
        function: Arc::new(function),
        checkpoints: context.checkpoints(),
        opened: false,
        order,
        options,
        site: context.site(),
        ended: Ended::new(context.waker.clone()),
        context: context.clone(),
        output,
        waiting: VecDeque::new(),
        entries: VecDeque::new(),
        first: 0,
        controls: VecDeque::new(),
        arrived: Vec::new(),
        ready: VecDeque::new(),
        ending: false,
    })
}

impl<In: Record, F: AsyncFunction<In>> Async<In, F> {
    fn open(&mut self) -> Result<(), TaskError> {
        if std::mem::replace(&mut self.opened, true) {
            return Ok(());
        }
        if let Some(restored) = self.checkpoints.restored() {
            let rows: Vec<(In, i64)> = restored
                .list(UNDER_WAY)
                .map_err(|error| cannot("restored", &error))?;
            let rows = rows.into_iter();
            self.waiting
                .extend(rows.map(|(row, timestamp)| Waiting::Row(row, timestamp)));
        }
        let scope = self.site.scope();
        let mut function = (*self.function).clone();
        let mut state = flott_state::OperatorBackend::new();
        let opened = function.open(&mut RuntimeContext::new(&self.context, &mut state));
        opened.map_err(|error| scope.locate(user_error(&*error)))?;
        self.function = Arc::new(function);
        Ok(())
    }

    fn has_capacity(&self) -> bool {
        self.entries.len() < self.options.capacity
    }

    /// Starts the call of a row.
    fn begin(&mut self, input: In, timestamp: i64) {
        let mut scope = self.site.scope();
        scope.next();
        let record = scope.record();
        drop(scope);
        let number = self.first + self.entries.len() as u64;
        let running = start(
            &self.function,
            &self.options,
            (number, input.clone()),
            &self.ended,
            &self.context,
        );
        self.entries.push_back(Entry {
            input: Some(input),
            timestamp,
            record,
            state: State::Running { _call: running },
        });
    }

    /// Takes in what waits, as far as there is capacity.
    fn take_waiting(&mut self) {
        while let Some(next) = self.waiting.front() {
            if matches!(next, Waiting::Row(..)) && !self.has_capacity() {
                return;
            }
            match self.waiting.pop_front() {
                Some(Waiting::Row(row, timestamp)) => self.begin(row, timestamp),
                Some(Waiting::Control(control)) => self.queue_control(control),
                None => return,
            }
        }
    }

    fn queue_control(&mut self, control: Control) {
        let behind = self.first + self.entries.len() as u64;
        self.controls.push_back((behind, control));
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry<In, F::Out>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    /// Takes in the outcomes of calls. Whether there were some.
    fn take_outcomes(&mut self) -> bool {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.ended.take(&mut arrived);
        let some = !arrived.is_empty();
        for (number, outcome) in arrived.drain(..) {
            self.outcome(number, outcome);
        }
        self.arrived = arrived;
        some
    }

    fn outcome(&mut self, number: u64, outcome: Outcome<F::Out>) {
        if let Some(entry) = self.entry(number) {
            entry.state = State::Ended(outcome);
            if self.order == AsyncOrder::Unordered {
                self.ready.push_back(number);
            }
        }
    }

    /// Emits what may be emitted as long as there is room.
    fn emit(&mut self) -> Result<(), TaskError> {
        while !self.output.is_full() {
            let end = self.first + self.entries.len() as u64;
            let limit = self.controls.front().map_or(end, |(behind, _)| *behind);
            while let Some(Entry {
                state: State::Gone, ..
            }) = self.entries.front()
            {
                self.entries.pop_front();
                self.first += 1;
            }
            if let Some(number) = self.next_ready(limit) {
                self.emit_results(number)?;
                continue;
            }
            if self.first < limit {
                break;
            }
            match self.controls.pop_front() {
                None => break,
                Some((_, control)) => self.pass(control)?,
            }
        }
        self.output.hand_on()
    }

    /// The next call before `limit` whose results can be emitted.
    fn next_ready(&mut self, limit: u64) -> Option<u64> {
        match self.order {
            AsyncOrder::Ordered => {
                let first = self.entries.front()?;
                let ended = matches!(first.state, State::Ended(_));
                (ended && self.first < limit).then_some(self.first)
            }
            AsyncOrder::Unordered => {
                let at = self.ready.iter().position(|number| *number < limit)?;
                self.ready.remove(at)
            }
        }
    }

    fn emit_results(&mut self, number: u64) -> Result<(), TaskError> {
        let Some(entry) = self.entry(number) else {
            return Ok(());
        };
        let (timestamp, record) = (entry.timestamp, entry.record);
        let State::Ended(outcome) = std::mem::replace(&mut entry.state, State::Gone) else {
            return Ok(());
        };
        let Some(input) = entry.input.take() else {
            return Ok(());
        };
        let result = match outcome {
            Outcome::Done(result) => result.map_err(|error| user_error(&*error)),
            Outcome::TimedOut => {
                // For the case that it panics.
                let scope = self.site.scope();
                let result = self.function.timeout(input);
                drop(scope);
                let timeout = self.options.timeout;
                result.map_err(|error| timed_out(user_error(&*error), timeout))
            }
        };
        let rows = result.map_err(|error| self.site.locate_at(record, error))?;
        for row in rows {
            self.output.collect(row, timestamp);
        }
        Ok(())
    }

    fn pass(&mut self, control: Control) -> Result<(), TaskError> {
        if control == Control::End {
            let scope = self.site.scope();
            let closed = self.function.close();
            closed.map_err(|error| scope.locate(user_error(&*error)))?;
        }
        self.output.control(control)
    }

    /// What is under way at a barrier is called again after a restore: its results are behind the
    /// barrier, which waits for nothing.
    fn pass_barrier(&mut self, barrier: Control) -> Result<(), TaskError> {
        let under_way = self.entries.iter().filter_map(|entry| {
            let input = entry.input.as_ref()?;
            Some((input.clone(), entry.timestamp))
        });
        let rows: Vec<(In, i64)> = under_way.collect();
        if !rows.is_empty() {
            self.checkpoints
                .snapshot(|snapshot| snapshot.list(UNDER_WAY, &rows))?;
        }
        self.output.control(barrier)
    }

    fn is_drained(&self) -> bool {
        self.entries.is_empty() && self.controls.is_empty()
    }
}

#[cold]
fn timed_out(mut error: TaskError, timeout: Duration) -> TaskError {
    error.message = format!("{} ({timeout:?})", error.message);
    error
}

impl<In: Record, F: AsyncFunction<In>> BatchSink<In> for Async<In, F> {
    fn batch(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        self.open()?;
        let rows = batch.drain();
        self.waiting
            .extend(rows.map(|(row, timestamp)| Waiting::Row(row, timestamp)));
        self.take_waiting();
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.open()?;
        // There was room before: nothing waits to be started.
        if let Control::Barrier(_) = control {
            return self.pass_barrier(control);
        }
        self.ending |= control == Control::End;
        self.waiting.push_back(Waiting::Control(control));
        self.take_waiting();
        self.emit()
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.open()?;
        let mut emitted = false;
        loop {
            if !self.output.settle()? {
                return Ok(false);
            }
            emitted |= self.take_outcomes();
            self.emit()?;
            let waiting = self.waiting.len();
            self.take_waiting();
            if self.output.is_full() || self.waiting.len() != waiting {
                continue;
            }
            // Whatever is under way wakes the task when it ends.
            let room = self.waiting.is_empty() && self.has_capacity();
            let settled = room && (!self.ending || self.is_drained());
            // Nothing came in that would make the task flush what has been emitted.
            if emitted && settled {
                // Its clock does.
                self.context.clock.wake_at(self.context.clock.now());
            } else if emitted {
                self.output.flush()?;
                self.output.settle()?;
            }
            return Ok(settled);
        }
    }
}
