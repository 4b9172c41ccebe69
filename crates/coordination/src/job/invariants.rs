//! What holds after each event, whatever it was.

use std::collections::BTreeSet;

use flott_model::{ExecutionAttemptId, ExecutionState, SlotId};

use super::core::JobCore;
use super::phase::Phase;
use super::regions::RegionState;
use super::stages::Stages;

impl JobCore {
    pub(super) fn check_invariants(&self) {
        let live = self
            .executions
            .iter()
            .filter(|execution| execution.is_live())
            .count();
        assert_eq!(
            live,
            self.executions.live(),
            "live executions are counted right"
        );
        self.check_places();
        self.checkpoints.check_invariants();
        for attempt in self.checkpoints.participants() {
            assert!(
                self.executions.get(attempt).is_some(),
                "only present attempts take part in checkpoints"
            );
        }
        match &self.phase {
            Phase::Created => assert_eq!(self.request, 0, "nothing happened yet"),
            Phase::WaitingForSlots { .. } => {
                assert!(!self.slots.is_complete(), "complete slots are used at once");
            }
            Phase::StartingWorkers => {
                let containers = self.slots.containers();
                let registered = |container| self.workers.registered_in(container).is_some();
                assert!(
                    self.slots.is_complete(),
                    "workers are started when all slots came"
                );
                assert!(
                    !containers.iter().all(registered),
                    "registered workers are used at once"
                );
            }
            Phase::Executing => {
                assert!(live > 0, "the last end of a task has a consequence");
                self.check_stages(false);
            }
            Phase::Recovering(recovery) => {
                let stopping = self
                    .executions
                    .iter()
                    .filter(|execution| execution.state == ExecutionState::Canceling);
                assert_eq!(
                    stopping.count(),
                    recovery.stopping(),
                    "only what was asked to stop is awaited"
                );
                self.check_stages(true);
            }
            Phase::Sealing | Phase::Committing => {
                assert!(self.executions.all_finished(), "ends come first")
            }
            Phase::Stopping { .. } => assert!(live > 0, "the last end of a task is noticed"),
            Phase::Pausing { .. } => assert_eq!(live, 0, "tasks stop before a pause"),
            Phase::Ended(_) => {
                assert_eq!(live, 0, "no task outlives its job");
                assert!(self.workers.is_empty(), "no worker outlives its job");
                assert_eq!(self.slots.held(), 0, "no slot outlives its job");
            }
        }
    }

    fn check_stages(&self, recovering: bool) {
        let Some(Stages { regions, .. }) = &self.stages else {
            assert!(!recovering, "without regions the whole job runs again");
            return;
        };
        assert!(
            regions.is_up_to_date(&self.topology, &self.executions),
            "what is ready is known"
        );
        assert!(
            recovering || regions.restarting().is_empty(),
            "regions are stopped by a recovery"
        );
        for execution in self.executions.iter() {
            let ExecutionAttemptId {
                vertex, subtask, ..
            } = execution.attempt;
            let waiting = regions.state(regions.of((vertex, subtask))) == RegionState::Waiting;
            assert_eq!(
                waiting,
                matches!(
                    execution.state,
                    ExecutionState::Created | ExecutionState::Scheduled
                ),
                "a region is deployed as a whole"
            );
        }
        for region in regions.ready() {
            assert!(
                recovering || self.obstacle_is_known(*region),
                "what is ready is deployed, or awaits a slot or a worker"
            );
        }
    }

    fn check_places(&self) {
        let mut places: BTreeSet<(&SlotId, u32)> = BTreeSet::new();
        for execution in self
            .executions
            .iter()
            .filter(|execution| execution.is_live())
        {
            let Some((worker, slot)) = &execution.place else {
                continue;
            };
            assert!(
                self.workers.address(worker).is_some(),
                "tasks live on registered workers"
            );
            assert!(self.slots.holds(slot), "tasks live in held slots");
            assert_eq!(
                worker.container, slot.container,
                "a task's slot is its worker's"
            );
            let vertex = execution.attempt.vertex.0;
            assert!(
                places.insert((slot, vertex)),
                "subtasks of a vertex never share a slot"
            );
        }
    }
}
