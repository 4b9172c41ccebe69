//! The executions of a job: the current attempt of each subtask.

use std::collections::{BTreeMap, BTreeSet};

use flott_model::{
    Epoch, ExecutionAttemptId, ExecutionState, Failure, SlotId, StoredCommittable, VertexId,
};

use super::message::WorkerId;
use super::topology::{Subtask, Topology};
use crate::Timestamp;

/// One attempt to run one subtask.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) attempt: ExecutionAttemptId,
    pub(super) state: ExecutionState,
    /// Set when it is deployed.
    pub(super) place: Option<(WorkerId, SlotId)>,
    /// When it entered each state.
    pub(super) entered: BTreeMap<ExecutionState, Timestamp>,
    pub(super) failure: Option<Failure>,
    pub(super) output: Vec<StoredCommittable>,
}

impl Execution {
    fn new(attempt: ExecutionAttemptId, state: ExecutionState, now: Timestamp) -> Self {
        Self {
            attempt,
            state,
            place: None,
            entered: BTreeMap::from([(state, now)]),
            failure: None,
            output: Vec::new(),
        }
    }

    pub(super) fn worker(&self) -> Option<&WorkerId> {
        self.place.as_ref().map(|(worker, _)| worker)
    }

    pub(super) fn is_live(&self) -> bool {
        !self.state.is_terminal()
    }
}

/// Whether `to` may follow `from`. A worker may leave out what it passed through quickly.
pub(super) fn may_follow(from: ExecutionState, to: ExecutionState) -> bool {
    use ExecutionState as S;
    match to {
        S::Created => false,
        S::Scheduled => from == S::Created,
        S::Deploying => from == S::Scheduled,
        S::Initializing => from == S::Deploying,
        S::Running => matches!(from, S::Deploying | S::Initializing),
        S::Canceling => matches!(from, S::Deploying | S::Initializing | S::Running),
        S::Finished => matches!(
            from,
            S::Deploying | S::Initializing | S::Running | S::Canceling
        ),
        S::Canceled => matches!(from, S::Created | S::Scheduled | S::Canceling),
        S::Failed => !from.is_terminal(),
    }
}

/// The current execution of each subtask.
#[derive(Debug)]
pub(super) struct Executions {
    vertices: Vec<Vec<Execution>>,
    /// How many are not terminal. Kept, because counting at each event would be quadratic.
    live: usize,
    running: usize,
    finished: usize,
    total: usize,
}

