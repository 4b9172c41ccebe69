//! The barriers of a task: what was asked for, the one that is on its way through the chain, and how
//! long things took.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flott_model::CheckpointId;
use flott_network::Barrier;
use flott_operators::Checkpoints;
use flott_operators::checkpoint::{BarrierTimes, CheckpointRequest};
use flott_operators::flow::unix_millis;

/// The barrier that is on its way through the chain.
struct Passing {
    barrier: Barrier,
    times: BarrierTimes,
}

/// The barriers of one task.
pub(crate) struct Barriers {
    checkpoints: Checkpoints,
    /// Checkpoints this task is to begin.
    asked: VecDeque<Barrier>,
    passing: Option<Passing>,
    /// The first barrier of a checkpoint has come: when, and how old it was.
    aligning: Option<(Instant, u64)>,
}

impl Barriers {
    pub(crate) fn new(checkpoints: Checkpoints) -> Self {
        Self {
            checkpoints,
            asked: VecDeque::new(),
            passing: None,
            aligning: None,
        }
    }

    /// Takes what the task was told; the checkpoints that were given up are handed to `aborted`.
    #[inline]
    pub(crate) fn listen(&mut self, mut aborted: impl FnMut(CheckpointId)) {
        while let Some(request) = self.checkpoints.take() {
            match request {
                CheckpointRequest::Begin(barrier) => self.asked.push_back(barrier),
                CheckpointRequest::Abort(checkpoint) => {
                    self.asked.retain(|asked| asked.checkpoint != checkpoint);
                    self.aligning = None;
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

    /// The chain was told a barrier, which took so long.
    pub(crate) fn told(&mut self, barrier: Barrier, sync: Duration) {
        let (alignment, start_delay_ms) = match self.aligning.take() {
            Some((began, age)) => (began.elapsed().saturating_sub(sync), age),
            None => (Duration::ZERO, barrier.age_ms(unix_millis())),
        };
        self.passing = Some(Passing {
            barrier,
            times: BarrierTimes {
                alignment,
                sync,
                start_delay_ms,
            },
        });
    }

    /// Nothing is kept back in the chain: a barrier that was told has left it.
    #[inline]
    pub(crate) fn settled(&mut self) {
        if let Some(Passing { barrier, times }) = self.passing.take() {
            self.checkpoints.passed(barrier, times);
        }
    }
}
