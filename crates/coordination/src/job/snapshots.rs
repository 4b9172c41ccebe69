//! The job and its checkpoints: what of its tasks they must know, and what they have it do.

use std::collections::BTreeMap;

use flott_model::{
    CheckpointId, EnumeratorState, ExecutionAttemptId, ExecutionState, Failure, SubtaskSnapshot,
    VertexId,
};

use super::cause::Weight;
use super::core::JobCore;
use super::message::{JobAction, WorkerId};
use super::phase::Phase;
use crate::checkpoint::{Effect, Participant, Request};

impl JobCore {
    /// Goes on with checkpoints and commits as the latest event allows.
    pub(super) fn settle_checkpoints(&mut self) {
        loop {
            let running = self.can_checkpoint();
            let sealing = matches!(self.phase, Phase::Sealing);
            let uncommitted = self.commits.open();
            self.checkpoints
                .advance(self.now, (running, sealing), uncommitted);
            if !self.perform_effects() {
                break;
            }
        }
        self.commit_while_running();
    }

    /// Whether there were any.
    fn perform_effects(&mut self) -> bool {
        let effects = self.checkpoints.take_effects();
        let any = !effects.is_empty();
        for effect in effects {
            self.perform(effect);
        }
        any
    }

    /// Before tasks are deployed anew: `everything`, or some regions.
    pub(super) fn prepare_restore(&mut self, everything: bool) {
        self.checkpoints.prepare_restore(self.now, everything);
        // At once: what is said of the sources comes before their deployment.
        self.perform_effects();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Act(action) => self.act(action),
            Effect::NotifyCompleted(checkpoint) => {
                for (worker, attempts) in self.running_by_worker() {
                    self.act(JobAction::NotifyCompleted {
                        worker,
                        checkpoint,
                        attempts,
                    });
                }
            }
            Effect::NotifyAborted(checkpoint) => {
                for (worker, attempts) in self.running_by_worker() {
                    self.act(JobAction::NotifyAborted {
                        worker,
                        checkpoint,
                        attempts,
                    });
                }
            }
            Effect::Covered(covered, finished) => {
                self.executions.forget_outputs(&covered, &finished);
                self.commits.cover_checkpoint(covered.into_iter());
                self.sealed();
            }
            Effect::FailJob(failure) => {
                let weight = Weight::of_process(&failure);
                self.fail(failure, weight);
            }
            Effect::TakeAllBack => self.take_all_back(),
            Effect::CancelJob => self.cancel(),
        }
    }

    /// Every registered worker, with the attempts that run there.
    fn running_by_worker(&self) -> BTreeMap<WorkerId, Vec<ExecutionAttemptId>> {
        let workers = self.workers.registered().cloned();
        let mut running: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> =
            workers.map(|worker| (worker, Vec::new())).collect();
        let executions = self.executions.iter();
        for execution in executions.filter(|it| it.state == ExecutionState::Running) {
            let there = execution.worker().and_then(|it| running.get_mut(it));
            if let Some(attempts) = there {
                attempts.push(execution.attempt);
            }
        }
        running
    }

    /// Whether every task runs or has finished, and may take part.
    fn can_checkpoint(&self) -> bool {
        let finished = self.executions.finished();
        matches!(self.phase, Phase::Executing)
            && self.executions.all_running_or_finished()
            && (finished == 0 || self.settings.checkpoints.after_tasks_finish)
    }

    /// Why no checkpoint can begin now, if none can.
    fn checkpoint_obstacle(&self) -> Option<String> {
        if self.can_checkpoint() {
            return None;
        }
        if !matches!(self.phase, Phase::Executing) {
            return Some(format!(
                "the job is {}, and not all its tasks run",
                self.status()
            ));
        }
        let up = [ExecutionState::Running, ExecutionState::Finished];
        let late = self.executions.iter().find(|it| !up.contains(&it.state));
        Some(match late {
            Some(late) => {
                let name = self
                    .topology
                    .task_name(late.attempt.vertex, late.attempt.subtask);
                format!(
                    "task {name} is {}: try again when all tasks run",
                    late.state
                )
            }
            None => "some tasks have finished, and \
                     execution.checkpointing.checkpoints-after-tasks-finish is false"
                .to_owned(),
        })
    }

    pub(super) fn snapshot_requested(&mut self, request: Request) {
        let obstacle = self.checkpoint_obstacle();
        self.checkpoints.request(self.now, request, obstacle);
    }

    pub(super) fn checkpoint_opened(
        &mut self,
        checkpoint: CheckpointId,
        timestamp_ms: i64,
        result: Result<String, Failure>,
    ) {
        if !self.checkpoints.is_opening(checkpoint) {
            return;
        }
        let tasks = self.participants();
        let place = result.map(|directory| (directory, timestamp_ms));
        self.checkpoints.opened(self.now, checkpoint, place, tasks);
    }

    /// All subtasks, by vertex and index.
    fn participants(&self) -> Vec<Vec<Participant>> {
        let unfinished: Vec<u32> = self
            .topology
            .vertices()
            .map(|(vertex, parallelism)| {
                let subtasks = (0..parallelism).filter(|it| self.runs(vertex, *it));
                // Not more than there are subtasks.
                subtasks.count() as u32
            })
            .collect();
        let vertices = self.topology.vertices();
        vertices
            .map(|(vertex, parallelism)| {
                let subtasks = 0..parallelism;
                let of = |subtask| self.participant(vertex, subtask, &unfinished);
                subtasks.map(of).collect()
            })
            .collect()
    }

    fn runs(&self, vertex: VertexId, subtask: u32) -> bool {
        self.executions.of(vertex, subtask).is_live()
    }

    fn participant(&self, vertex: VertexId, subtask: u32, unfinished: &[u32]) -> Participant {
        let execution = self.executions.of(vertex, subtask);
        let finished = execution.state == ExecutionState::Finished;
        let fed = self.topology.inputs(vertex).any(|edge| {
            let live = unfinished[edge.source.0 as usize];
            let mut sources = edge.sources_of(subtask);
            // A look at each is needed only if they are neither all live nor all of them.
            let all = sources.len() == edge.sources() as usize || live == edge.sources();
            live > 0 && (all || sources.any(|source| self.runs(edge.source, source)))
        });
        Participant {
            attempt: execution.attempt,
            worker: execution.worker().cloned(),
            source: self.topology.inputs(vertex).next().is_none(),
            begins: !finished && !fed,
            finished: finished.then(|| self.commits.uncovered(&execution.output)),
        }
    }

    pub(super) fn checkpoint_acknowledged(
        &mut self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) {
        self.checkpoints
            .acknowledged(self.now, attempt, checkpoint, snapshot);
    }

    pub(super) fn checkpoint_declined(
        &mut self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        failure: Failure,
    ) {
        if self.executions.get(attempt).is_some() {
            let failure = self.locate(attempt, failure);
            self.checkpoints.declined(self.now, checkpoint, failure);
        }
    }

    pub(super) fn enumerators_snapshotted(
        &mut self,
        checkpoint: CheckpointId,
        worker: Option<&WorkerId>,
        result: Result<Vec<EnumeratorState>, Failure>,
    ) {
        let lost = worker.is_some_and(|worker| self.workers.address(worker).is_none());
        if lost {
            // Its successor knows more, or less.
            self.checkpoints.enumerators_moved(self.now, checkpoint);
        } else {
            self.checkpoints
                .enumerators_snapshotted(self.now, checkpoint, result);
        }
    }

    /// The whole job goes back, unless nothing reads any more.
    pub(super) fn enumerators_lost(&mut self, failure: Failure) {
        self.checkpoints.enumerators_lost();
        let goes_back = match self.phase {
            Phase::Executing => self.reads(),
            // Readers that have stopped begin again.
            Phase::Recovering(_) => true,
            Phase::Created
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers
            | Phase::Sealing
            | Phase::Committing
            | Phase::Stopping { .. }
            | Phase::Pausing { .. }
            | Phase::Ended(_) => false,
        };
        if goes_back {
            let weight = Weight::of_process(&failure);
            self.fail(failure, weight);
            return;
        }
        // They had their states, and no reader has begun. In other phases, if all tasks begin anew
        // their enumerators do, too.
        if matches!(
            self.phase,
            Phase::WaitingForSlots { .. } | Phase::StartingWorkers
        ) {
            self.checkpoints.reset_enumerators();
        }
    }

    fn reads(&self) -> bool {
        self.executions.iter().any(|execution| {
            let inputs = self.topology.inputs(execution.attempt.vertex);
            execution.is_live() && inputs.count() == 0
        })
    }
}

#[cfg(test)]
mod tests;
