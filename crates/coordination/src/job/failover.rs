//! From running to stopped: failures, restarts, cancellation.

use std::collections::BTreeMap;

use flott_model::{
    ContainerId, ExecutionAttemptId, ExecutionState, Failure, FailureClass, JobStatus,
};

use super::cause::{FailureRecord, Weight};
use super::core::JobCore;
use super::execution::Execution;
use super::message::{JobAction, Timer, WorkerId};
use super::phase::{Phase, Then};
use super::stages::Stages;
use crate::Timestamp;

impl JobCore {
    pub(super) fn task_failed(
        &mut self,
        attempt: ExecutionAttemptId,
        failure: Failure,
        missing: &[ExecutionAttemptId],
    ) {
        let failure = self.locate(attempt, failure);
        self.advance(attempt, ExecutionState::Failed, Some(failure.clone()));
        if self.running_stages().is_some() {
            self.region_task_failed(attempt, failure, missing);
            return;
        }
        let weight = Weight::of_task(&failure);
        self.fail(failure, weight);
    }

    pub(super) fn worker_lost(&mut self, worker: &WorkerId, failure: Failure) {
        if !self.workers.is_live(worker) {
            return; // Told before, or superseded.
        }
        let mut failure = self.locate_in(&worker.container, failure);
        if self.workers.is_starting(worker) && failure.class() == FailureClass::UserCode {
            // Before it registered nothing of the job ran in it but main().
            failure.message = format!("main() failed on the worker: {}", failure.message);
        }
        self.process_lost(worker, &[], failure);
    }

    pub(super) fn container_lost(&mut self, container: &ContainerId, failure: Failure) {
        if !self.slots.holds_in(container) {
            return; // Told before, or given back before.
        }
        let failure = self.locate_in(container, failure);
        let worker = self.workers.in_container(container).cloned();
        self.slots.lose(container);
        let mut lost = Vec::new();
        if let Some(Stages { regions, .. }) = &mut self.stages {
            lost = regions.lose_container(&self.topology, &self.executions, container);
        }
        if let Some(worker) = worker {
            self.process_lost(&worker, &lost, failure);
        } else if self.running_stages().is_some() {
            self.region_process_lost(&[], &lost, false, failure);
        } else if matches!(self.phase, Phase::Committing) {
            self.continue_commit();
        }
    }

    /// A process is gone, with whatever ran in it; perhaps with its container and what these attempts
    /// wrote there.
    fn process_lost(&mut self, worker: &WorkerId, lost: &[ExecutionAttemptId], failure: Failure) {
        let awaited = self.is_awaited(&worker.container);
        self.workers.remove(worker);
        // Only the connection may be lost while the process lives: nothing of it may count now.
        self.act(JobAction::StopWorker(worker.clone()));
        let tasks = self.executions.live_on(worker);
        for attempt in &tasks {
            let of_task = self.locate(*attempt, failure.clone());
            self.advance(*attempt, ExecutionState::Failed, Some(of_task));
        }
        self.commit_process_lost(worker, failure.clone());
        if self.running_stages().is_some() {
            self.region_process_lost(&tasks, lost, awaited, failure);
            return;
        }
        match self.phase {
            Phase::Sealing | Phase::Committing => (),
            // Its tasks had finished: if a peer misses anything of them, the peer fails.
            Phase::Executing if tasks.is_empty() => (),
            // Idle between two rounds of the job: it is started again when it is needed. Its end may
            // be what the round before echoed.
            Phase::WaitingForSlots { .. } | Phase::Pausing { .. } => {
                let weight = Weight::of_process(&failure);
                self.failures.refine(failure, weight);
            }
            Phase::Created
            | Phase::StartingWorkers
            | Phase::Executing
            | Phase::Recovering(_)
            | Phase::Stopping { .. }
            | Phase::Ended(_) => {
                let weight = Weight::of_process(&failure);
                self.fail(failure, weight);
            }
        }
    }

