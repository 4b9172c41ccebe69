//! Pipelined regions: the parts of a graph that blocking edges leave connected. A region starts when
//! the producers of its blocking inputs have finished, so regions must not wait for each other.

use super::{Exchange, GraphError, JobEdge, JobGraph};

impl JobEdge {
    /// Whether the target may start only when the source has finished.
    pub fn is_blocking(&self) -> bool {
        self.exchange() == Exchange::Blocking
    }
}

impl JobGraph {
    /// Whether the job runs stage by stage: it has a blocking edge.
    pub fn is_staged(&self) -> bool {
        self.edges.iter().any(JobEdge::is_blocking)
    }

    /// The pipelined region of each vertex, by position: the smallest vertex connected to it by
    /// pipelined edges.
    pub fn regions(&self) -> Vec<usize> {
        let mut regions: Vec<usize> = (0..self.vertices.len()).collect();
        for edge in self.edges.iter().filter(|edge| !edge.is_blocking()) {
            let (from, to) = (regions[edge.source as usize], regions[edge.target as usize]);
            let (kept, merged) = (from.min(to), from.max(to));
            for region in regions.iter_mut().filter(|region| **region == merged) {
                *region = kept;
            }
        }
        regions
    }

    /// Makes edges blocking until no region waits for itself. A branch that leaves a pipelined region
    /// by a blocking edge and comes back would; then the edges within that region become blocking.
    /// Whoever chooses exchanges calls this last, before [`JobGraph::validate`].
    pub fn resolve_exchanges(&mut self) {
        loop {
            let regions = self.regions();
            let stuck: Vec<usize> = (0..self.vertices.len())
                .filter(|region| self.waits_for_itself(&regions, *region))
                .collect();
            if stuck.is_empty() {
                return;
            }
            let mut changed = false;
            for edge in self.edges.iter_mut().filter(|edge| !edge.is_blocking()) {
                if stuck.contains(&regions[edge.source as usize]) {
                    edge.exchange = Exchange::Blocking.into();
                    changed = true;
                }
            }
            if !changed {
                return; // The vertices themselves form a cycle, which validation refuses.
            }
        }
    }

    /// Refuses graphs whose stages could never all run. The graph must have no cycle.
    pub(super) fn validate_stages(&self) -> Result<(), GraphError> {
        let regions = self.regions();
        let stuck =
            (0..self.vertices.len()).find(|region| self.waits_for_itself(&regions, *region));
        match stuck {
            Some(region) => Err(GraphError::StageCycle {
                vertex: self.vertices[region].name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether blocking edges lead from a region back into it.
    fn waits_for_itself(&self, regions: &[usize], region: usize) -> bool {
        let mut reached = vec![false; regions.len()];
        let mut open = vec![region];
        while let Some(from) = open.pop() {
            let leaving = self
                .edges
                .iter()
                .filter(|edge| edge.is_blocking() && regions[edge.source as usize] == from);
            for edge in leaving {
                let to = regions[edge.target as usize];
                if to == region {
                    return true;
                }
                if !std::mem::replace(&mut reached[to], true) {
                    open.push(to);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{edge, graph, vertex};
    use super::*;
    use crate::ShipStrategy;

    fn blocking(source: u32, target: u32) -> JobEdge {
        JobEdge {
            exchange: Exchange::Blocking.into(),
            ..edge(source, target, ShipStrategy::Rebalance)
        }
    }

    #[test]
    fn blocking_edges_cut_and_pipelined_ones_join() {
        let mut graph = graph();
        assert!(!graph.is_staged());
        assert_eq!(graph.regions(), [0, 0, 0]);
        graph.edges[0] = blocking(0, 1);
        assert!(graph.is_staged());
        assert_eq!(graph.regions(), [0, 1, 1]);
        graph.validate().unwrap();
        // Two sources that a pipelined edge joins late.
        graph.vertices.push(vertex("other", 2));
        graph.edges.push(edge(3, 0, ShipStrategy::Forward));
        assert_eq!(graph.regions(), [0, 1, 1, 0]);
    }

    #[test]
    fn a_branch_that_comes_back_blocks_what_it_left() {
        // 0 -> 2 directly, and 0 => 1 => 2 by way of disk.
        let mut graph = graph();
        graph.edges = vec![
            edge(0, 2, ShipStrategy::Rebalance),
            blocking(0, 1),
            blocking(1, 2),
        ];
        let message = graph.validate().unwrap_err().to_string();
        assert!(message.contains("'source'"), "{message}");
        graph.resolve_exchanges();
        graph.validate().unwrap();
        assert!(graph.edges.iter().all(JobEdge::is_blocking));
    }

    #[test]
    fn what_need_not_block_stays_pipelined() {
        let mut graph = graph();
        graph.edges = vec![
            blocking(0, 1),
            edge(1, 2, ShipStrategy::Forward),
            // Within the region of 1 and 2.
            blocking(1, 2),
        ];
        graph.resolve_exchanges();
        assert_eq!(graph.regions(), [0, 1, 2]);
        graph.edges.push(blocking(2, 1));
        graph.resolve_exchanges();
        assert!(graph.validate().is_err(), "a cycle stays one");
        graph.edges.truncate(2);
        graph.edges[1] = edge(1, 2, ShipStrategy::Forward);
        let before = graph.clone();
        graph.resolve_exchanges();
        assert_eq!(graph, before);
    }
}
