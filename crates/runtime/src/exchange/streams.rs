//! Pipelined inputs of a task: one input of one type, or two inputs of two types.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flott_model::CheckpointId;
use flott_network::{Barrier, Control};
use flott_operators::checkpoint::InFlight;
use flott_operators::{BatchSink, TaskCounters, TaskError, TwoInputSink};
use flott_record::Record;

use super::inputs::{Channels, InputChannel, Received};
use super::merge::{Event, Merge};
use super::tap::{AllTaps, NoTaps};

/// The inputs of a task with the head of its chain: what a [`super::Gate`] drives. Rows are received
/// only when none wait.
pub trait InputSet: Send {
    /// Takes the next element there is: rows wait until they are fed, what else happened is appended
    /// to `events`. Whether there was something.
    fn receive(&mut self, events: &mut VecDeque<Event>) -> Result<bool, TaskError>;
    /// Whether rows wait.
    fn has_rows(&self) -> bool;
    /// Gives about a millisecond's worth of the waiting rows to the head.
    fn feed(&mut self) -> Result<(), TaskError>;
    /// Tells the head.
    fn event(&mut self, event: Event) -> Result<(), TaskError>;
    /// The barrier that has come on some channels and not on others.
    fn aligning(&self) -> Option<Barrier>;
    /// The checkpoint was given up: channels that wait for its barriers go on.
    fn abort_barrier(&mut self, checkpoint: CheckpointId);
    /// Takes the barriers that overtake rows, as far as they have come. One that will overtake them after
    /// a while.
    fn look(&mut self, events: &mut VecDeque<Event>) -> Option<Barrier>;
    /// Begins a checkpoint whose barrier overtakes rows: no channel will bring it, or it waits no longer
    /// between the rows. Whether it has begun.
    fn overtake(&mut self, barrier: Barrier, start: Start, events: &mut VecDeque<Event>) -> bool;
    /// The head gives back what it has not begun with.
    fn take_back(&mut self);
    /// Copies what the barrier overtakes: the head is told it now.
    fn snapshot(&mut self, barrier: Barrier);
    /// What the barrier overtook, and the bytes that were processed meanwhile, once it has come on all
    /// channels.
    fn take_overtaken(&mut self) -> Option<(Vec<InFlight>, u64)>;
    /// Channels go on behind their barrier from now on.
    fn go_on_after_barriers(&mut self);
    /// See [`BatchSink::time`].
    fn time(&mut self, now: i64) -> Result<(), TaskError>;
    /// See [`BatchSink::flush`].
    fn flush(&mut self) -> Result<(), TaskError>;
    /// See [`BatchSink::settle`].
    fn settle(&mut self) -> Result<bool, TaskError>;
}

/// Why a barrier overtakes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It begins here.
    Here,
    /// It was between the rows, and has waited for long enough.
    Late,
}

/// Implements what all sets of inputs do alike.
macro_rules! overtaking {
    () => {
        fn look(&mut self, events: &mut VecDeque<Event>) -> Option<Barrier> {
            self.taps(&mut NoTaps::default()).look(events)
        }

        fn overtake(
            &mut self,
            barrier: Barrier,
            start: Start,
            events: &mut VecDeque<Event>,
        ) -> bool {
            let mut none = NoTaps::default();
            let mut taps = self.taps(&mut none);
            match start {
                Start::Here => taps.merge.overtake(None, barrier, events),
                Start::Late => taps.hurry(barrier, events),
            }
        }

        fn snapshot(&mut self, barrier: Barrier) {
            self.taps(&mut NoTaps::default()).snapshot(barrier);
        }

        fn take_overtaken(&mut self) -> Option<(Vec<InFlight>, u64)> {
            self.told?;
            self.taps(&mut NoTaps::default()).take()
        }

        fn abort_barrier(&mut self, checkpoint: CheckpointId) {
            self.taps(&mut NoTaps::default()).abort(checkpoint);
        }
    };
}