    /// A failure that the restart strategy may forgive.
    pub(super) fn fail(&mut self, failure: Failure, weight: Weight) {
        match &self.phase {
            Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers
            | Phase::Executing
            | Phase::Sealing => {
                self.record(failure.clone(), weight);
                let then = self.restarts.verdict(self.now, &failure);
                self.stop(then);
            }
            Phase::Stopping {
                then: Then::Restart { .. },
                ..
            } if weight == Weight::Fatal => {
                self.fail_for_good(failure, weight);
            }
            // The newest record is an older story.
            Phase::Stopping {
                then: Then::Cancel, ..
            } => self.stopped_if_idle(),
            Phase::Stopping { .. } => {
                self.failures.refine(failure, weight);
                self.stopped_if_idle();
            }
            // What fails within regions joins their recovery; this takes the whole job.
            Phase::Recovering(_) if weight == Weight::Fatal => self.fail_for_good(failure, weight),
            Phase::Recovering(_) => {
                self.failures.refine(failure, weight);
                self.take_all_back();
            }
            Phase::Created | Phase::Committing | Phase::Pausing { .. } | Phase::Ended(_) => (),
        }
    }

    /// A failure that nothing forgives.
    pub(super) fn fail_for_good(&mut self, failure: Failure, weight: Weight) {
        let then = Then::Fail { remark: None };
        match &self.phase {
            Phase::Stopping { round, .. } => {
                let round = *round;
                self.failures.refine(failure, weight);
                let cause = self.failures.cause().cloned();
                self.enter(Phase::Stopping { then, round }, cause);
                self.stopped_if_idle();
            }
            Phase::Recovering(_) => {
                self.failures.refine(failure, weight);
                self.stop(then);
            }
            Phase::Created
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers
            | Phase::Executing
            | Phase::Sealing
            | Phase::Committing
            | Phase::Pausing { .. }
            | Phase::Ended(_) => {
                self.record(failure, weight);
                self.stop(then);
            }
        }
    }

    pub(super) fn record(&mut self, failure: Failure, weight: Weight) {
        let record = FailureRecord {
            timestamp: self.now,
            failure,
            restarts: self.restarts.count(),
        };
        self.failures.begin(record, weight);
    }

    pub(super) fn cancel(&mut self) {
        match &self.phase {
            Phase::Stopping {
                round,
                then: Then::Restart { .. } | Then::Fail { .. },
            } => {
                let round = *round;
                self.enter(
                    Phase::Stopping {
                        then: Then::Cancel,
                        round,
                    },
                    None,
                );
            }
            Phase::Created
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers
            | Phase::Executing
            | Phase::Recovering(_)
            | Phase::Sealing
            | Phase::Pausing { .. } => self.stop(Then::Cancel),
            // What is partly committed must be committed whole.
            Phase::Committing
            | Phase::Stopping {
                then: Then::Cancel, ..
            }
            | Phase::Ended(_) => (),
        }
    }

    /// Asks every task to stop; what was not deployed stops at once.
    pub(super) fn stop(&mut self, then: Then) {
        self.stop_round += 1;
        let round = self.stop_round;
        let cause = match then {
            Then::Cancel => None,
            Then::Restart { .. } | Then::Fail { .. } => self.failures.cause().cloned(),
        };
        let why = match &cause {
            Some(cause) => format!("the job failed: {cause}"),
            None => "the job is being cancelled".to_owned(),
        };
        self.checkpoints.interrupted(self.now, &why, false);
        self.enter(Phase::Stopping { then, round }, cause);
        let live: Vec<(ExecutionAttemptId, Option<WorkerId>)> = self
            .executions
            .iter()
            .filter(|execution| execution.is_live())
            .map(|execution| (execution.attempt, execution.worker().cloned()))
            .collect();
        let mut deployed = Vec::new();
        for (attempt, worker) in live {
            match worker {
                None => self.advance(attempt, ExecutionState::Canceled, None),
                Some(worker) => deployed.push((attempt, worker)),
            }
        }
        self.cancel_tasks(deployed, round);
        self.stopped_if_idle();
    }

