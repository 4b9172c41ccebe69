//! From the program's nodes to a job graph with its code: chains become vertices, all other edges
//! become exchanges.

use std::collections::BTreeMap;

use flott_model::{
    EdgeId, Exchange, JobEdge, JobGraph, JobVertex, OnceValue, OperatorMeta, OperatorUid,
    PROTOCOL_VERSION, RuntimeMode, ShipStrategy,
};
use flott_record::hash::default_max_parallelism;
use flott_runtime::BufferTimeout;
use flott_runtime::plan::{EdgeFactory, Node, NodeOutput, Plan};

use super::uid::Uids;
use super::{Chaining, StreamEdge, StreamGraph, StreamNode};

/// What the environment adds to the nodes.
pub(crate) struct GraphSettings {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) once: Vec<OnceValue>,
    pub(crate) configuration: BTreeMap<String, String>,
    pub(crate) execute_index: u32,
    pub(crate) chaining: bool,
    pub(crate) max_parallelism: Option<u32>,
    pub(crate) buffer_timeout: BufferTimeout,
}

/// What is found out about each node, in order of the program.
struct Layout {
    /// The vertex of each node.
    vertex: Vec<usize>,
    /// The first node of each vertex.
    heads: Vec<usize>,
}

/// Builds the plan. `graph` is used up.
pub(crate) fn build_plan(mut graph: StreamGraph, settings: GraphSettings) -> Plan {
    broadcast_directly(&mut graph);
    let layout = lay_out(&graph, settings.chaining);
    let mut vertices = vertices(&graph, &layout, settings.max_parallelism);
    let mut outputs: Vec<Vec<NodeOutput>> = vec![Vec::new(); graph.nodes.len()];
    let mut edges = Vec::new();
    let mut factories: Vec<EdgeFactory> = Vec::new();
    for (target, node) in graph.nodes.iter().enumerate() {
        for edge in &node.inputs {
            if is_chained(&graph, target, settings.chaining) {
                outputs[edge.from].push(NodeOutput::Chained(target));
                continue;
            }
            outputs[edge.from].push(NodeOutput::Exchange(EdgeId(edges.len() as u32)));
            edges.push(job_edge(&graph, &layout, edge, target));
            factories.push(edge.factory.clone());
        }
    }
    assign_uids(&graph, &layout, &mut vertices);
    let nodes = graph
        .nodes
        .into_iter()
        .zip(outputs)
        .map(|(node, outputs)| Node {
            factory: node.factory,
            tee: node.tee,
            outputs,
            committer: node.committer,
        })
        .collect();
    Plan {
        graph: JobGraph {
            name: settings.name,
            mode: RuntimeMode::Streaming.into(),
            args: settings.args,
            once: settings.once,
            configuration: settings.configuration,
            execute_index: settings.execute_index,
            vertices,
            edges,
            protocol_version: PROTOCOL_VERSION,
            ..JobGraph::default()
        },
        nodes,
        heads: layout.heads,
        edges: factories,
        buffer_timeout: settings.buffer_timeout,
    }
}

/// What follows a broadcast with another parallelism than the broadcast's own node gets its copies
/// from where that node gets them: one per subtask, not a share of the node's copies.
fn broadcast_directly(graph: &mut StreamGraph) {
    for target in 0..graph.nodes.len() {
        for input in 0..graph.nodes[target].inputs.len() {
            let edge = &graph.nodes[target].inputs[input];
            let before = &graph.nodes[edge.from];
            let [feed] = before.inputs.as_slice() else {
                continue;
            };
            if edge.ship == ShipStrategy::Forward
                && before.operators.is_empty()
                && feed.ship == ShipStrategy::Broadcast
                && before.parallelism != graph.nodes[target].parallelism
            {
                let from = feed.from;
                let edge = &mut graph.nodes[target].inputs[input];
                (edge.from, edge.ship) = (from, ShipStrategy::Broadcast);
            }
        }
    }
}

/// Whether a node runs in the task of the node before it.
fn is_chained(graph: &StreamGraph, node: usize, enabled: bool) -> bool {
    let here = &graph.nodes[node];
    let [edge] = here.inputs.as_slice() else {
        return false;
    };
    let before = &graph.nodes[edge.from];
    enabled
        && edge.ship == ShipStrategy::Forward
        && here.chaining == Chaining::Allowed
        && before.chaining != Chaining::Never
        && here.parallelism == before.parallelism
        && here.slot_sharing_group == before.slot_sharing_group
}

fn lay_out(graph: &StreamGraph, chaining: bool) -> Layout {
    let mut layout = Layout {
        vertex: Vec::new(),
        heads: Vec::new(),
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        let vertex = match node.inputs.as_slice() {
            [edge] if is_chained(graph, index, chaining) => layout.vertex[edge.from],
            _ => {
                layout.heads.push(index);
                layout.heads.len() - 1
            }
        };
        layout.vertex.push(vertex);
    }
    layout
}