/// One input.
pub struct OneInput<T> {
    channels: Channels<T>,
    merge: Merge,
    next: usize,
    /// The barrier that overtakes rows, once the head was told.
    told: Option<Barrier>,
    head: Box<dyn BatchSink<T>>,
}

impl<T: Record> OneInput<T> {
    /// The channels in front of `head`.
    pub fn new(
        channels: Vec<InputChannel<T>>,
        head: Box<dyn BatchSink<T>>,
        counters: Arc<TaskCounters>,
    ) -> Self {
        let channels = Channels::new(channels, counters);
        Self {
            merge: Merge::with_keys(channels.keyed()),
            channels,
            next: 0,
            told: None,
            head,
        }
    }

    fn taps<'a>(&'a mut self, none: &'a mut NoTaps) -> AllTaps<'a> {
        let channels = self.channels.len();
        AllTaps {
            merge: &mut self.merge,
            inputs: [(&mut self.channels, channels), (none, 0)],
            told: &mut self.told,
        }
    }
}

/// The channel after `index`, round robin.
fn after(index: usize, channels: usize) -> usize {
    if index + 1 >= channels { 0 } else { index + 1 }
}

impl<T: Record> InputSet for OneInput<T> {
    fn receive(&mut self, events: &mut VecDeque<Event>) -> Result<bool, TaskError> {
        for _ in 0..self.channels.len() {
            let index = self.next;
            self.next = after(index, self.channels.len());
            if !self.merge.is_open(index) {
                continue;
            }
            match self.channels.receive(index)? {
                Received::Nothing => (),
                Received::Rows => {
                    if self.told.is_some() && self.channels.keeps_much(index) {
                        self.merge.hold(index);
                    }
                    return Ok(true);
                }
                Received::Control(control) => {
                    self.merge.control(index, control, events);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn has_rows(&self) -> bool {
        !self.channels.pieces.is_empty()
    }

    fn feed(&mut self) -> Result<(), TaskError> {
        self.channels.pieces.feed(self.head.as_mut())?;
        self.channels.give_back();
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), TaskError> {
        match event {
            Event::Control(control) => self.head.control(control),
            Event::Overtake(barrier) => self.head.control(Control::Barrier(barrier)),
            Event::End1 | Event::End2 => Ok(()),
        }
    }

    fn aligning(&self) -> Option<Barrier> {
        self.merge.aligning()
    }

    overtaking!();

    fn take_back(&mut self) {
        self.channels.take_back(self.head.as_mut());
    }

    fn go_on_after_barriers(&mut self) {
        self.merge.go_on_after_barriers();
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.head.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.head.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.head.settle()
    }
}

/// Two inputs. Channels of the first come before those of the second.
pub struct TwoInputs<A, B> {
    first: Channels<A>,
    second: Channels<B>,
    merge: Merge,
    next: usize,
    ends_told: [bool; 2],
    /// The barrier that overtakes rows, once the head was told.
    told: Option<Barrier>,
    /// The first input waits for the end of the second.
    second_first: bool,
    head: Box<dyn TwoInputSink<A, B>>,
    counters: Arc<TaskCounters>,
}

impl<A: Record, B: Record> TwoInputs<A, B> {
    /// The channels in front of `head`.
    pub fn new(
        first: Vec<InputChannel<A>>,
        second: Vec<InputChannel<B>>,
        head: Box<dyn TwoInputSink<A, B>>,
        counters: Arc<TaskCounters>,
    ) -> Self {
        let first = Channels::new(first, Arc::clone(&counters));
        let second = Channels::new(second, Arc::clone(&counters));
        Self {
            merge: Merge::with_keys(first.keyed().chain(second.keyed())),
            first,
            second,
            next: 0,
            ends_told: [false; 2],
            told: None,
            second_first: false,
            head,
            counters,
        }
    }

    /// Reads nothing of the first input before the second has ended. Only for inputs that nobody
    /// feeds while the task runs.
    pub fn read_second_first(&mut self) {
        self.second_first = true;
    }

    fn taps<'a>(&'a mut self, none: &'a mut NoTaps) -> AllTaps<'a> {
        let _ = none;
        let (first, second) = (self.first.len(), self.second.len());
        AllTaps {
            merge: &mut self.merge,
            inputs: [(&mut self.first, first), (&mut self.second, second)],
            told: &mut self.told,
        }
    }

    /// Tells the watermark of the input that a channel belongs to, for whoever looks.
    fn tell_watermark(&self, channel: usize) {
        let split = self.first.len();
        let (input, channels) = if channel < split {
            (0, 0..split)
        } else {
            (1, split..split + self.second.len())
        };
        let watermark = self.merge.watermark_of(channels);
        // A channel that was idle may come back behind; what was told stays.
        self.counters.input_watermarks[input].fetch_max(watermark, Ordering::Relaxed);
    }

    /// Tells, once and before the end of all, that an input has ended.
    fn tell_ends(&mut self, events: &mut VecDeque<Event>) {
        let first = 0..self.first.len();
        let second = self.first.len()..self.first.len() + self.second.len();
        for (input, channels, event) in [(0, first, Event::End1), (1, second, Event::End2)] {
            if !self.ends_told[input] && { channels }.all(|index| self.merge.has_ended(index)) {
                self.ends_told[input] = true;
                let end = Event::Control(Control::End);
                let before = events.iter().position(|event| *event == end);
                events.insert(before.unwrap_or(events.len()), event);
            }
        }
    }
}

impl<A: Record, B: Record> InputSet for TwoInputs<A, B> {
    fn receive(&mut self, events: &mut VecDeque<Event>) -> Result<bool, TaskError> {
        let split = self.first.len();
        let all = split + self.second.len();
        for _ in 0..all {
            let index = self.next;
            self.next = after(index, all);
            let waits = self.second_first && index < split && !self.ends_told[1];
            if waits || !self.merge.is_open(index) {
                continue;
            }
            let received = match index.checked_sub(split) {
                None => self.first.receive(index)?,
                Some(index) => self.second.receive(index)?,
            };
            match received {
                Received::Nothing => (),
                Received::Rows => {
                    let much = || match index.checked_sub(split) {
                        None => self.first.keeps_much(index),
                        Some(index) => self.second.keeps_much(index),
                    };
                    if self.told.is_some() && much() {
                        self.merge.hold(index);
                    }
                    return Ok(true);
                }
                Received::Control(control) => {
                    self.merge.control(index, control, events);
                    self.tell_watermark(index);
                    if control == Control::End {
                        self.tell_ends(events);
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn has_rows(&self) -> bool {
        !self.first.pieces.is_empty() || !self.second.pieces.is_empty()
    }

    fn feed(&mut self) -> Result<(), TaskError> {
        let head = self.head.as_mut();
        if !self.first.pieces.is_empty() {
            self.first.pieces.feed_to(|batch| head.batch1(batch))?;
            self.first.give_back();
        } else {
            self.second.pieces.feed_to(|batch| head.batch2(batch))?;
            self.second.give_back();
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), TaskError> {
        match event {
            Event::Control(control) => self.head.control(control),
            Event::Overtake(barrier) => self.head.control(Control::Barrier(barrier)),
            Event::End1 => self.head.end1(),
            Event::End2 => self.head.end2(),
        }
    }

    fn aligning(&self) -> Option<Barrier> {
        self.merge.aligning()
    }

    overtaking!();

    /// What a head with two inputs has taken it processes before the barrier.
    fn take_back(&mut self) {}

    fn go_on_after_barriers(&mut self) {
        self.merge.go_on_after_barriers();
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.head.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.head.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.head.settle()
    }
}
