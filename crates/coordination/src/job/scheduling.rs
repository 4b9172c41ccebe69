//! From nothing to running: slots, workers, deployment.

use flott_model::{
    ContainerId, ExecutionAttemptId, ExecutionState, Failure, FailureClass, StoredCommittable,
};

use super::cause::Weight;
use super::core::JobCore;
use super::execution::may_follow;
use super::message::{JobAction, SlotOffer, Timer, WorkerId};
use super::phase::{Phase, Then};
use super::stages::Stages;
use super::workers::Registration;

impl JobCore {
    pub(super) fn start(&mut self) {
        if !matches!(self.phase, Phase::Created) {
            return;
        }
        match self.checkpoints.refusal().cloned() {
            Some(refusal) => self.fail_for_good(refusal, Weight::Fatal),
            None => self.schedule(),
        }
    }

    /// Asks for everything that a fresh attempt of each subtask needs.
    pub(super) fn schedule(&mut self) {
        self.request += 1;
        self.enter(
            Phase::WaitingForSlots {
                request: self.request,
            },
            None,
        );
        self.executions.renew(self.now);
        self.prepare_restore(true);
        if let Some(Stages { regions, .. }) = &mut self.stages {
            regions.all_renewed();
        }
        self.rescan_regions();
        self.schedule_ready();
        self.act(JobAction::RequireSlots(self.topology.required_slots()));
        if self.slots.is_complete() {
            self.start_workers();
        } else {
            self.schedule_slot_timeout();
        }
    }

    pub(super) fn schedule_slot_timeout(&mut self) {
        let due = self.now.saturating_add(self.settings.slot_request_timeout);
        self.act(JobAction::ScheduleTimer(
            Timer::SlotRequest(self.request),
            due,
        ));
    }

    pub(super) fn take_slots(&mut self, offers: Vec<SlotOffer>) {
        let surplus = if matches!(self.phase, Phase::Ended(_)) {
            offers.into_iter().map(|offer| offer.slot).collect()
        } else {
            self.slots.offer(offers)
        };
        if !surplus.is_empty() {
            self.act(JobAction::ReleaseSlots(surplus));
        }
        match self.phase {
            Phase::WaitingForSlots { .. } if self.slots.is_complete() => self.start_workers(),
            Phase::Committing => self.continue_commit(),
            Phase::Executing | Phase::Recovering(_) => self.deploy_ready(),
            Phase::Created
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers
            | Phase::Sealing
            | Phase::Stopping { .. }
            | Phase::Pausing { .. }
            | Phase::Ended(_) => (),
        }
    }

    pub(super) fn slots_unavailable(&mut self, failure: Failure) {
        let fatal = match &self.phase {
            Phase::WaitingForSlots { .. } | Phase::Pausing { .. } => !self.slots.is_complete(),
            Phase::Stopping {
                then: Then::Restart { .. },
                ..
            } => !self.slots.is_complete(),
            Phase::Committing => self.slots.held() == 0,
            Phase::Executing | Phase::Recovering(_) => self.region_lacks_slots(None),
            // Nothing is needed now; a restart asks again and gets the same answer.
            Phase::Created
            | Phase::StartingWorkers
            | Phase::Sealing
            | Phase::Stopping {
                then: Then::Fail { .. } | Then::Cancel,
                ..
            }
            | Phase::Ended(_) => false,
        };
        if fatal {
            self.fail_for_good(failure, Weight::Fatal);
        }
    }

    pub(super) fn slot_request_expired(&mut self, request: u64) {
        let waiting = match &self.phase {
            Phase::WaitingForSlots { request: current } => *current == request,
            Phase::Committing => request == self.request && self.slots.held() == 0,
            Phase::Executing | Phase::Recovering(_) => self.region_lacks_slots(Some(request)),
            Phase::Created
            | Phase::StartingWorkers
            | Phase::Sealing
            | Phase::Stopping { .. }
            | Phase::Pausing { .. }
            | Phase::Ended(_) => false,
        };
        if !waiting {
            return;
        }
        let message = format!(
            "got {} of {} slots within {:?} (slot.request.timeout){}: the cluster may lack resources",
            self.slots.held(),
            self.slots.needed(),
            self.settings.slot_request_timeout,
            self.slots.missing_sizes(),
        );
        self.fail_for_good(Failure::new(FailureClass::Fatal, message), Weight::Fatal);
    }

    /// All slots are here: places the subtasks and starts the workers that are missing.
    fn start_workers(&mut self) {
        self.slots.assign();
        self.enter(Phase::StartingWorkers, None);
        for container in self.slots.containers() {
            if self.workers.in_container(&container).is_none() {
                self.start_worker(&container);
            }
        }
        self.deploy_if_ready();
    }

