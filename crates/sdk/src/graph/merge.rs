//! Nodes that only carry an exchange (`rebalance()`, `union`, side outputs) disappear where what
//! follows them can be fed directly: no task only passes records on.

use flott_model::ShipStrategy;

use super::{StreamEdge, StreamGraph, StreamNode};

/// Feeds every node from where the exchange nodes before it are fed, and marks exchange nodes that
/// nothing reads any more as merged. Positions of nodes stay what they are.
pub(super) fn merge_exchanges(graph: &mut StreamGraph) {
    let mut readers = vec![0_u32; graph.nodes.len()];
    for edge in graph.nodes.iter().flat_map(|node| &node.inputs) {
        readers[edge.from] += 1;
    }
    for target in 0..graph.nodes.len() {
        let edges = std::mem::take(&mut graph.nodes[target].inputs);
        let mut inputs = Vec::with_capacity(edges.len());
        for edge in edges {
            let before = &graph.nodes[edge.from];
            if is_exchange(before) && can_skip(&edge, before, readers[edge.from]) {
                readers[edge.from] -= 1;
                inputs.extend(before.inputs.iter().map(|feed| direct(&edge, feed)));
            } else {
                inputs.push(edge);
            }
        }
        graph.nodes[target].inputs = inputs;
    }
    for (node, readers) in graph.nodes.iter_mut().zip(readers) {
        node.merged = is_exchange(node) && readers == 0;
    }
}

fn is_exchange(node: &StreamNode) -> bool {
    node.operators.is_empty() && !node.inputs.is_empty()
}

/// Whether `edge` can be drawn from where the exchange node before it is fed.
fn can_skip(edge: &StreamEdge, before: &StreamNode, readers: u32) -> bool {
    // What is fused into an edge runs where it begins: behind the exchange it stays there.
    let plain = before.inputs.iter().all(|feed| feed.operators.is_empty());
    edge.operators.is_empty()
        && match edge.ship {
            // It keeps the code of the feed, which must not run once for each reader.
            ShipStrategy::Forward => plain || readers == 1,
            // The later redistribution counts.
            _ => plain,
        }
}

/// `edge`, from where `feed` comes.
fn direct(edge: &StreamEdge, feed: &StreamEdge) -> StreamEdge {
    let code = if edge.ship == ShipStrategy::Forward {
        feed
    } else {
        edge
    };
    StreamEdge {
        from: feed.from,
        side: feed.side.clone(),
        input: edge.input,
        ship: code.ship,
        operators: code.operators.clone(),
        factory: code.factory.clone(),
        record_schema: code.record_schema,
        key_schema: code.key_schema,
    }
}
