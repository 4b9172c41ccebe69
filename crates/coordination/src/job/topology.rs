//! What scheduling needs of a job graph: parallelism, slot positions, and who talks to whom.

use std::collections::BTreeMap;
use std::ops::Range;

use flott_model::{EdgeId, JobGraph, ResourceProfile, ShipStrategy, VertexId};

use crate::SlotRequirement;

/// A vertex and the index of one of its subtasks.
pub(super) type Subtask = (VertexId, u32);

/// The shape of a validated job graph.
#[derive(Debug)]
pub(super) struct Topology {
    vertices: Vec<Vertex>,
    edges: Vec<Edge>,
    /// What the slot at each position must offer.
    positions: Vec<Option<ResourceProfile>>,
}

#[derive(Debug)]
struct Vertex {
    name: String,
    parallelism: u32,
    /// Position of the first slot of its slot sharing group.
    first_position: u32,
}

/// An edge with the parallelism of its ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) id: EdgeId,
    pub(super) source: VertexId,
    pub(super) target: VertexId,
    /// Its rows go through partitions: the target starts when the source has finished.
    pub(super) blocking: bool,
    /// Key groups of the target.
    pub(super) key_groups: u32,
    ship: ShipStrategy,
    sources: u32,
    targets: u32,
}

impl Topology {
    pub(super) fn new(graph: &JobGraph) -> Self {
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        for vertex in &graph.vertices {
            let width = groups
                .entry(vertex.slot_sharing_group.as_str())
                .or_default();
            *width = (*width).max(vertex.parallelism);
        }
        let mut positions = Vec::new();
        let mut first_positions: BTreeMap<&str, u32> = BTreeMap::new();
        for (group, width) in groups {
            first_positions.insert(group, positions.len() as u32);
            positions.extend((0..width).map(|_| graph.resources_of(group)));
        }
        let vertices = graph
            .vertices
            .iter()
            .map(|vertex| Vertex {
                name: vertex.name.clone(),
                parallelism: vertex.parallelism,
                first_position: first_positions[vertex.slot_sharing_group.as_str()],
            })
            .collect();
        let parallelism = |vertex: u32| graph.vertices[vertex as usize].parallelism;
        let edges = (0..)
            .zip(&graph.edges)
            .map(|(id, edge)| Edge {
                id: EdgeId(id),
                source: VertexId(edge.source),
                target: VertexId(edge.target),
                blocking: edge.is_blocking(),
                key_groups: graph.vertices[edge.target as usize].max_parallelism,
                ship: edge.ship(),
                sources: parallelism(edge.source),
                targets: parallelism(edge.target),
            })
            .collect();
        Self {
            vertices,
            edges,
            positions,
        }
    }

    /// The slots the whole job needs: per slot sharing group, as many as its widest vertex.
    pub(super) fn required_slots(&self) -> SlotRequirement {
        self.positions.iter().copied().collect()
    }

    /// What the slot at each position must offer; `None`: default size.
    pub(super) fn positions(&self) -> &[Option<ResourceProfile>] {
        &self.positions
    }

    /// Whether the job runs stage by stage.
    pub(super) fn is_staged(&self) -> bool {
        self.edges.iter().any(|edge| edge.blocking)
    }

    /// Every subtask, by vertex and index.
    pub(super) fn subtasks(&self) -> impl Iterator<Item = Subtask> {
        self.vertices().flat_map(|(vertex, parallelism)| {
            (0..parallelism).map(move |subtask| (vertex, subtask))
        })
    }

    /// The blocking edges that enter a vertex.
    pub(super) fn blocking_inputs(&self, vertex: VertexId) -> impl Iterator<Item = &Edge> {
        self.inputs(vertex).filter(|edge| edge.blocking)
    }

    /// The blocking edges that leave a vertex.
    pub(super) fn blocking_outputs(&self, vertex: VertexId) -> impl Iterator<Item = &Edge> {
        self.outputs(vertex).filter(|edge| edge.blocking)
    }

    /// Every vertex with its parallelism.
    pub(super) fn vertices(&self) -> impl Iterator<Item = (VertexId, u32)> {
        (0..)
            .map(VertexId)
            .zip(self.vertices.iter().map(|vertex| vertex.parallelism))
    }

    /// Which of the job's slots a subtask runs in.
    pub(super) fn position(&self, vertex: VertexId, subtask: u32) -> usize {
        (self.vertices[vertex.0 as usize].first_position + subtask) as usize
    }

    /// The name of a subtask as users see it: `name (2/4)`.
    pub(super) fn task_name(&self, vertex: VertexId, subtask: u32) -> String {
        let Vertex {
            name, parallelism, ..
        } = &self.vertices[vertex.0 as usize];
        format!("{name} ({}/{parallelism})", subtask + 1)
    }

    /// The edges that enter a vertex, in the graph's order.
    pub(super) fn inputs(&self, vertex: VertexId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.target == vertex)
    }

    /// The edges that leave a vertex, in the graph's order.
    pub(super) fn outputs(&self, vertex: VertexId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.source == vertex)
    }
}

