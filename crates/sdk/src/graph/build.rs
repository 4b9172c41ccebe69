//! From the program's nodes to a job graph with its code: chains become vertices, all other edges
//! become exchanges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_model::{
    EdgeId, Exchange, JobEdge, JobGraph, JobVertex, OnceValue, OperatorMeta, OperatorUid,
    PROTOCOL_VERSION, ROCKSDB, RuntimeMode, ShipStrategy,
};
use flott_operators::OperatorIdentity;
use flott_record::hash::default_max_parallelism;
use flott_runtime::BufferTimeout;
use flott_runtime::plan::{EdgeFactory, Follower, Node, NodeFactory, NodeOutput, Plan};

use super::merge::merge_exchanges;
use super::uid::Uids;
use super::{Chaining, OperatorInfo, StreamEdge, StreamGraph, StreamNode};

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
    pub(crate) mode: RuntimeMode,
    /// What edges between tasks are in BATCH.
    pub(crate) batch_exchange: Exchange,
}

/// Of a node that was merged into those that follow it.
const NO_VERTEX: usize = usize::MAX;

/// What is found out about each node, in order of the program.
struct Layout {
    /// The vertex of each node.
    vertex: Vec<usize>,
    /// The first node of each vertex.
    heads: Vec<usize>,
}

/// The uids of all operators, by node.
#[derive(Default)]
struct AssignedUids {
    /// Of its own operators, in order.
    nodes: Vec<Vec<OperatorUid>>,
    /// Of those that are fused into each of its inputs, in order.
    inputs: Vec<Vec<Vec<OperatorUid>>>,
    /// Of what its followers are derived from; the last is that of its last operator, if it has one.
    last: Vec<Vec<OperatorUid>>,
}

/// How nodes are connected.
struct Connections {
    /// What follows each node.
    outputs: Vec<Vec<NodeOutput>>,
    /// The edges into the second input of each node.
    second_inputs: Vec<BTreeSet<EdgeId>>,
    edges: Vec<JobEdge>,
    factories: Vec<EdgeFactory>,
}

/// Chains nodes or draws edges between their vertices.
fn connect(
    graph: &StreamGraph,
    layout: &Layout,
    uids: &AssignedUids,
    (chaining, exchange): (bool, Exchange),
) -> Connections {
    let mut all = Connections {
        outputs: vec![Vec::new(); graph.nodes.len()],
        second_inputs: vec![BTreeSet::new(); graph.nodes.len()],
        edges: Vec::new(),
        factories: Vec::new(),
    };
    let nodes = graph.nodes.iter().enumerate();
    for (target, node) in nodes.filter(|(_, node)| !node.merged) {
        for (edge, uids) in node.inputs.iter().zip(&uids.inputs[target]) {
            let id = EdgeId(all.edges.len() as u32);
            let chained = is_chained(graph, target, chaining);
            let follower = if chained {
                Follower::Chained(target)
            } else {
                Follower::Exchange(id)
            };
            let side = edge.side.clone();
            all.outputs[edge.from].push(NodeOutput { side, follower });
            if chained {
                continue;
            }
            if edge.input == 1 {
                all.second_inputs[target].insert(id);
            }
            all.edges
                .push(job_edge(graph, layout, edge, target, exchange));
            all.factories.push(EdgeFactory {
                names: names(&edge.operators),
                uids: uids.as_slice().into(),
                ..edge.factory.clone()
            });
        }
    }
    all
}

