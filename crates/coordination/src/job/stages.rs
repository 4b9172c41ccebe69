//! A job of several regions on its way: they are deployed when what they read is there, as their
//! slots and workers allow. Slots are held until the job ends.

use std::collections::BTreeSet;

use flott_model::{ContainerId, ExecutionAttemptId, ExecutionState, Failure, FailureClass};

use super::cause::Weight;
use super::core::JobCore;
use super::deployment::Plan;
use super::message::JobAction;
use super::phase::Phase;
use super::regions::Regions;
use super::topology::Subtask;

/// What a job of several regions knows beyond the others.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) regions: Regions,
    /// Number of the slot request that runs because a region cannot be deployed without.
    pub(super) slot_request: Option<u64>,
}

/// Why a ready region is not deployed.
enum Obstacle {
    /// A slot is missing.
    Slot,
    /// These containers of its slots have no registered worker.
    Workers(BTreeSet<ContainerId>),
}

impl JobCore {
    /// The stages, while they decide: regions are deployed and stopped one by one.
    pub(super) fn running_stages(&self) -> Option<&Stages> {
        let running = matches!(self.phase, Phase::Executing | Phase::Recovering(_));
        self.stages.as_ref().filter(|_| running)
    }

    /// Looks at all regions again.
    pub(super) fn rescan_regions(&mut self) {
        if let Some(stages) = &mut self.stages {
            stages.regions.rescan(&self.topology, &self.executions);
        }
    }

    /// Makes the attempts of the ready regions SCHEDULED; of a job without stages, all.
    pub(super) fn schedule_ready(&mut self) {
        let subtasks: Vec<Subtask> = match &self.stages {
            Some(stages) => members(&stages.regions, stages.regions.ready()),
            None => self.topology.subtasks().collect(),
        };
        for (vertex, subtask) in subtasks {
            let execution = self.executions.of(vertex, subtask);
            if execution.state == ExecutionState::Created {
                self.advance(execution.attempt, ExecutionState::Scheduled, None);
            }
        }
    }

    /// Deploys what can be, and sees to it that the rest will be.
    pub(super) fn deploy_ready(&mut self) {
        if self.running_stages().is_none() {
            return;
        }
        self.schedule_ready();
        self.slots.assign();
        let Some(stages) = &self.stages else { return };
        let mut deployable = Vec::new();
        let mut without_worker = BTreeSet::new();
        let mut lacks_slots = false;
        for region in stages.regions.ready() {
            match self.obstacle(*region) {
                None => deployable.push(*region),
                Some(Obstacle::Slot) => lacks_slots = true,
                Some(Obstacle::Workers(containers)) => without_worker.extend(containers),
            }
        }
        self.await_slots(lacks_slots);
        // During a recovery processes are not started: its pause is to come before.
        if matches!(self.phase, Phase::Executing) {
            for container in without_worker {
                if self.workers.in_container(&container).is_none() {
                    self.start_worker(&container);
                }
            }
        }
        self.deploy_regions(&deployable);
    }

    fn obstacle(&self, region: usize) -> Option<Obstacle> {
        let stages = self.stages.as_ref()?;
        let mut unregistered = BTreeSet::new();
        for (vertex, subtask) in stages.regions.members(region) {
            let position = self.topology.position(*vertex, *subtask);
            let Some(slot) = self.slots.assigned(position) else {
                return Some(Obstacle::Slot);
            };
            if self.workers.registered_in(&slot.container).is_none() {
                unregistered.insert(slot.container.clone());
            }
        }
        (!unregistered.is_empty()).then_some(Obstacle::Workers(unregistered))
    }

    /// Whether something was asked for that will let a ready region be deployed; for tests.
    pub(super) fn obstacle_is_known(&self, region: usize) -> bool {
        match self.obstacle(region) {
            None => false,
            Some(Obstacle::Slot) => self.region_lacks_slots(None),
            Some(Obstacle::Workers(containers)) => containers
                .iter()
                .all(|container| self.workers.in_container(container).is_some()),
        }
    }

    fn deploy_regions(&mut self, regions: &[usize]) {
        let Some(stages) = &mut self.stages else {
            return;
        };
        for region in regions {
            stages.regions.deployed(*region);
        }
        let subtasks = members(&stages.regions, regions);
        self.deploy(subtasks);
    }

