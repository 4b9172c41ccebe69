//! Validation, fingerprint and first difference of job graphs.

use super::*;

pub(super) fn vertex(name: &str, parallelism: u32) -> JobVertex {
    let uid = OperatorUid::explicit(name).0.to_be_bytes().to_vec();
    JobVertex {
        uid: uid.clone(),
        name: name.to_owned(),
        operators: vec![OperatorMeta {
            uid,
            name: name.to_owned(),
        }],
        parallelism,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
    }
}

pub(super) fn edge(source: u32, target: u32, ship: ShipStrategy) -> JobEdge {
    JobEdge {
        source,
        target,
        ship: ship.into(),
        ..JobEdge::default()
    }
}

pub(super) fn graph() -> JobGraph {
    JobGraph {
        name: "wordcount".to_owned(),
        protocol_version: PROTOCOL_VERSION,
        vertices: vec![vertex("source", 2), vertex("count", 3), vertex("sink", 3)],
        edges: vec![
            edge(0, 1, ShipStrategy::Hash),
            edge(1, 2, ShipStrategy::Forward),
        ],
        ..JobGraph::default()
    }
}

#[test]
fn a_good_graph_is_accepted_and_ordered() {
    graph().validate().unwrap();
    assert_eq!(
        graph().topological_order().unwrap(),
        [VertexId(0), VertexId(1), VertexId(2)]
    );
}

#[test]
fn each_defect_is_named() {
    let defects: [(fn(&mut JobGraph), &str); 7] = [
        (|graph| graph.vertices.clear(), "no operators"),
        (|graph| graph.edges[0].target = 9, "names vertex 9"),
        (|graph| graph.vertices[0].parallelism = 0, "parallelism 0"),
        (
            |graph| graph.vertices[0].parallelism = 129,
            "parallelism 129",
        ),
        (
            |graph| graph.vertices[2].parallelism = 1,
            "parallelism differs",
        ),
        (
            |graph| graph.vertices[2].operators = graph.vertices[1].operators.clone(),
            "same uid",
        ),
        (|graph| graph.protocol_version = 7, "protocol version 7"),
    ];
    for (damage, expected) in defects {
        let mut graph = graph();
        damage(&mut graph);
        let message = graph.validate().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_cycle_is_refused() {
    let mut graph = graph();
    graph.edges.push(edge(2, 1, ShipStrategy::Forward));
    assert!(matches!(graph.validate(), Err(GraphError::Cycle { .. })));
}

#[test]
fn the_fingerprint_sees_shape_and_nothing_else() {
    let mut other = graph();
    other.args.push("--input".to_owned());
    other.name = "renamed".to_owned();
    assert_eq!(other.fingerprint(), graph().fingerprint());
    assert_eq!(other.first_difference(&graph()), None);
    other.vertices[1].parallelism = 1;
    assert_ne!(other.fingerprint(), graph().fingerprint());
}

#[test]
fn the_first_difference_is_named() {
    let damages: [(fn(&mut JobGraph), &str); 5] = [
        (
            |graph| graph.vertices[1].parallelism = 5,
            "'count' has parallelism 5, 3 was",
        ),
        (
            |graph| _ = graph.vertices.pop(),
            "first missing one is 'sink'",
        ),
        (
            |graph| graph.vertices.push(vertex("extra", 1)),
            "'extra' that was not submitted",
        ),
        (
            |graph| graph.edges[0].ship = ShipStrategy::Rebalance.into(),
            "edge 0",
        ),
        (
            |graph| graph.vertices[0].name = "other".to_owned(),
            "vertex 0: it is 'other'",
        ),
    ];
    for (damage, expected) in damages {
        let mut other = graph();
        damage(&mut other);
        let message = other.first_difference(&graph()).unwrap();
        assert!(message.contains(expected), "{message}");
    }
}