fn vertices(graph: &StreamGraph, layout: &Layout, max: Option<u32>) -> Vec<JobVertex> {
    layout
        .heads
        .iter()
        .enumerate()
        .map(|(vertex, head)| {
            let head = &graph.nodes[*head];
            let own = members(graph, layout, vertex).find_map(|node| node.max_parallelism);
            JobVertex {
                name: vertex_name(graph, layout, vertex),
                parallelism: head.parallelism,
                max_parallelism: own
                    .or(max)
                    .unwrap_or_else(|| default_max_parallelism(head.parallelism)),
                slot_sharing_group: head.slot_sharing_group.clone(),
                ..JobVertex::default()
            }
        })
        .collect()
}

fn members<'a>(
    graph: &'a StreamGraph,
    layout: &'a Layout,
    vertex: usize,
) -> impl Iterator<Item = &'a StreamNode> {
    let nodes = graph.nodes.iter().zip(&layout.vertex);
    nodes
        .filter(move |(_, of)| **of == vertex)
        .map(|(node, _)| node)
}

/// `Source: text -> Flat Map -> (Sum, Sink: print)`, as Flink names chains.
fn vertex_name(graph: &StreamGraph, layout: &Layout, vertex: usize) -> String {
    let name = chain_name(graph, layout, layout.heads[vertex]);
    if name.is_empty() {
        "Exchange".to_owned()
    } else {
        name
    }
}

fn chain_name(graph: &StreamGraph, layout: &Layout, node: usize) -> String {
    let mut parts: Vec<String> = graph.nodes[node]
        .operators
        .iter()
        .map(|operator| operator.name.clone())
        .collect();
    let mut followers = Vec::new();
    for (next, target) in graph.nodes.iter().enumerate() {
        for edge in target.inputs.iter().filter(|edge| edge.from == node) {
            let fused: Vec<&str> = edge
                .operators
                .iter()
                .map(|operator| operator.name.as_str())
                .collect();
            let chained =
                layout.vertex[next] == layout.vertex[node] && !layout.heads.contains(&next);
            let name = if chained {
                chain_name(graph, layout, next)
            } else {
                fused.join(" -> ")
            };
            if !name.is_empty() {
                followers.push(name);
            }
        }
    }
    match followers.len() {
        0 => (),
        1 => parts.append(&mut followers),
        _ => parts.push(format!("({})", followers.join(", "))),
    }
    parts.join(" -> ")
}

fn job_edge(graph: &StreamGraph, layout: &Layout, edge: &StreamEdge, target: usize) -> JobEdge {
    let same = graph.nodes[edge.from].parallelism == graph.nodes[target].parallelism;
    // As in Flink: rows go one to one only between equal parallelisms.
    let ship = match edge.ship {
        ShipStrategy::Forward if !same => ShipStrategy::Rebalance,
        other => other,
    };
    JobEdge {
        source: layout.vertex[edge.from] as u32,
        target: layout.vertex[target] as u32,
        ship: ship.into(),
        exchange: Exchange::Pipelined.into(),
        record_schema: edge.record_schema,
        key_schema: edge.key_schema,
    }
}

fn assign_uids(graph: &StreamGraph, layout: &Layout, vertices: &mut [JobVertex]) {
    let mut uids = Uids::default();
    // The uid of the last operator of each node: what its followers are derived from.
    let mut last: Vec<Vec<OperatorUid>> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut upstream = Vec::new();
        for edge in &node.inputs {
            let mut feed = last[edge.from].clone();
            for operator in &edge.operators {
                let uid = uids.next(&feed, operator);
                add(&mut vertices[layout.vertex[edge.from]], uid, &operator.name);
                feed = vec![uid];
            }
            upstream.extend(feed);
        }
        for operator in &node.operators {
            let uid = uids.next(&upstream, operator);
            add(&mut vertices[layout.vertex[index]], uid, &operator.name);
            upstream = vec![uid];
        }
        last.push(upstream);
    }
    for (position, vertex) in vertices.iter_mut().enumerate() {
        let first = vertex
            .operators
            .first()
            .map(|operator| operator.uid.clone());
        // A vertex without operators only carries an exchange; its position identifies it.
        vertex.uid = first.unwrap_or_else(|| {
            let uid = OperatorUid::generated(&[], "exchange", position as u32);
            uid.0.to_be_bytes().to_vec()
        });
    }
}

fn add(vertex: &mut JobVertex, uid: OperatorUid, name: &str) {
    vertex.operators.push(OperatorMeta {
        uid: uid.0.to_be_bytes().to_vec(),
        name: name.to_owned(),
    });
}
