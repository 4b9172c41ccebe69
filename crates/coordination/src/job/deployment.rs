//! Connects the subtasks: who runs where, and which channels lead to whom.

use std::collections::BTreeMap;
use std::ops::Range;

use flott_model::{ExecutionAttemptId, SlotId, VertexId};

use super::execution::Executions;
use super::message::{TaskDeployment, TaskInput, TaskOutput, WorkerId};
use super::slots::SlotPool;
use super::topology::Topology;
use super::workers::Workers;

/// Where each subtask will run.
pub(super) struct Plan {
    places: Vec<Vec<Place>>,
}

pub(super) struct Place {
    pub(super) attempt: ExecutionAttemptId,
    pub(super) worker: WorkerId,
    pub(super) slot: SlotId,
    data_address: String,
}

impl Plan {
    /// Places every subtask. Every container with slots must have a registered worker.
    pub(super) fn new(
        topology: &Topology,
        executions: &Executions,
        slots: &SlotPool,
        workers: &Workers,
    ) -> Self {
        let place = |vertex: VertexId, subtask: u32| {
            let slot = slots.at(topology.position(vertex, subtask)).clone();
            let (worker, data_address) = workers
                .registered_in(&slot.container)
                .expect("tasks are deployed when every worker is registered");
            Place {
                attempt: executions.of(vertex, subtask).attempt,
                worker: worker.clone(),
                data_address: data_address.to_owned(),
                slot,
            }
        };
        let places = topology
            .vertices()
            .map(|(vertex, parallelism)| {
                (0..parallelism)
                    .map(|subtask| place(vertex, subtask))
                    .collect()
            })
            .collect();
        Self { places }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().flatten()
    }

    /// What each worker is told.
    pub(super) fn deployments(
        &self,
        topology: &Topology,
    ) -> BTreeMap<WorkerId, Vec<TaskDeployment>> {
        let mut deployments: BTreeMap<WorkerId, Vec<TaskDeployment>> = BTreeMap::new();
        for place in self.places() {
            deployments
                .entry(place.worker.clone())
                .or_default()
                .push(self.deployment(topology, place));
        }
        deployments
    }

    fn deployment(&self, topology: &Topology, place: &Place) -> TaskDeployment {
        let ExecutionAttemptId {
            vertex, subtask, ..
        } = place.attempt;
        let inputs = topology.inputs(vertex).map(|edge| {
            let (sources, locations) = self.ends(edge.source, edge.sources_of(subtask));
            TaskInput {
                edge: edge.id,
                sources,
                locations,
            }
        });
        let outputs = topology.outputs(vertex).map(|edge| {
            let (targets, locations) = self.ends(edge.target, edge.targets_of(subtask));
            TaskOutput {
                edge: edge.id,
                targets,
                locations,
            }
        });
        TaskDeployment {
            attempt: place.attempt,
            slot: place.slot.index,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        }
    }

    fn ends(
        &self,
        vertex: VertexId,
        subtasks: Range<u32>,
    ) -> (Vec<ExecutionAttemptId>, Vec<(WorkerId, String)>) {
        let range = subtasks.start as usize..subtasks.end as usize;
        self.places[vertex.0 as usize][range]
            .iter()
            .map(|place| {
                (
                    place.attempt,
                    (place.worker.clone(), place.data_address.clone()),
                )
            })
            .unzip()
    }
}

#[cfg(test)]
mod tests;
