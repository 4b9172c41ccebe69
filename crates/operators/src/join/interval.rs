//! The interval join: pairs of records of two streams with equal keys whose event times are not
//! further apart than given. Event time only.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use flott_network::NO_TIMESTAMP;
use flott_record::{Key, Record};
use flott_state::{TimeDomain, ValueState, ValueStateDescriptor};

use crate::keyed::KeySelector;
use crate::process::{
    Call, Either, FunctionResult, KeyedRuntimeContext, Logic, RuntimeContext, Sides, TwoInputs,
};
use crate::{Collector, Output, OutputTag, SubtaskContext, TwoInputSink};

/// Processes the pairs of an interval join.
///
/// Each subtask works with a clone of its own.
pub trait ProcessJoinFunction<L, R>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Called once in each subtask before its first pair.
    ///
    /// # Errors
    /// Fail the task.
    fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
        let _ = cx;
        Ok(())
    }

    /// Called for each pair. What is collected gets the later one of their event times.
    ///
    /// # Errors
    /// Fail the task.
    fn process_element(
        &mut self,
        left: &L,
        right: &R,
        cx: &mut JoinContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called when both inputs have ended, not when the task fails or is cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&mut self) -> FunctionResult {
        Ok(())
    }
}

/// A closure as a [`ProcessJoinFunction`].
pub struct ProcessJoinFn<F, Out> {
    function: F,
    types: PhantomData<fn() -> Out>,
}

impl<F, Out> ProcessJoinFn<F, Out> {
    /// The closure as a function.
    pub fn new(function: F) -> Self {
        Self {
            function,
            types: PhantomData,
        }
    }
}

impl<F: Clone, Out> Clone for ProcessJoinFn<F, Out> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<L, R, Out, F> ProcessJoinFunction<L, R> for ProcessJoinFn<F, Out>
where
    Out: Record,
    F: FnMut(&L, &R, &mut JoinContext<'_>, &mut Collector<'_, Out>) -> FunctionResult
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Out = Out;

    #[inline(always)]
    fn process_element(
        &mut self,
        left: &L,
        right: &R,
        cx: &mut JoinContext<'_>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        (self.function)(left, right, cx, out)
    }
}

/// The context of a [`ProcessJoinFunction`]. All times are milliseconds since the epoch.
pub struct JoinContext<'a> {
    left: i64,
    right: i64,
    sides: &'a mut Sides,
}

impl JoinContext<'_> {
    /// The event time of the left record.
    pub fn left_timestamp(&self) -> i64 {
        self.left
    }

    /// The event time of the right record.
    pub fn right_timestamp(&self) -> i64 {
        self.right
    }

    /// The later one of both.
    pub fn timestamp(&self) -> i64 {
        self.left.max(self.right)
    }

    /// Emits a record to a side output, with the event time of the pair. It is dropped if no stream
    /// reads that side output.
    pub fn output<T: Record>(&mut self, tag: &OutputTag<T>, record: T) {
        self.sides.emit(tag, record, self.left.max(self.right));
    }
}

/// What an interval join does.
pub struct IntervalJoin<A, B> {
    /// The least of what the right time may be after the left one, in milliseconds, inclusive.
    pub lower: i64,
    /// The most, inclusive.
    pub upper: i64,
    /// Where late records of the left stream go; `None`: they are dropped.
    pub late_left: Option<OutputTag<A>>,
    /// Where late records of the right stream go; `None`: they are dropped.
    pub late_right: Option<OutputTag<B>>,
}

impl<A, B> Clone for IntervalJoin<A, B> {
    fn clone(&self) -> Self {
        Self {
            lower: self.lower,
            upper: self.upper,
            late_left: self.late_left.clone(),
            late_right: self.late_right.clone(),
        }
    }
}

/// The records of one key by event time; those of one time in the order of arrival.
type Buffer<T> = BTreeMap<i64, Vec<T>>;

struct Interval<A, B, S, R, F> {
    join: IntervalJoin<A, B>,
    first: S,
    second: R,
    function: F,
    /// Registered when opened.
    buffers: Option<(ValueState<Buffer<A>>, ValueState<Buffer<B>>)>,
}

const OPENED: &str = "buffers are registered before the first record";

