//! A job graph as Flink shows plans: sinks first, inputs by id.

use flott_jobmanager::JobSnapshot;
use flott_model::{Exchange, JobEdge, JobGraph, ShipStrategy, VertexId};
use serde_json::{Value, json};

use crate::job::mode;

pub(crate) fn plan(job: &JobSnapshot) -> Value {
    let graph = &job.graph;
    // Validated when it was submitted: there is an order.
    let order = graph.topological_order().unwrap_or_default();
    json!({
        "jid": job.id.to_string(),
        "name": graph.name,
        "type": mode(job),
        "nodes": order.into_iter().rev().map(|vertex| node(graph, vertex)).collect::<Vec<_>>(),
    })
}

fn node(graph: &JobGraph, id: VertexId) -> Value {
    let vertex = &graph.vertices[id.0 as usize];
    let inputs: Vec<Value> = graph
        .inputs(id)
        .enumerate()
        .map(|(number, (_, edge))| input(graph, number, edge))
        .collect();
    let mut node = json!({
        "id": vertex.operator_uid().to_string(),
        "parallelism": vertex.parallelism,
        "operator": "",
        "operator_strategy": "",
        "description": format!("{}<br/>", vertex.name.replace(" -> ", "<br/>+- ")),
        "optimizer_properties": {},
    });
    if !inputs.is_empty() {
        node["inputs"] = json!(inputs);
    }
    node
}

fn input(graph: &JobGraph, number: usize, edge: &JobEdge) -> Value {
    let ship = match edge.ship() {
        ShipStrategy::Forward => "FORWARD",
        ShipStrategy::Hash => "HASH",
        ShipStrategy::Rebalance => "REBALANCE",
        ShipStrategy::Rescale => "RESCALE",
        ShipStrategy::Broadcast => "BROADCAST",
        ShipStrategy::Global => "GLOBAL",
        ShipStrategy::Custom => "CUSTOM",
    };
    json!({
        "num": number,
        "id": graph.vertices[edge.source as usize].operator_uid().to_string(),
        "ship_strategy": ship,
        "exchange": match edge.exchange() {
            Exchange::Pipelined => "pipelined_bounded",
            Exchange::Blocking => "blocking",
        },
    })
}
