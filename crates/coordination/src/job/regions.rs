//! The pipelined regions of a job: which subtasks run together, which of them wait for what.
//!
//! A region is what pipelined channels connect, subtask by subtask: if one of its tasks fails, all of
//! them run again, and nothing else. It may start when each partition it reads is there.

use std::collections::BTreeSet;

use flott_model::{ContainerId, ExecutionAttemptId, ExecutionState};

use super::execution::{Execution, Executions};
use super::topology::{Subtask, Topology};

/// Where a region stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegionState {
    /// Its present attempts were not deployed.
    Waiting,
    /// All of them were: they run or have finished.
    Deployed,
    /// They stop or have stopped, and new ones follow.
    Restarting,
}

#[derive(Debug)]
struct Region {
    members: Vec<Subtask>,
    state: RegionState,
}

/// The regions of a job that has several.
#[derive(Debug)]
pub(super) struct Regions {
    regions: Vec<Region>,
    /// Region of each subtask of each vertex.
    of: Vec<Vec<usize>>,
    /// Present attempts that have finished and whose partitions are gone.
    lost: BTreeSet<ExecutionAttemptId>,
    /// How many subtasks of each vertex have partitions that can be read. Kept, because an all-to-all
    /// edge would make each look at it quadratic.
    readable: Vec<u32>,
    /// Waiting regions whose partitions are all there.
    ready: BTreeSet<usize>,
}