impl Executions {
    pub(super) fn new(epoch: Epoch, topology: &Topology) -> Self {
        let vertices: Vec<Vec<Execution>> = topology
            .vertices()
            .map(|(vertex, parallelism)| {
                (0..parallelism)
                    .map(|subtask| {
                        let attempt = ExecutionAttemptId {
                            epoch,
                            vertex,
                            subtask,
                            attempt: 0,
                        };
                        Execution::new(attempt, ExecutionState::Created, Timestamp::ZERO)
                    })
                    .collect()
            })
            .collect();
        let total = vertices.iter().map(Vec::len).sum();
        Self {
            vertices,
            live: total,
            running: 0,
            finished: 0,
            total,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Execution> {
        self.vertices.iter().flatten()
    }

    /// The execution of an attempt, if it is its subtask's current one.
    pub(super) fn get(&self, attempt: ExecutionAttemptId) -> Option<&Execution> {
        self.vertices
            .get(attempt.vertex.0 as usize)?
            .get(attempt.subtask as usize)
            .filter(|execution| execution.attempt == attempt)
    }

    /// The current execution of a subtask of the graph.
    pub(super) fn of(&self, vertex: VertexId, subtask: u32) -> &Execution {
        &self.vertices[vertex.0 as usize][subtask as usize]
    }

    fn of_mut(&mut self, attempt: ExecutionAttemptId) -> &mut Execution {
        let execution = &mut self.vertices[attempt.vertex.0 as usize][attempt.subtask as usize];
        assert_eq!(execution.attempt, attempt, "only current attempts change");
        execution
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn finished(&self) -> usize {
        self.finished
    }

    /// Whether each runs or has finished, and one runs at least.
    pub(super) fn all_running_or_finished(&self) -> bool {
        self.running > 0 && self.running + self.finished == self.total
    }

    pub(super) fn all_finished(&self) -> bool {
        self.finished == self.total
    }

    /// The live attempts on a worker.
    pub(super) fn live_on(&self, worker: &WorkerId) -> Vec<ExecutionAttemptId> {
        self.iter()
            .filter(|execution| execution.is_live() && execution.worker() == Some(worker))
            .map(|execution| execution.attempt)
            .collect()
    }

    /// Moves on. The caller has checked that the succession is legal.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<Failure>,
    ) {
        let execution = self.of_mut(attempt);
        assert!(
            may_follow(execution.state, state),
            "{} after {}",
            state,
            execution.state
        );
        let before = std::mem::replace(&mut execution.state, state);
        execution.entered.insert(state, now);
        execution.failure = failure;
        self.live -= usize::from(state.is_terminal());
        self.running -= usize::from(before == ExecutionState::Running);
        self.running += usize::from(state == ExecutionState::Running);
        self.finished += usize::from(state == ExecutionState::Finished);
    }

    pub(super) fn place(&mut self, attempt: ExecutionAttemptId, worker: WorkerId, slot: SlotId) {
        self.of_mut(attempt).place = Some((worker, slot));
    }

    pub(super) fn set_output(
        &mut self,
        attempt: ExecutionAttemptId,
        output: Vec<StoredCommittable>,
    ) {
        self.of_mut(attempt).output = output;
    }

    /// These are covered by a checkpoint, with all that these attempts left.
    pub(super) fn forget_outputs(
        &mut self,
        covered: &[StoredCommittable],
        finished: &[ExecutionAttemptId],
    ) {
        let known: BTreeSet<&str> = covered.iter().map(|it| it.id.as_str()).collect();
        let finished: BTreeSet<&ExecutionAttemptId> = finished.iter().collect();
        for execution in self.vertices.iter_mut().flatten() {
            if finished.contains(&execution.attempt) {
                execution.output.clear();
            }
            let is_known = |it: &StoredCommittable| !it.id.is_empty() && known.contains(&*it.id);
            execution.output.retain(|it| !is_known(it));
        }
    }

    /// What all sinks want committed, in order of vertex and subtask.
    pub(super) fn outputs(&self) -> Vec<StoredCommittable> {
        self.iter()
            .flat_map(|execution| execution.output.iter().cloned())
            .collect()
    }

    /// Replaces the ended execution of a subtask by a fresh attempt.
    pub(super) fn renew_one(&mut self, now: Timestamp, (vertex, subtask): Subtask) {
        let execution = &mut self.vertices[vertex.0 as usize][subtask as usize];
        assert!(
            !execution.is_live(),
            "a subtask has at most one live attempt"
        );
        self.live += 1;
        self.finished -= usize::from(execution.state == ExecutionState::Finished);
        let mut attempt = execution.attempt;
        attempt.attempt += 1;
        *execution = Execution::new(attempt, ExecutionState::Created, now);
    }

    /// Replaces each ended execution by a fresh attempt. What never began keeps its number.
    pub(super) fn renew(&mut self, now: Timestamp) {
        for execution in self.vertices.iter_mut().flatten() {
            if execution.state == ExecutionState::Created {
                continue;
            }
            assert!(
                !execution.is_live(),
                "a subtask has at most one live attempt"
            );
            let mut attempt = execution.attempt;
            attempt.attempt += 1;
            *execution = Execution::new(attempt, ExecutionState::Created, now);
        }
        self.live = self.total;
        self.finished = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_an_end_and_nothing_goes_back() {
        for from in ExecutionState::ALL {
            for to in ExecutionState::ALL {
                let legal = may_follow(*from, *to);
                assert!(!(legal && from.is_terminal()), "{from} -> {to}");
                assert!(
                    !(legal && to <= from && !to.is_terminal()),
                    "{from} -> {to}"
                );
            }
        }
    }
}