    /// Asks deployed tasks to stop, unless they were asked before, and limits the wait for them.
    pub(super) fn cancel_tasks(&mut self, tasks: Vec<(ExecutionAttemptId, WorkerId)>, round: u64) {
        let due = self.now.saturating_add(self.settings.cancellation_timeout);
        let timer = JobAction::ScheduleTimer(Timer::Cancellation(round), due);
        let any = !tasks.is_empty();
        let mut asked: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for (attempt, worker) in tasks {
            let stops = |it: &Execution| it.state == ExecutionState::Canceling;
            if self.executions.get(attempt).is_some_and(stops) {
                continue;
            }
            self.advance(attempt, ExecutionState::Canceling, None);
            asked.entry(worker).or_default().push(attempt);
        }
        if any {
            self.act(timer);
        }
        for (worker, attempts) in asked {
            self.act(JobAction::CancelTasks { worker, attempts });
        }
    }

    pub(super) fn cancellation_expired(&mut self, expired: u64) {
        if !matches!(self.phase, Phase::Stopping { round, .. } if round == expired) {
            self.recovery_cancellation_expired(expired);
            return;
        }
        let live = self
            .executions
            .iter()
            .filter(|execution| execution.is_live());
        let mut deaf: Vec<WorkerId> = live
            .filter_map(|execution| execution.worker())
            .cloned()
            .collect();
        deaf.sort();
        deaf.dedup();
        for worker in deaf {
            for attempt in self.executions.live_on(&worker) {
                let failure = self.locate(attempt, self.deaf());
                self.advance(attempt, ExecutionState::Failed, Some(failure));
            }
            self.workers.remove(&worker);
            self.act(JobAction::StopWorker(worker));
        }
        self.stopped_if_idle();
    }

    pub(super) fn deaf(&self) -> Failure {
        let message = format!(
            "the task did not stop within {:?} after it was cancelled (task.cancellation.timeout)",
            self.settings.cancellation_timeout
        );
        Failure::new(FailureClass::Transient, message)
    }

    /// Goes on when the last task has stopped.
    pub(super) fn stopped_if_idle(&mut self) {
        let Phase::Stopping { then, .. } = &self.phase else {
            return;
        };
        if self.executions.live() > 0 {
            return;
        }
        match then.clone() {
            Then::Restart { not_before } if self.now >= not_before => self.schedule(),
            Then::Restart { not_before } => self.pause(not_before),
            Then::Fail { remark } => {
                let failure = self.final_failure(remark);
                self.end(JobStatus::Failed, failure);
            }
            Then::Cancel => self.end(JobStatus::Canceled, None),
        }
    }

    fn pause(&mut self, until: Timestamp) {
        let restart = u64::from(self.restarts.count());
        self.enter(Phase::Pausing { restart }, None);
        self.act(JobAction::ScheduleTimer(Timer::Restart(restart), until));
    }

    pub(super) fn restart_due(&mut self, due: u64) {
        if matches!(self.phase, Phase::Pausing { restart } if restart == due) {
            self.schedule();
        } else {
            self.recovered_if_stopped();
        }
    }

    fn final_failure(&self, remark: Option<String>) -> Option<Failure> {
        let mut failure = self.failures.cause()?.clone();
        if let Some(remark) = remark {
            failure.message = format!("{}\n({remark})", failure.message);
        }
        Some(failure)
    }

    /// Adds what the reporter of a task's failure left out.
    pub(super) fn locate(&self, attempt: ExecutionAttemptId, mut failure: Failure) -> Failure {
        if failure.task.is_empty() {
            failure.task = self.topology.task_name(attempt.vertex, attempt.subtask);
        }
        let worker = self
            .executions
            .get(attempt)
            .and_then(|execution| execution.worker());
        match worker {
            Some(worker) => self.locate_in(&worker.container, failure),
            None => failure,
        }
    }

    fn locate_in(&self, container: &ContainerId, mut failure: Failure) -> Failure {
        if failure.location.is_empty() {
            failure.location = match self.slots.host_of(container) {
                Some(host) => format!("{container} ({host})"),
                None => container.to_string(),
            };
        }
        failure
    }
}

#[cfg(test)]
mod tests;