/// Builds the plan. `graph` is used up.
pub(crate) fn build_plan(mut graph: StreamGraph, settings: GraphSettings) -> Plan {
    merge_exchanges(&mut graph);
    let layout = lay_out(&graph, settings.chaining);
    let mut vertices = vertices(&graph, &layout, settings.max_parallelism);
    let uids = assign_uids(&graph, &layout, &mut vertices);
    let exchange = match settings.mode {
        RuntimeMode::Streaming => Exchange::Pipelined,
        RuntimeMode::Batch => settings.batch_exchange,
    };
    let Connections {
        outputs,
        second_inputs,
        edges,
        factories,
    } = connect(&graph, &layout, &uids, (settings.chaining, exchange));
    let group_resources = graph.group_resources();
    let nodes = graph
        .nodes
        .into_iter()
        .enumerate()
        .zip(outputs)
        .zip(second_inputs);
    let nodes = nodes
        .map(|(((index, node), outputs), second_input)| Node {
            operator: OperatorIdentity {
                name: node
                    .operators
                    .last()
                    .map_or_else(String::new, |last| last.name.clone()),
                uid: uids.last[index].last().copied().unwrap_or(OperatorUid(0)),
                node: index as u32,
            },
            names: names(&node.operators),
            uids: uids.nodes[index].as_slice().into(),
            factory: node.factory,
            tee: node.tee,
            outputs,
            sides: node.sides,
            second_input,
            buffer_timeout: node.buffer_timeout,
            committer: node.committer,
        })
        .collect();
    Plan {
        graph: JobGraph {
            name: settings.name,
            mode: settings.mode.into(),
            args: settings.args,
            once: settings.once,
            configuration: settings.configuration,
            execute_index: settings.execute_index,
            vertices,
            edges,
            protocol_version: PROTOCOL_VERSION,
            capabilities: capabilities(),
            group_resources,
            ..JobGraph::default()
        },
        nodes,
        heads: layout.heads,
        edges: factories,
        buffer_timeout: settings.buffer_timeout,
    }
}

/// What this executable can do beyond the base.
fn capabilities() -> Vec<String> {
    let rocksdb = flott_state::cold::is_available().then(|| ROCKSDB.to_owned());
    rocksdb.into_iter().collect()
}

/// Whether a node runs in the task of the node before it.
fn is_chained(graph: &StreamGraph, node: usize, enabled: bool) -> bool {
    let here = &graph.nodes[node];
    let [edge] = here.inputs.as_slice() else {
        return false;
    };
    let before = &graph.nodes[edge.from];
    enabled
        && !matches!(here.factory, NodeFactory::TwoInputs(_))
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
            _ if node.merged => NO_VERTEX,
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
    let nodes = graph.nodes.iter().enumerate();
    for (next, target) in nodes.filter(|(_, target)| !target.merged) {
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

fn job_edge(
    graph: &StreamGraph,
    layout: &Layout,
    edge: &StreamEdge,
    target: usize,
    exchange: Exchange,
) -> JobEdge {
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
        exchange: exchange.into(),
        record_schema: edge.record_schema,
        key_schema: edge.key_schema,
    }
}

fn names(operators: &[OperatorInfo]) -> Arc<[String]> {
    operators
        .iter()
        .map(|operator| operator.name.clone())
        .collect()
}

/// Gives every operator its uid.
fn assign_uids(graph: &StreamGraph, layout: &Layout, vertices: &mut [JobVertex]) -> AssignedUids {
    let mut uids = Uids::default();
    let mut all = AssignedUids::default();
    for (index, node) in graph.nodes.iter().enumerate() {
        let (mut upstream, mut inputs, mut own) = (Vec::new(), Vec::new(), Vec::new());
        let edges = if node.merged { &[] } else { &*node.inputs };
        for edge in edges {
            let mut feed = all.last[edge.from].clone();
            let mut fused = Vec::new();
            for operator in &edge.operators {
                let uid = uids.next(&feed, operator);
                add(&mut vertices[layout.vertex[edge.from]], uid, &operator.name);
                feed = vec![uid];
                fused.push(uid);
            }
            upstream.extend(feed);
            inputs.push(fused);
        }
        // A node that was merged has none.
        for operator in &node.operators {
            let uid = uids.next(&upstream, operator);
            add(&mut vertices[layout.vertex[index]], uid, &operator.name);
            upstream = vec![uid];
            own.push(uid);
        }
        all.nodes.push(own);
        all.inputs.push(inputs);
        all.last.push(upstream);
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
    all
}

fn add(vertex: &mut JobVertex, uid: OperatorUid, name: &str) {
    vertex.operators.push(OperatorMeta {
        uid: uid.0.to_be_bytes().to_vec(),
        name: name.to_owned(),
    });
}
