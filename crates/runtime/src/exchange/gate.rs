//! The task of a chain that reads from channels: takes what its inputs deliver, one thing at a time
//! and only while there is room downstream, and drives the chain by the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use flott_network::{Barrier, Control, Overtakes, Waker};
use flott_operators::{SubtaskContext, TaskClock, TaskCounters, TaskError};

use super::merge::Event;
use super::streams::{InputSet, Start};
use crate::barriers::Barriers;
use crate::pacer::{Alarm, BufferTimeout, Pacer, Rest, Waiting};
use crate::scheduler::{Poll, Tasklet};

/// Batches per poll, at most.
const BATCHES_PER_POLL: u32 = 16;

/// Drives the inputs of a task.
pub struct Gate<S> {
    inputs: S,
    /// What the head must be told before anything else.
    events: VecDeque<Event>,
    ended: bool,
    barriers: Barriers,
    /// A barrier that overtakes rows is among the events.
    urgent: bool,
    waker: Waker,
    pacer: Pacer,
    clock: TaskClock,
    alarm: Alarm,
    counters: Arc<TaskCounters>,
}

impl<S: InputSet> Gate<S> {
    /// Drives these inputs in the task of that context.
    pub fn new(mut inputs: S, timeout: BufferTimeout, context: &SubtaskContext) -> Self {
        if context.checkpoint.at_least_once() {
            inputs.go_on_after_barriers();
        }
        Self {
            inputs,
            events: VecDeque::new(),
            ended: false,
            barriers: Barriers::new(context.checkpoint.clone()),
            urgent: false,
            waker: context.waker.clone(),
            pacer: Pacer::new(timeout, Arc::clone(&context.counters)),
            clock: context.clock.clone(),
            alarm: Alarm::default(),
            counters: Arc::clone(&context.counters),
        }
    }