impl<A, B, S, R, F> Interval<A, B, S, R, F>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
    F: ProcessJoinFunction<A, B>,
{
    fn left(
        &mut self,
        row: A,
        hash: Option<u64>,
        call: Call<'_, S::Key, F::Out>,
    ) -> FunctionResult {
        let at = event_time(call.element.timestamp)?;
        let (lower, upper) = (self.join.lower, self.join.upper);
        if at < call.host.watermark {
            if let Some(tag) = &self.join.late_left {
                call.sides.emit(tag, row, at);
            }
            return Ok(());
        }
        let (own, other) = self.buffers.expect(OPENED);
        let (mut out, host, sides, _) = call.split();
        crate::process::set_key(&self.first, &row, hash, host);
        if let Some(others) = other.value(&mut host.keyed) {
            for (right_at, rights) in within(others, at, lower, upper) {
                out.set_timestamp(at.max(right_at));
                for right in rights {
                    let mut cx = JoinContext {
                        left: at,
                        right: right_at,
                        sides,
                    };
                    self.function
                        .process_element(&row, right, &mut cx, &mut out)?;
                }
            }
        }
        keep(own, row, at, at.saturating_add(upper), host);
        Ok(())
    }

    fn right(
        &mut self,
        row: B,
        hash: Option<u64>,
        call: Call<'_, S::Key, F::Out>,
    ) -> FunctionResult {
        let at = event_time(call.element.timestamp)?;
        let (lower, upper) = (self.join.lower, self.join.upper);
        if at < call.host.watermark {
            if let Some(tag) = &self.join.late_right {
                call.sides.emit(tag, row, at);
            }
            return Ok(());
        }
        let (other, own) = self.buffers.expect(OPENED);
        let (mut out, host, sides, _) = call.split();
        crate::process::set_key(&self.second, &row, hash, host);
        let (least, most) = (upper.saturating_neg(), lower.saturating_neg());
        if let Some(others) = other.value(&mut host.keyed) {
            for (left_at, lefts) in within(others, at, least, most) {
                out.set_timestamp(at.max(left_at));
                for left in lefts {
                    let mut cx = JoinContext {
                        left: left_at,
                        right: at,
                        sides,
                    };
                    self.function
                        .process_element(left, &row, &mut cx, &mut out)?;
                }
            }
        }
        keep(own, row, at, at.saturating_add(most), host);
        Ok(())
    }
}

/// The rows whose time is at least `at + least` and at most `at + most`.
fn within<T>(
    buffer: &Buffer<T>,
    at: i64,
    least: i64,
    most: i64,
) -> impl Iterator<Item = (i64, &Vec<T>)> {
    let (from, to) = (at.saturating_add(least), at.saturating_add(most));
    // An empty range is no range to a map.
    let range = (from <= to).then(|| buffer.range(from..=to));
    range.into_iter().flatten().map(|(at, rows)| (*at, rows))
}

/// Keeps a row as long as a partner may come: that is not late, and not after `until`.
fn keep<T: Record, K: Key>(
    own: ValueState<Buffer<T>>,
    row: T,
    at: i64,
    until: i64,
    host: &mut crate::process::Host<K>,
) {
    if until < host.watermark {
        return;
    }
    match own.value_mut(&mut host.keyed) {
        Some(buffer) => buffer.entry(at).or_default().push(row),
        None => own.update(&mut host.keyed, BTreeMap::from([(at, vec![row])])),
    }
    host.keyed
        .register_timer(TimeDomain::EventTime, until.saturating_add(1));
}

/// Removes the rows for which no partner can come once the watermark has reached `now`.
fn expire<T: Record, K: Key>(
    own: ValueState<Buffer<T>>,
    most: i64,
    now: i64,
    host: &mut crate::process::Host<K>,
) {
    let Some(buffer) = own.value_mut(&mut host.keyed) else {
        return;
    };
    while let Some(first) = buffer.first_entry()
        && first.key().saturating_add(most) < now
    {
        first.remove();
    }
    if buffer.is_empty() {
        own.clear(&mut host.keyed);
    }
}

fn event_time(timestamp: i64) -> Result<i64, &'static str> {
    if timestamp == NO_TIMESTAMP {
        return Err(
            "the record has no event time, and an interval join needs one: assign timestamps and \
             watermarks to both streams before they are joined",
        );
    }
    Ok(timestamp)
}

impl<A, B, S, R, F> Logic for Interval<A, B, S, R, F>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
    F: ProcessJoinFunction<A, B>,
{
    type Key = S::Key;
    type Row = Either<A, B>;
    type Out = F::Out;
    const KEYED: bool = true;

    fn open(&mut self, mut cx: KeyedRuntimeContext<'_, S::Key>) -> FunctionResult {
        let left = cx.value_state(ValueStateDescriptor::new("left-buffer"))?;
        let right = cx.value_state(ValueStateDescriptor::new("right-buffer"))?;
        self.buffers = Some((left, right));
        self.function.open(&mut cx)
    }

    fn row(
        &mut self,
        row: Either<A, B>,
        hash: Option<u64>,
        call: Call<'_, S::Key, F::Out>,
    ) -> FunctionResult {
        match row {
            Either::First(row) => self.left(row, hash, call),
            Either::Second(row) => self.right(row, hash, call),
        }
    }

    fn timer(&mut self, call: Call<'_, S::Key, F::Out>) -> FunctionResult {
        let (left, right) = self.buffers.expect(OPENED);
        let now = call.element.timestamp;
        expire(left, self.join.upper, now, call.host);
        expire(right, self.join.lower.saturating_neg(), now, call.host);
        Ok(())
    }

    fn close(&mut self) -> FunctionResult {
        self.function.close()
    }
}

/// The operator of an interval join; the selectors are those of the two inputs.
pub fn interval_join<A, B, S, R, F>(
    join: IntervalJoin<A, B>,
    function: F,
    (first, second): (S, R),
    context: &SubtaskContext,
    output: Output<F::Out>,
) -> Box<dyn TwoInputSink<A, B>>
where
    A: Record,
    B: Record,
    S: KeySelector<A>,
    R: KeySelector<B, Key = S::Key>,
    F: ProcessJoinFunction<A, B>,
{
    let logic = Interval {
        join,
        first,
        second,
        function,
        buffers: None,
    };
    Box::new(TwoInputs::new(logic, context, output))
}

#[cfg(test)]
mod tests;
