//! The barriers of a task: what was asked for, the one that is on its way through the chain, and how
//! long things took.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flott_model::CheckpointId;
use flott_network::{Barrier, Overtakes};
use flott_operators::Checkpoints;
use flott_operators::checkpoint::{BarrierTimes, CheckpointRequest, InFlight, TaskSnapshot};
use flott_operators::flow::unix_millis;

/// While a barrier that overtakes waits for what the chain has begun, each output may have so many
/// messages without room.
const OVERDRAFT: usize = 64;

/// The barrier that is on its way through the chain.
struct Passing {
    barrier: Barrier,
    times: BarrierTimes,
    /// When its first sign came.
    began: Instant,
}

/// A snapshot without what its barrier overtakes in front of the task.
struct Incomplete {
    snapshot: TaskSnapshot,
    began: Instant,
}

/// The barriers of one task.
pub(crate) struct Barriers {
    checkpoints: Checkpoints,
    /// Checkpoints this task is to begin.
    asked: VecDeque<Barrier>,
    passing: Option<Passing>,
    /// The barrier has left the chain, and not come on all channels.
    incomplete: Option<Incomplete>,
    /// The newest checkpoint that was given up.
    aborted: CheckpointId,
    /// A barrier that overtakes rows after a while, and when that is over.
    expected: Option<(Barrier, Instant)>,
    /// The first barrier of a checkpoint has come: when, and how old it was.
    aligning: Option<(Instant, u64)>,
}

impl Barriers {
    pub(crate) fn new(checkpoints: Checkpoints) -> Self {
        Self {
            checkpoints,
            asked: VecDeque::new(),
            passing: None,
            incomplete: None,
            aborted: CheckpointId(0),
            expected: None,
            aligning: None,
        }
    }

    /// Takes what the task was told; the checkpoints that were given up are handed to `aborted`.
    #[inline]
    pub(crate) fn listen(&mut self, mut aborted: impl FnMut(CheckpointId)) {
        while let Some(request) = self.checkpoints.take() {
            match request {
                CheckpointRequest::Begin(barrier) => {
                    self.asked.push_back(barrier);
                    self.expect(barrier);
                }
                CheckpointRequest::Abort(checkpoint) => {
                    self.asked.retain(|asked| asked.checkpoint != checkpoint);
                    self.aligning = None;
                    self.abort(checkpoint);
                    aborted(checkpoint);
                }
            }
        }
    }

    /// The next checkpoint that this task is to begin.
    pub(crate) fn next(&mut self) -> Option<Barrier> {
        self.asked.pop_front()
    }

    /// Some channels have had this barrier, others have not.
    #[inline]
    pub(crate) fn aligning(&mut self, barrier: Barrier) {
        if self.aligning.is_none() {
            let age = barrier.age_ms(unix_millis());
            self.aligning = Some((Instant::now(), age));
        }
    }

    fn abort(&mut self, checkpoint: CheckpointId) {
        self.aborted = self.aborted.max(checkpoint);
        self.expected = self.expected.filter(|(it, _)| it.checkpoint > checkpoint);
        let incomplete = self.incomplete.take();
        let (given_up, kept) = match incomplete {
            Some(it) if it.snapshot.barrier.checkpoint <= checkpoint => (Some(it), None),
            other => (None, other),
        };
        self.incomplete = kept;
        if let Some(Incomplete { snapshot, .. }) = given_up {
            self.give_up(snapshot);
        }
    }

    /// Hands over what sinks want committed, all the same.
    fn give_up(&self, mut snapshot: TaskSnapshot) {
        snapshot.given_up = true;
        snapshot.in_flight = Vec::new();
        self.checkpoints.done(snapshot);
    }

    /// Whether the next checkpoint that this task is to begin has a barrier that overtakes rows at once.
    #[inline]
    pub(crate) fn has_urgent(&self) -> bool {
        self.asked.front().is_some_and(Barrier::overtakes_at_once)
    }

    /// The next checkpoint that this task is to begin, if its barrier overtakes rows at once.
    pub(crate) fn next_urgent(&mut self) -> Option<Barrier> {
        if !self.has_urgent() {
            return None;
        }
        self.asked.pop_front()
    }