impl Regions {
    pub(super) fn new(topology: &Topology) -> Self {
        let of = connected(topology);
        let mut regions: Vec<Region> = Vec::new();
        for (vertex, subtask) in topology.subtasks() {
            let region = of[vertex.0 as usize][subtask as usize];
            if region == regions.len() {
                regions.push(Region {
                    members: Vec::new(),
                    state: RegionState::Waiting,
                });
            }
            regions[region].members.push((vertex, subtask));
        }
        Self {
            regions,
            readable: vec![0; of.len()],
            of,
            lost: BTreeSet::new(),
            ready: BTreeSet::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.regions.len()
    }

    pub(super) fn of(&self, (vertex, subtask): Subtask) -> usize {
        self.of[vertex.0 as usize][subtask as usize]
    }

    pub(super) fn members(&self, region: usize) -> &[Subtask] {
        &self.regions[region].members
    }

    pub(super) fn state(&self, region: usize) -> RegionState {
        self.regions[region].state
    }

    /// The regions that can be deployed as soon as they have slots and workers.
    pub(super) fn ready(&self) -> &BTreeSet<usize> {
        &self.ready
    }

    pub(super) fn restarting(&self) -> Vec<usize> {
        (0..self.regions.len())
            .filter(|region| self.state(*region) == RegionState::Restarting)
            .collect()
    }

    pub(super) fn deployed(&mut self, region: usize) {
        self.ready.remove(&region);
        self.regions[region].state = RegionState::Deployed;
    }

    /// Notes that a deployed region is to run again; false if it has not run or is stopped already.
    pub(super) fn restart(&mut self, region: usize) -> bool {
        let deployed = self.state(region) == RegionState::Deployed;
        if deployed {
            self.regions[region].state = RegionState::Restarting;
        }
        deployed
    }

    /// Notes that a region has new attempts.
    pub(super) fn renewed(&mut self, region: usize) {
        self.regions[region].state = RegionState::Waiting;
    }

    /// Notes that all subtasks have new attempts.
    pub(super) fn all_renewed(&mut self) {
        for region in &mut self.regions {
            region.state = RegionState::Waiting;
        }
    }

    /// Looks at everything again, after partitions or regions ceased to be what they were.
    pub(super) fn rescan(&mut self, topology: &Topology, executions: &Executions) {
        self.lost
            .retain(|attempt| executions.get(*attempt).is_some());
        self.readable = self.count_readable(topology, executions);
        self.ready = self.find_ready(topology, executions);
    }

    fn count_readable(&self, topology: &Topology, executions: &Executions) -> Vec<u32> {
        let mut readable = vec![0; self.of.len()];
        for subtask in topology.subtasks() {
            let counts = self.is_readable(executions, subtask);
            readable[subtask.0.0 as usize] += u32::from(counts);
        }
        readable
    }

    fn find_ready(&self, topology: &Topology, executions: &Executions) -> BTreeSet<usize> {
        (0..self.regions.len())
            .filter(|region| self.can_start(topology, executions, *region))
            .collect()
    }

    /// Whether the counts are right; for tests.
    pub(super) fn is_up_to_date(&self, topology: &Topology, executions: &Executions) -> bool {
        self.readable == self.count_readable(topology, executions)
            && self.ready == self.find_ready(topology, executions)
    }

    /// A task has finished: what waited for it alone becomes ready.
    pub(super) fn finished(
        &mut self,
        topology: &Topology,
        executions: &Executions,
        attempt: ExecutionAttemptId,
    ) {
        let (vertex, subtask) = (attempt.vertex, attempt.subtask);
        if !self.is_readable(executions, (vertex, subtask)) {
            return; // Its region runs again.
        }
        self.readable[vertex.0 as usize] += 1;
        for edge in topology.blocking_outputs(vertex) {
            for target in edge.targets_of(subtask) {
                let region = self.of((edge.target, target));
                if self.can_start(topology, executions, region) {
                    self.ready.insert(region);
                }
            }
        }
    }

    fn can_start(&self, topology: &Topology, executions: &Executions, region: usize) -> bool {
        let all_readable = |(vertex, subtask): &Subtask| {
            topology.blocking_inputs(*vertex).all(|edge| {
                if self.readable[edge.source.0 as usize] == edge.sources() {
                    return true;
                }
                let mut sources = edge.sources_of(*subtask);
                // All of them are needed, and not all are there.
                let of_all = sources.len() == edge.sources() as usize;
                !of_all && sources.all(|source| self.is_readable(executions, (edge.source, source)))
            })
        };
        let Region { members, state } = &self.regions[region];
        *state == RegionState::Waiting && members.iter().all(all_readable)
    }

    /// Whether what the present attempt of a subtask wrote can be read and will stay what it is.
    fn is_readable(&self, executions: &Executions, (vertex, subtask): Subtask) -> bool {
        self.state(self.of((vertex, subtask))) == RegionState::Deployed
            && self.is_kept(executions.of(vertex, subtask))
    }

    fn is_kept(&self, execution: &Execution) -> bool {
        execution.state == ExecutionState::Finished && !self.lost.contains(&execution.attempt)
    }

    /// Notes that what an attempt wrote is gone; false if it is no news.
    pub(super) fn lose(
        &mut self,
        topology: &Topology,
        executions: &Executions,
        attempt: ExecutionAttemptId,
    ) -> bool {
        let kept = executions
            .get(attempt)
            .is_some_and(|execution| self.is_kept(execution));
        let writes = topology.blocking_outputs(attempt.vertex).next().is_some();
        kept && writes && self.lost.insert(attempt)
    }

    /// Notes that all that was written in a container is gone; gives the attempts that wrote it.
    pub(super) fn lose_container(
        &mut self,
        topology: &Topology,
        executions: &Executions,
        container: &ContainerId,
    ) -> Vec<ExecutionAttemptId> {
        let there = executions.iter().filter(|execution| {
            execution
                .worker()
                .is_some_and(|worker| worker.container == *container)
        });
        let attempts: Vec<ExecutionAttemptId> = there.map(|execution| execution.attempt).collect();
        attempts
            .into_iter()
            .filter(|attempt| self.lose(topology, executions, *attempt))
            .collect()
    }

    /// The regions of those attempts whose lost partitions somebody may still read.
    pub(super) fn needed(
        &self,
        topology: &Topology,
        executions: &Executions,
        lost: &[ExecutionAttemptId],
    ) -> BTreeSet<usize> {
        let unfinished = |subtask: Subtask| {
            let members = self.members(self.of(subtask)).iter();
            let mut states = members.map(|(vertex, index)| executions.of(*vertex, *index).state);
            self.state(self.of(subtask)) != RegionState::Deployed
                || states.any(|state| state != ExecutionState::Finished)
        };
        let is_read = |attempt: &&ExecutionAttemptId| {
            topology.blocking_outputs(attempt.vertex).any(|edge| {
                edge.targets_of(attempt.subtask)
                    .any(|target| unfinished((edge.target, target)))
            })
        };
        lost.iter()
            .filter(is_read)
            .map(|attempt| self.of((attempt.vertex, attempt.subtask)))
            .collect()
    }

    /// The regions that must write again what a region that runs again reads.
    pub(super) fn lost_inputs(
        &self,
        topology: &Topology,
        executions: &Executions,
        region: usize,
    ) -> BTreeSet<usize> {
        let mut producers = BTreeSet::new();
        for (vertex, subtask) in self.members(region) {
            for edge in topology.blocking_inputs(*vertex) {
                for source in edge.sources_of(*subtask) {
                    let attempt = executions.of(edge.source, source).attempt;
                    if self.lost.contains(&attempt) {
                        producers.insert(self.of((edge.source, source)));
                    }
                }
            }
        }
        producers
    }
}

/// Numbers what pipelined channels connect, in the order of its first subtask.
fn connected(topology: &Topology) -> Vec<Vec<usize>> {
    let mut first: Vec<usize> = Vec::new();
    let mut total = 0;
    for (_, parallelism) in topology.vertices() {
        first.push(total);
        total += parallelism as usize;
    }
    let mut parents: Vec<usize> = (0..total).collect();
    for (source, subtask) in topology.subtasks() {
        for edge in topology.outputs(source).filter(|edge| !edge.blocking) {
            let from = first[source.0 as usize] + subtask as usize;
            for target in edge.targets_of(subtask) {
                let to = first[edge.target.0 as usize] + target as usize;
                let (one, other) = (root(&mut parents, from), root(&mut parents, to));
                parents[one.max(other)] = one.min(other);
            }
        }
    }
    let mut numbers: Vec<Option<usize>> = vec![None; total];
    let mut next = 0;
    topology
        .vertices()
        .map(|(vertex, parallelism)| {
            let positions = (0..parallelism as usize).map(|it| first[vertex.0 as usize] + it);
            positions
                .map(|position| {
                    let root = root(&mut parents, position);
                    *numbers[root].get_or_insert_with(|| {
                        next += 1;
                        next - 1
                    })
                })
                .collect()
        })
        .collect()
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use flott_model::ShipStrategy as Ship;

    use super::*;
    use crate::job::testkit::{blocking, edge, graph};

    fn layout(vertices: &[(&str, u32)], edges: &[flott_model::JobEdge]) -> Vec<Vec<usize>> {
        connected(&Topology::new(&graph(vertices, edges)))
    }

    #[test]
    fn pipelined_channels_connect_subtasks() {
        let vertices = [("a", 2), ("b", 2), ("c", 4)];
        let forward = edge(0, 1, Ship::Forward);
        assert_eq!(
            layout(&vertices, &[forward.clone(), blocking(1, 2, Ship::Hash)]),
            [vec![0, 1], vec![0, 1], vec![2, 3, 4, 5]]
        );
        assert_eq!(
            layout(&vertices, &[forward.clone(), edge(1, 2, Ship::Rescale)]),
            [vec![0, 1], vec![0, 1], vec![0, 0, 1, 1]]
        );
        assert_eq!(
            layout(
                &vertices,
                &[blocking(0, 1, Ship::Hash), edge(1, 2, Ship::Hash)]
            ),
            [vec![0, 1], vec![2, 2], vec![2, 2, 2, 2]]
        );
        assert_eq!(
            layout(
                &vertices,
                &[edge(0, 2, Ship::Rescale), edge(1, 2, Ship::Global)]
            ),
            [vec![0, 0], vec![0, 0], vec![0, 0, 0, 0]]
        );
    }
}
