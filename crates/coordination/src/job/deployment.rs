//! Connects the subtasks: who runs where, which channels lead to whom, which partitions are read.

use std::collections::BTreeMap;
use std::ops::Range;

use flott_model::{ContainerId, ExecutionAttemptId, SlotId, VertexId};

use super::execution::Executions;
use super::message::{PartitionShape, TaskDeployment, TaskInput, TaskOutput, WorkerId};
use super::slots::SlotPool;
use super::topology::{Edge, Subtask, Topology};
use super::workers::Workers;
use crate::checkpoint::Checkpoints;

/// Where each of the subtasks that are deployed together will run.
pub(super) struct Plan {
    places: BTreeMap<Subtask, Place>,
}

pub(super) struct Place {
    pub(super) attempt: ExecutionAttemptId,
    pub(super) worker: WorkerId,
    pub(super) slot: SlotId,
    data_address: String,
}

impl Plan {
    /// Places subtasks. Their slots' containers must have registered workers.
    pub(super) fn new(
        topology: &Topology,
        executions: &Executions,
        slots: &SlotPool,
        workers: &Workers,
        subtasks: impl Iterator<Item = Subtask>,
    ) -> Self {
        let place = |(vertex, subtask): Subtask| {
            let slot = slots.at(topology.position(vertex, subtask)).clone();
            let (worker, data_address) = workers
                .registered_in(&slot.container)
                .expect("tasks are deployed when their workers are registered");
            let place = Place {
                attempt: executions.of(vertex, subtask).attempt,
                worker: worker.clone(),
                data_address: data_address.to_owned(),
                slot,
            };
            ((vertex, subtask), place)
        };
        Self {
            places: subtasks.map(place).collect(),
        }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    /// What each worker is told.
    pub(super) fn deployments(
        &self,
        topology: &Topology,
        executions: &Executions,
        checkpoints: &Checkpoints,
    ) -> BTreeMap<WorkerId, Vec<TaskDeployment>> {
        let mut deployments: BTreeMap<WorkerId, Vec<TaskDeployment>> = BTreeMap::new();
        for place in self.places() {
            let deployment = TaskDeployment {
                restore: checkpoints.restore(place.attempt.vertex, place.attempt.subtask),
                ..self.deployment(topology, executions, place)
            };
            deployments
                .entry(place.worker.clone())
                .or_default()
                .push(deployment);
        }
        deployments
    }

    fn deployment(
        &self,
        topology: &Topology,
        executions: &Executions,
        place: &Place,
    ) -> TaskDeployment {
        let ExecutionAttemptId {
            vertex, subtask, ..
        } = place.attempt;
        let inputs = topology
            .inputs(vertex)
            .map(|edge| self.input(executions, edge, subtask));
        let outputs = topology
            .outputs(vertex)
            .map(|edge| self.output(edge, subtask));
        TaskDeployment {
            attempt: place.attempt,
            slot: place.slot.index,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            restore: None,
        }
    }

    fn input(&self, executions: &Executions, edge: &Edge, subtask: u32) -> TaskInput {
        let reached = edge.sources_of(subtask);
        let (sources, locations, partitions) = if edge.blocking {
            let partitions = reached.map(|source| partition(executions, (edge.source, source)));
            (Vec::new(), Vec::new(), partitions.collect())
        } else {
            let (sources, locations) = self.ends(edge.source, reached);
            (sources, locations, Vec::new())
        };
        TaskInput {
            edge: edge.id,
            sources,
            locations,
            partitions,
        }
    }

    fn output(&self, edge: &Edge, subtask: u32) -> TaskOutput {
        let partition = edge.blocking.then(|| PartitionShape {
            consumers: edge.targets(),
            key_groups: edge.key_groups,
        });
        let (targets, locations) = if edge.blocking {
            (Vec::new(), Vec::new())
        } else {
            self.ends(edge.target, edge.targets_of(subtask))
        };
        TaskOutput {
            edge: edge.id,
            targets,
            locations,
            partition,
        }
    }

    fn ends(
        &self,
        vertex: VertexId,
        subtasks: Range<u32>,
    ) -> (Vec<ExecutionAttemptId>, Vec<(WorkerId, String)>) {
        subtasks
            .map(|subtask| {
                let place = &self.places[&(vertex, subtask)];
                (
                    place.attempt,
                    (place.worker.clone(), place.data_address.clone()),
                )
            })
            .unzip()
    }
}

/// Who wrote the partition of a finished subtask, and who keeps it.
fn partition(
    executions: &Executions,
    (vertex, subtask): Subtask,
) -> (ExecutionAttemptId, ContainerId) {
    let execution = executions.of(vertex, subtask);
    let worker = execution
        .worker()
        .expect("readers are deployed when their producers have finished");
    (execution.attempt, worker.container.clone())
}

#[cfg(test)]
mod tests;
