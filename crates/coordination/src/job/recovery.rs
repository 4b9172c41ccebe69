//! Some regions of a job run again while the others go on.
//!
//! One recovery at a time: what fails meanwhile joins it, and all of it starts again together when
//! its tasks have stopped and the pause is over. So one loss counts once, however many notice it.

use std::collections::{BTreeMap, BTreeSet};

use flott_model::{ExecutionAttemptId, ExecutionState, Failure, FailureClass};

use super::cause::Weight;
use super::core::JobCore;
use super::message::{JobAction, Timer, WorkerId};
use super::phase::{Phase, Then};
use super::regions::Regions;
use super::stages::{Stages, members};
use crate::Timestamp;

/// A recovery; the regions know whether they belong to it.
#[derive(Debug)]
pub(super) struct Recovery {
    not_before: Timestamp,
    /// Attempts that were asked to stop and have not, and in which round.
    stopping: BTreeMap<ExecutionAttemptId, u64>,
}

impl Recovery {
    pub(super) fn ended(&mut self, attempt: ExecutionAttemptId) {
        self.stopping.remove(&attempt);
    }

    pub(super) fn stopping(&self) -> usize {
        self.stopping.len()
    }
}

impl JobCore {
    /// Has regions run again, if the restart strategy allows it. An echo of what it was asked about
    /// before does not count.
    pub(super) fn recover(
        &mut self,
        failure: Failure,
        weight: Weight,
        regions: BTreeSet<usize>,
        echo: bool,
    ) {
        if matches!(self.phase, Phase::Recovering(_)) {
            if weight == Weight::Fatal {
                self.fail_for_good(failure, weight);
                return;
            }
            self.failures.refine(failure, weight);
        } else {
            let then = if echo {
                Then::Restart {
                    not_before: self.now,
                }
            } else {
                self.record(failure.clone(), weight);
                self.restarts.verdict(self.now, &failure)
            };
            let Then::Restart { not_before } = then else {
                self.stop(then);
                return;
            };
            self.begin_recovery(not_before);
        }
        self.stop_regions(regions);
        self.recovered_if_stopped();
    }

    fn begin_recovery(&mut self, not_before: Timestamp) {
        let recovery = Recovery {
            not_before,
            stopping: BTreeMap::new(),
        };
        let cause = self.failures.cause().cloned();
        let why = match &cause {
            Some(cause) => format!("a part of the job failed: {cause}"),
            None => "a part of the job failed".to_owned(),
        };
        self.checkpoints.interrupted(self.now, &why, true);
        self.enter(Phase::Recovering(recovery), cause);
        if not_before > self.now {
            let timer = Timer::Restart(u64::from(self.restarts.count()));
            self.act(JobAction::ScheduleTimer(timer, not_before));
        }
    }

    /// Stops what runs of these regions, and of those that must write again what they read.
    fn stop_regions(&mut self, regions: BTreeSet<usize>) {
        let Some(Stages { regions: known, .. }) = &mut self.stages else {
            return;
        };
        let mut open: Vec<usize> = regions.into_iter().collect();
        let mut stopped = Vec::new();
        while let Some(region) = open.pop() {
            if known.restart(region) {
                stopped.push(region);
                open.extend(known.lost_inputs(&self.topology, &self.executions, region));
            }
        }
        stopped.sort_unstable();
        let live: Vec<(ExecutionAttemptId, WorkerId)> = members(known, &stopped)
            .into_iter()
            .map(|(vertex, subtask)| self.executions.of(vertex, subtask))
            .filter(|execution| execution.is_live())
            .filter_map(|execution| Some((execution.attempt, execution.worker()?.clone())))
            .collect();
        self.rescan_regions();
        if live.is_empty() {
            return;
        }
        self.stop_round += 1;
        let round = self.stop_round;
        if let Phase::Recovering(recovery) = &mut self.phase {
            let attempts = live.iter().map(|(attempt, _)| (*attempt, round));
            recovery.stopping.extend(attempts);
        }
        self.cancel_tasks(live, round);
    }

    /// Has all of the job begin again when it is time.
    pub(super) fn take_all_back(&mut self) {
        if let Phase::Recovering(recovery) = &self.phase {
            let not_before = recovery.not_before;
            self.stop(Then::Restart { not_before });
        }
    }

    /// Has the stopped regions begin again when it is time.
    pub(super) fn recovered_if_stopped(&mut self) {
        match &self.phase {
            Phase::Recovering(recovery)
                if recovery.stopping.is_empty() && self.now >= recovery.not_before => {}
            Phase::Recovering(_)
            | Phase::Created
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers
            | Phase::Executing
            | Phase::Sealing
            | Phase::Committing
            | Phase::Stopping { .. }
            | Phase::Pausing { .. }
            | Phase::Ended(_) => return,
        }
        self.enter(Phase::Executing, None);
        let Some(Stages { regions, .. }) = &mut self.stages else {
            return;
        };
        let again = regions.restarting();
        for region in &again {
            regions.renewed(*region);
        }
        for (vertex, subtask) in members(regions, &again) {
            self.executions.renew_one(self.now, (vertex, subtask));
            let attempt = self.executions.of(vertex, subtask).attempt;
            self.act(JobAction::ExecutionChanged {
                attempt,
                state: ExecutionState::Created,
                worker: None,
                failure: None,
            });
        }
        self.prepare_restore(false);
        self.rescan_regions();
        self.deploy_ready();
    }

    /// Tasks that were asked in this round or before, and still run, are ended with their workers.
    pub(super) fn recovery_cancellation_expired(&mut self, round: u64) {
        let Phase::Recovering(recovery) = &self.phase else {
            return;
        };
        let deaf = recovery
            .stopping
            .iter()
            .filter(|(_, asked)| **asked <= round);
        let deaf: BTreeSet<ExecutionAttemptId> = deaf.map(|(attempt, _)| *attempt).collect();
        let workers: BTreeSet<WorkerId> = deaf
            .iter()
            .filter_map(|attempt| self.executions.get(*attempt)?.worker().cloned())
            .collect();
        let mut regions = BTreeSet::new();
        for worker in workers {
            for attempt in self.executions.live_on(&worker) {
                let failure = if deaf.contains(&attempt) {
                    self.deaf()
                } else {
                    let message = "its worker was ended because another task did not stop";
                    Failure::new(FailureClass::Transient, message)
                };
                let failure = self.locate(attempt, failure);
                self.advance(attempt, ExecutionState::Failed, Some(failure));
                regions.extend(self.region_of(attempt));
            }
            self.workers.remove(&worker);
            self.act(JobAction::StopWorker(worker));
        }
        self.stop_regions(regions);
        self.recovered_if_stopped();
    }

    fn region_of(&self, attempt: ExecutionAttemptId) -> Option<usize> {
        let regions: &Regions = &self.stages.as_ref()?.regions;
        Some(regions.of((attempt.vertex, attempt.subtask)))
    }
}

#[cfg(test)]
mod tests;