    /// There is a barrier that overtakes rows after a while.
    pub(crate) fn expect(&mut self, barrier: Barrier) {
        let Some(patience) = barrier.patience_ms(unix_millis()) else {
            return;
        };
        let known = self.expected.map(|(it, _)| it.checkpoint);
        if known < Some(barrier.checkpoint) && self.aborted < barrier.checkpoint {
            self.expected = Some((barrier, Instant::now() + Duration::from_millis(patience)));
        }
    }

    /// When the barrier that is expected loses its patience.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.expected.map(|(_, at)| at)
    }

    /// The barrier that has lost its patience, once: it waits no longer in the outputs, and not for those
    /// that ask for it here.
    #[inline]
    pub(crate) fn take_late(&mut self, now: Instant) -> Option<Barrier> {
        match self.expected {
            Some((barrier, at)) if at <= now => Some(self.late(barrier)),
            _ => None,
        }
    }

    #[cold]
    fn late(&mut self, barrier: Barrier) -> Barrier {
        self.expected = None;
        self.checkpoints.hurry(barrier.checkpoint);
        for asked in &mut self.asked {
            if asked.checkpoint == barrier.checkpoint {
                asked.overtakes = Overtakes::AtOnce;
            }
        }
        let passes = self.passing.as_ref().map(|it| it.barrier.checkpoint);
        if passes == Some(barrier.checkpoint) {
            self.checkpoints.allow_overdraft(usize::MAX);
        }
        barrier
    }

    /// A barrier that overtakes is to be told to the chain: what the chain has begun is let out of it.
    pub(crate) fn make_way(&self) {
        self.checkpoints.allow_overdraft(OVERDRAFT);
    }

    /// No barrier that overtakes is to be told any more.
    pub(crate) fn close_way(&self) {
        if self.passing.is_none() {
            self.checkpoints.allow_overdraft(0);
        }
    }

    /// The chain was told a barrier, which took so long.
    pub(crate) fn told(&mut self, barrier: Barrier, sync: Duration) {
        let now = Instant::now();
        let (began, start_delay_ms) = match self.aligning.take() {
            Some((began, age)) => (began, age),
            None => (now - sync, barrier.age_ms(unix_millis())),
        };
        if barrier.overtakes_at_once() || self.checkpoints.hurried() == barrier.checkpoint {
            // Nothing is processed before it has left the chain.
            self.checkpoints.allow_overdraft(usize::MAX);
        }
        self.passing = Some(Passing {
            barrier,
            times: BarrierTimes {
                alignment: (now - began).saturating_sub(sync),
                sync,
                start_delay_ms,
            },
            began,
        });
    }

    /// Nothing is kept back in the chain: a barrier that was told has left it. Whether the outputs were
    /// allowed an overdraft for it, which they are no longer.
    #[inline]
    pub(crate) fn settled(&mut self) -> bool {
        match self.passing.take() {
            None => false,
            Some(passing) => self.passed(passing),
        }
    }

    #[cold]
    fn passed(&mut self, passing: Passing) -> bool {
        let Passing {
            barrier,
            times,
            began,
        } = passing;
        let mut snapshot = self.checkpoints.take_snapshot(barrier, times);
        self.expected = self
            .expected
            .filter(|(it, _)| it.checkpoint > barrier.checkpoint);
        if !snapshot.in_flight.is_empty() {
            snapshot.barrier.overtakes = Overtakes::AtOnce;
        }
        let overtook = self.checkpoints.allowed_overdraft() > 0;
        if overtook {
            self.checkpoints.allow_overdraft(0);
        }
        if !barrier.overtakes_at_once() {
            self.checkpoints.done(snapshot);
        } else if barrier.checkpoint <= self.aborted {
            self.give_up(snapshot);
        } else if let Some(before) = self.incomplete.replace(Incomplete { snapshot, began }) {
            self.give_up(before.snapshot);
        }
        overtook
    }

    /// Whether a snapshot waits for what its barrier overtakes in front of the task.
    #[inline]
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete.is_some()
    }

    /// The barrier has come on all channels; what it overtook, and the bytes processed meanwhile.
    pub(crate) fn complete(&mut self, in_flight: Vec<InFlight>, processed_bytes: u64) {
        let Some(Incomplete {
            mut snapshot,
            began,
        }) = self.incomplete.take()
        else {
            return;
        };
        snapshot.in_flight.extend(in_flight);
        snapshot.processed_bytes = processed_bytes;
        snapshot.alignment = began.elapsed().saturating_sub(snapshot.sync);
        self.checkpoints.done(snapshot);
    }
}