    /// Sends subtasks to their workers.
    pub(super) fn deploy(&mut self, subtasks: Vec<Subtask>) {
        let plan = Plan::new(
            &self.topology,
            &self.executions,
            &self.slots,
            &self.workers,
            subtasks.into_iter(),
        );
        for place in plan.places() {
            self.executions
                .place(place.attempt, place.worker.clone(), place.slot.clone());
            self.advance(place.attempt, ExecutionState::Deploying, None);
        }
        let deployments = plan.deployments(&self.topology, &self.executions, &self.checkpoints);
        for (worker, tasks) in deployments {
            self.act(JobAction::Deploy { worker, tasks });
        }
    }

    /// Limits the wait for slots that a ready region lacks. Others may come in their time.
    fn await_slots(&mut self, lacking: bool) {
        let Some(stages) = &mut self.stages else {
            return;
        };
        if !lacking {
            stages.slot_request = None;
        } else if stages.slot_request.is_none() {
            self.request += 1;
            stages.slot_request = Some(self.request);
            // Again, so that it is told if none will come.
            self.act(JobAction::RequireSlots(self.topology.required_slots()));
            self.schedule_slot_timeout();
        }
    }

    /// Whether that slot request runs because a region waits for slots; any, if not named.
    pub(super) fn region_lacks_slots(&self, request: Option<u64>) -> bool {
        let current = self.running_stages().and_then(|it| it.slot_request);
        current.is_some_and(|current| request.is_none_or(|request| request == current))
    }

    /// A task has finished: what waited for it can begin.
    pub(super) fn region_task_finished(&mut self, attempt: ExecutionAttemptId) {
        if self.running_stages().is_none() {
            return;
        }
        if let Some(Stages { regions, .. }) = &mut self.stages {
            regions.finished(&self.topology, &self.executions, attempt);
        }
        self.deploy_ready();
        self.recovered_if_stopped();
    }

    /// A task has failed; perhaps for want of partitions, which are written again then.
    pub(super) fn region_task_failed(
        &mut self,
        attempt: ExecutionAttemptId,
        failure: Failure,
        missing: &[ExecutionAttemptId],
    ) {
        let Some(Stages { regions, .. }) = &mut self.stages else {
            return;
        };
        let mut lost = Vec::new();
        for producer in missing {
            if regions.lose(&self.topology, &self.executions, *producer) {
                lost.push(*producer);
            }
        }
        // What it missed is lost or written again already: the failure that began with counts.
        let echo =
            failure.class() == FailureClass::Transient && !missing.is_empty() && lost.is_empty();
        let mut stopped = regions.needed(&self.topology, &self.executions, &lost);
        stopped.insert(regions.of((attempt.vertex, attempt.subtask)));
        let weight = Weight::of_task(&failure);
        self.recover(failure, weight, stopped, echo);
    }

    /// Partitions are gone with their container, and tasks with their process.
    pub(super) fn region_process_lost(
        &mut self,
        tasks: &[ExecutionAttemptId],
        lost: &[ExecutionAttemptId],
        awaited: bool,
        failure: Failure,
    ) {
        let Some(Stages { regions, .. }) = &self.stages else {
            return;
        };
        let mut stopped = regions.needed(&self.topology, &self.executions, lost);
        stopped.extend(
            tasks
                .iter()
                .map(|attempt| regions.of((attempt.vertex, attempt.subtask))),
        );
        if stopped.is_empty() && !awaited {
            // Nobody misses it; a region that is ready may have to go elsewhere.
            self.rescan_regions();
            self.deploy_ready();
            return;
        }
        let weight = Weight::of_process(&failure);
        self.recover(failure, weight, stopped, false);
    }

    /// Whether a ready region waits for the worker of a container.
    pub(super) fn is_awaited(&self, container: &ContainerId) -> bool {
        let Some(stages) = self.running_stages() else {
            return false;
        };
        let mut subtasks = members(&stages.regions, stages.regions.ready()).into_iter();
        subtasks.any(|(vertex, subtask)| {
            let slot = self.slots.assigned(self.topology.position(vertex, subtask));
            slot.is_some_and(|slot| slot.container == *container)
        })
    }
}

pub(super) fn members<'a>(
    regions: &Regions,
    which: impl IntoIterator<Item = &'a usize>,
) -> Vec<Subtask> {
    which
        .into_iter()
        .flat_map(|region| regions.members(*region))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests;