    /// Tells the head what happened, as long as there is room. Whether there still is.
    fn tell(&mut self) -> Result<bool, TaskError> {
        if !self.settle()? {
            return Ok(false);
        }
        while let Some(event) = self.next_event() {
            self.ended |= event == Event::Control(Control::End);
            self.pacer.processed();
            if let Event::Control(control) = event {
                self.counters.input.control(control);
            }
            match event {
                Event::Control(Control::Barrier(barrier)) => {
                    let began = Instant::now();
                    self.inputs.event(event)?;
                    self.barriers.told(barrier, began.elapsed());
                }
                Event::Overtake(barrier) => self.overtake(barrier)?,
                Event::Control(_) | Event::End1 | Event::End2 => self.inputs.event(event)?,
            }
            if !self.settle()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the head is to be told next. A checkpoint that nobody before this task can begin any more
    /// is begun here, behind the last rows.
    fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if event == Event::Control(Control::End)
            && let Some(barrier) = self.barriers.next()
        {
            self.events.push_front(event);
            return Some(Event::Control(Control::Barrier(barrier)));
        }
        Some(event)
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        if !self.inputs.settle()? {
            return Ok(false);
        }
        let overtook = self.barriers.settled();
        if self.barriers.is_incomplete() {
            self.complete();
        }
        // Without the overdraft that a barrier was allowed there may be no room.
        Ok(!overtook || self.inputs.settle()?)
    }

    /// Takes what the task was told about checkpoints, and the barriers that overtake rows.
    #[inline]
    fn listen(&mut self) {
        let (inputs, events) = (&mut self.inputs, &mut self.events);
        self.barriers.listen(|checkpoint| {
            inputs.abort_barrier(checkpoint);
            let given_up = |event: &Event| match event {
                Event::Overtake(barrier) => barrier.checkpoint == checkpoint,
                _ => false,
            };
            events.retain(|event| !given_up(event));
        });
        if self.waker.take_call() {
            if let Some(barrier) = self.inputs.look(&mut self.events) {
                self.barriers.expect(barrier);
            }
            self.look_for_urgent();
        }
        if let Some(barrier) = self.barriers.take_late(self.pacer.now()) {
            self.hurry(barrier);
        }
        // Its senders have finished: what they sent last is behind the barrier.
        if let Some(barrier) = self.barriers.next_urgent() {
            self.inputs.overtake(barrier, Start::Here, &mut self.events);
            self.look_for_urgent();
        }
        if self.urgent {
            self.make_way();
        }
        if self.barriers.is_incomplete() {
            self.complete();
        }
    }

    /// A barrier between the rows has waited for long enough.
    #[cold]
    fn hurry(&mut self, barrier: Barrier) {
        let told = |event: &Event| match event {
            Event::Control(Control::Barrier(told)) => told.checkpoint == barrier.checkpoint,
            _ => false,
        };
        if self.events.iter().any(told) {
            // It has come on all channels, and what waits is in the chain.
            self.barriers.make_way();
        } else {
            self.inputs.overtake(barrier, Start::Late, &mut self.events);
            self.look_for_urgent();
        }
    }

    #[cfg(test)]
    fn barriers_are_urgent(&self) -> bool {
        self.urgent
    }

    fn look_for_urgent(&mut self) {
        let barrier = self.events.iter().find_map(|event| match event {
            Event::Overtake(barrier) => Some(*barrier),
            _ => None,
        });
        self.urgent = barrier.is_some();
        if let Some(barrier) = barrier {
            self.barriers.aligning(barrier);
        }
    }

    /// What the chain has begun is let out of it, so that the barrier can be told.
    #[cold]
    fn make_way(&mut self) {
        self.look_for_urgent();
        if self.urgent {
            // Rows in front of another event stay in front of it.
            if let Some(Event::Overtake(_)) = self.events.front() {
                self.inputs.take_back();
            }
            self.barriers.make_way();
        } else {
            self.barriers.close_way();
        }
    }

    /// The head is told a barrier that overtakes rows.
    #[cold]
    fn overtake(&mut self, barrier: Barrier) -> Result<(), TaskError> {
        self.urgent = false;
        let began = Instant::now();
        let barrier = barrier.overtaking(Overtakes::AtOnce);
        self.inputs.snapshot(barrier);
        self.inputs.event(Event::Overtake(barrier))?;
        self.barriers.told(barrier, began.elapsed());
        Ok(())
    }

    /// Completes the snapshot if its barrier has come on all channels.
    #[cold]
    fn complete(&mut self) {
        if let Some((in_flight, processed)) = self.inputs.take_overtaken() {
            self.barriers.complete(in_flight, processed);
        }
    }

    fn run(&mut self) -> Result<(Poll, Waiting), TaskError> {
        let backpressured = Ok((Poll::Pending, Waiting::Backpressured));
        self.listen();
        if !self.tell()? {
            return backpressured;
        }
        // A partition may have taken a while to be finished: no timer follows the end.
        if self.ended {
            return Ok((Poll::Done, Waiting::Idle));
        }
        if let Some(now) = self.alarm.take_due(&self.clock) {
            self.pacer.processed();
            self.inputs.time(now)?;
            if !self.inputs.settle()? {
                return backpressured;
            }
        }
        for _ in 0..BATCHES_PER_POLL {
            if self.ended {
                return Ok((Poll::Done, Waiting::Idle));
            }
            if !self.inputs.has_rows() {
                if !self.inputs.receive(&mut self.events)? {
                    return self.rest();
                }
                if let Some(barrier) = self.inputs.aligning() {
                    self.barriers.aligning(barrier);
                    self.barriers.expect(barrier);
                }
                if let Some(Event::Overtake(_)) = self.events.back() {
                    self.urgent = true;
                    self.make_way();
                }
                if self.barriers.is_incomplete() {
                    self.complete();
                }
            }
            if self.inputs.has_rows() {
                self.pacer.processed();
                self.inputs.feed()?;
            }
            if !self.tell()? {
                return backpressured;
            }
            if self.pacer.slice_is_over() {
                break;
            }
        }
        if self.ended {
            return Ok((Poll::Done, Waiting::Idle));
        }
        if self.pacer.flush_is_due() {
            self.inputs.flush()?;
            self.pacer.flushed();
        }
        Ok((Poll::Ready, Waiting::Idle))
    }

    /// Nothing to read: flush now or soon.
    fn rest(&mut self) -> Result<(Poll, Waiting), TaskError> {
        let until = match self.pacer.rest() {
            Rest::Flush => {
                self.inputs.flush()?;
                self.pacer.flushed();
                // What did not fit must be announced, or nobody wakes this task when there is room.
                if !self.inputs.settle()? {
                    return Ok((Poll::Pending, Waiting::Backpressured));
                }
                None
            }
            Rest::FlushAt(at) => Some(at),
            Rest::Nothing => None,
        };
        Ok((self.alarm.wait(&self.clock, until), Waiting::Idle))
    }
}

impl<S: InputSet> Tasklet for Gate<S> {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        self.pacer.begin();
        let (poll, waiting) = self.run()?;
        let poll = self.alarm.no_later_than(self.barriers.deadline(), poll);
        self.pacer.end(poll, waiting);
        Ok(poll)
    }
}

#[cfg(test)]
mod tests;