    pub(super) fn start_worker(&mut self, container: &ContainerId) {
        let worker = self.workers.start(container);
        let slots = self.slots.indices_in(container).collect();
        let due = self.now.saturating_add(self.settings.worker_start_timeout);
        self.act(JobAction::StartWorker {
            worker: worker.clone(),
            slots,
        });
        self.act(JobAction::ScheduleTimer(Timer::WorkerStart(worker), due));
    }

    pub(super) fn register(&mut self, worker: WorkerId, data_address: String) {
        match self.workers.register(&worker, data_address) {
            Registration::Unknown => self.act(JobAction::StopWorker(worker)),
            Registration::Again => (),
            Registration::First => match self.phase {
                Phase::StartingWorkers => self.deploy_if_ready(),
                Phase::Committing => self.continue_commit(),
                Phase::Executing | Phase::Recovering(_) => self.deploy_ready(),
                Phase::Created
                | Phase::WaitingForSlots { .. }
                | Phase::Sealing
                | Phase::Stopping { .. }
                | Phase::Pausing { .. }
                | Phase::Ended(_) => (),
            },
        }
    }

    pub(super) fn worker_start_expired(&mut self, worker: &WorkerId) {
        if self.workers.is_starting(worker) {
            let message = format!(
                "the worker did not register within {:?} after its start",
                self.settings.worker_start_timeout
            );
            let failure = Failure::new(FailureClass::Transient, message);
            self.worker_lost(worker, failure);
        }
    }

    fn deploy_if_ready(&mut self) {
        let containers = self.slots.containers();
        if !containers
            .iter()
            .all(|container| self.workers.registered_in(container).is_some())
        {
            return;
        }
        self.enter(Phase::Executing, None);
        if self.stages.is_some() {
            self.deploy_ready();
        } else {
            let everything = self.topology.subtasks().collect();
            self.deploy(everything);
        }
    }

    /// A worker's word on a task. What cannot follow the present state is late or doubled.
    pub(super) fn task_changed(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<Failure>,
        output: Vec<StoredCommittable>,
        missing: &[ExecutionAttemptId],
    ) {
        use ExecutionState as S;
        let Some(execution) = self.executions.get(attempt) else {
            return;
        };
        let from = execution.state;
        // Only a deployed task has a worker that can speak for it.
        if execution.place.is_none() || from.is_terminal() {
            return;
        }
        match state {
            S::Initializing | S::Running if may_follow(from, state) => {
                self.advance(attempt, state, None);
            }
            S::Finished => self.task_finished(attempt, output),
            S::Canceled if from == S::Canceling => {
                self.advance(attempt, state, None);
                self.stopped_if_idle();
                self.recovered_if_stopped();
            }
            // Nobody asked for it, so nothing else would ever follow.
            S::Canceled => self.task_failed(attempt, canceled_unasked(), &[]),
            // Its peers on other workers heard of the savepoint first and are gone. So may it be.
            S::Failed if self.is_finishing() && failure.as_ref().is_some_and(is_echo) => {
                self.task_finished(attempt, output);
            }
            S::Failed => self.task_failed(attempt, failure.unwrap_or_else(no_reason), missing),
            S::Created
            | S::Scheduled
            | S::Deploying
            | S::Initializing
            | S::Running
            | S::Canceling => (),
        }
    }

    /// Whether all tasks were told to finish behind a savepoint, and none has failed.
    fn is_finishing(&self) -> bool {
        matches!(self.phase, Phase::Executing) && self.checkpoints.is_finishing()
    }

    fn task_finished(&mut self, attempt: ExecutionAttemptId, output: Vec<StoredCommittable>) {
        self.executions.set_output(attempt, output);
        self.advance(attempt, ExecutionState::Finished, None);
        let name = self.topology.task_name(attempt.vertex, attempt.subtask);
        self.checkpoints.task_finished(self.now, attempt, &name);
        if self.executions.all_finished() && matches!(self.phase, Phase::Executing) {
            self.begin_commit();
        } else {
            self.stopped_if_idle();
            self.region_task_finished(attempt);
        }
    }
}

/// Whether a task only says that it has lost its surroundings.
fn is_echo(failure: &Failure) -> bool {
    Weight::of_task(failure) == Weight::Echo
}

fn canceled_unasked() -> Failure {
    Failure::new(
        FailureClass::Transient,
        "the worker cancelled the task without being asked to",
    )
}

fn no_reason() -> Failure {
    Failure::new(
        FailureClass::Transient,
        "the task failed, and its worker gave no reason",
    )
}

#[cfg(test)]
mod tests;
