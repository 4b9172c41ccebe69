//! The task of a chain that reads from channels: takes what its inputs deliver, one thing at a time
//! and only while there is room downstream, and drives the chain by the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use flott_network::Control;
use flott_operators::{SubtaskContext, TaskClock, TaskCounters, TaskError};

use super::merge::Event;
use super::streams::InputSet;
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
        let room = self.inputs.settle()?;
        if room {
            self.barriers.settled();
        }
        Ok(room)
    }

    fn run(&mut self) -> Result<(Poll, Waiting), TaskError> {
        let backpressured = Ok((Poll::Pending, Waiting::Backpressured));
        let inputs = &mut self.inputs;
        self.barriers
            .listen(|checkpoint| inputs.abort_barrier(checkpoint));
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
        self.pacer.end(poll, waiting);
        Ok(poll)
    }
}

#[cfg(test)]
mod tests;