impl Edge {
    /// How many subtasks the source has.
    pub(super) fn sources(&self) -> u32 {
        self.sources
    }

    /// How many subtasks the target has.
    pub(super) fn targets(&self) -> u32 {
        self.targets
    }

    /// The source subtasks that feed this target subtask.
    pub(super) fn sources_of(&self, target: u32) -> Range<u32> {
        match self.ship {
            ShipStrategy::Forward => target..target + 1,
            ShipStrategy::Rescale => nearest(target, self.targets, self.sources),
            ShipStrategy::Hash
            | ShipStrategy::Rebalance
            | ShipStrategy::Broadcast
            | ShipStrategy::Global
            | ShipStrategy::Custom => 0..self.sources,
        }
    }

    /// The target subtasks that this source subtask feeds.
    pub(super) fn targets_of(&self, source: u32) -> Range<u32> {
        match self.ship {
            ShipStrategy::Forward => source..source + 1,
            ShipStrategy::Rescale => nearest(source, self.sources, self.targets),
            ShipStrategy::Hash
            | ShipStrategy::Rebalance
            | ShipStrategy::Broadcast
            | ShipStrategy::Global
            | ShipStrategy::Custom => 0..self.targets,
        }
    }
}

/// The subtasks among `there` whose share of the unit interval belongs to subtask `here` of
/// `heres`: the wider side is cut into consecutive blocks whose sizes differ by at most one.
fn nearest(here: u32, heres: u32, there: u32) -> Range<u32> {
    let (at, from, to) = (u64::from(here), u64::from(heres), u64::from(there));
    let narrow = |value: u64| u32::try_from(value).expect("a subtask index is below 2^15");
    if heres <= there {
        narrow(at * to / from)..narrow((at + 1) * to / from)
    } else {
        // The block of the narrower side that `here` falls into: the inverse of the above.
        let block = ((at + 1) * to - 1) / from;
        narrow(block)..narrow(block + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testkit::{asking, edge, graph, grouped};

    #[test]
    fn slots_are_counted_per_group_by_the_widest_vertex() {
        let mut graph = graph(&[("a", 2), ("b", 5), ("c", 3)], &[]);
        assert_eq!(Topology::new(&graph).required_slots().total(), 5);
        grouped(&mut graph, 2, "other");
        let topology = Topology::new(&graph);
        assert_eq!(topology.required_slots().total(), 8);
        assert_eq!(
            topology.position(VertexId(0), 1),
            topology.position(VertexId(1), 1)
        );
        assert_ne!(
            topology.position(VertexId(0), 1),
            topology.position(VertexId(2), 1)
        );
    }

    #[test]
    fn slots_of_a_group_offer_what_it_asks_for() {
        let mut graph = graph(&[("a", 2), ("b", 3)], &[]);
        grouped(&mut graph, 1, "other");
        asking(&mut graph, "other", 700);
        let topology = Topology::new(&graph);
        let slots = topology.required_slots();
        assert_eq!(slots.to_string(), "2 and 3 of (1 core, 700 MiB task heap)");
        for (vertex, expected) in [(0, None), (1, graph.resources_of("other"))] {
            let position = topology.position(VertexId(vertex), 1);
            assert_eq!(topology.positions()[position], expected);
        }
    }

    #[test]
    fn rescale_connects_blocks_that_differ_by_at_most_one() {
        for sources in 1..12 {
            for targets in 1..12 {
                let graph = graph(
                    &[("a", sources), ("b", targets)],
                    &[edge(0, 1, ShipStrategy::Rescale)],
                );
                let edge = Topology::new(&graph).edges[0];
                let (few, many) = (sources.min(targets), sources.max(targets));
                let mut connections = 0;
                for source in 0..sources {
                    let reached = edge.targets_of(source);
                    assert!(!reached.is_empty());
                    for target in 0..targets {
                        let connected = reached.contains(&target);
                        assert_eq!(connected, edge.sources_of(target).contains(&source));
                        connections += u32::from(connected);
                    }
                    if sources == few {
                        let size = reached.end - reached.start;
                        assert!(size == many / few || size == many / few + 1);
                    }
                }
                assert_eq!(connections, many, "each of the many sides has one partner");
            }
        }
    }

    #[test]
    fn forward_is_one_to_one_and_the_others_reach_all() {
        let ships = [
            (ShipStrategy::Forward, 2..3),
            (ShipStrategy::Hash, 0..4),
            (ShipStrategy::Rebalance, 0..4),
            (ShipStrategy::Broadcast, 0..4),
            (ShipStrategy::Global, 0..4),
            (ShipStrategy::Custom, 0..4),
        ];
        for (ship, expected) in ships {
            let graph = graph(&[("a", 4), ("b", 4)], &[edge(0, 1, ship)]);
            let edge = Topology::new(&graph).edges[0];
            assert_eq!(edge.targets_of(2), expected, "{ship:?}");
            assert_eq!(edge.sources_of(2), expected, "{ship:?}");
        }
    }
}
