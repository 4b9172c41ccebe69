//! What was on its way in channels, and who sends it again.

use flott_model::{ChannelRestore, ChannelState, ShipStrategy};

use super::*;

/// Two vertices of one operator each, at these parallelisms, with an edge of that kind.
fn edge(ship: ShipStrategy, source: u32, target: u32) -> JobGraph {
    let mut graph = chain(&[(&[1], source), (&[2], target)]);
    graph.edges[0].ship = ship as i32;
    for vertex in &mut graph.vertices {
        vertex.uid = vertex.operators[0].uid.clone();
    }
    graph
}

/// Of each pair of subtasks something is found at both ends.
fn on_the_way(graph: &JobGraph) -> CheckpointMetadata {
    let mut metadata = checkpoint(graph);
    let name = graph.edge_names().remove(0);
    let ship = graph.edges[0].ship;
    let (sources, targets) = (graph.vertices[0].parallelism, graph.vertices[1].parallelism);
    for source in 0..sources {
        for target in 0..targets {
            let channel = |received, peer| ChannelState {
                edge: Some(name.clone()),
                peer,
                received,
                ship,
                state: handle(format!(
                    "{source}-{target}{}",
                    if received { "r" } else { "s" }
                )),
            };
            let subtask = |vertex: usize, subtask: u32| (vertex, subtask as usize);
            for ((vertex, at), channel) in [
                (subtask(1, target), channel(true, source)),
                (subtask(0, source), channel(false, target)),
            ] {
                metadata.vertices[vertex].subtasks[at]
                    .channels
                    .push(channel);
            }
        }
    }
    metadata
}

/// What the subtasks of the first vertex send: to whom, which parts.
fn sent(plan: &(Shape, RestorePlan), parallelism: u32) -> Vec<Vec<(Option<u32>, String)>> {
    let parts = |restore: ChannelRestore| {
        let files: Vec<String> = restore.states.into_iter().map(|it| it.file).collect();
        (restore.target, files.join(" "))
    };
    let of_subtask = |subtask| {
        of(plan, 0, subtask)
            .channels
            .into_iter()
            .map(parts)
            .collect()
    };
    (0..parallelism).map(of_subtask).collect()
}

fn pair(target: Option<u32>, pair: &str) -> (Option<u32>, String) {
    (target, format!("{pair}r {pair}s"))
}

#[test]
fn each_channel_goes_on_where_it_was() {
    for ship in [
        ShipStrategy::Hash,
        ShipStrategy::Broadcast,
        ShipStrategy::Rescale,
    ] {
        let graph = edge(ship, 2, 2);
        let plan = plan(&graph, on_the_way(&graph), false).unwrap();
        // What was found at the receiver had left first.
        let expected = [
            vec![pair(Some(0), "0-0"), pair(Some(1), "0-1")],
            vec![pair(Some(0), "1-0"), pair(Some(1), "1-1")],
        ];
        assert_eq!(sent(&plan, 2), expected);
        assert!(
            of(&plan, 1, 0).channels.is_empty(),
            "the source sends all of it"
        );
    }
}

#[test]
fn with_another_parallelism_records_find_their_way_anew() {
    for (before, now) in [((2, 2), (2, 3)), ((3, 1), (2, 1)), ((1, 2), (4, 2))] {
        for ship in [
            ShipStrategy::Hash,
            ShipStrategy::Rebalance,
            ShipStrategy::Custom,
        ] {
            let metadata = on_the_way(&edge(ship, before.0, before.1));
            let plan = plan(&edge(ship, now.0, now.1), metadata, false).unwrap();
            let sent = sent(&plan, now.0);
            assert!(sent.iter().flatten().all(|(target, _)| target.is_none()));
            let mut all: Vec<String> = sent.into_iter().flatten().map(|(_, it)| it).collect();
            all.sort();
            let pairs = (0..before.0).flat_map(|from| (0..before.1).map(move |to| (from, to)));
            let expected = pairs.map(|(from, to)| pair(None, &format!("{from}-{to}")).1);
            assert_eq!(all, expected.collect::<Vec<_>>(), "{before:?} -> {now:?}");
        }
    }
}

#[test]
fn records_that_belong_to_a_subtask_are_refused_another_parallelism() {
    for ship in [
        ShipStrategy::Forward,
        ShipStrategy::Rescale,
        ShipStrategy::Broadcast,
    ] {
        let metadata = on_the_way(&edge(ship, 2, 2));
        let error = plan(&edge(ship, 3, 3), metadata, false).unwrap_err();
        assert!(error.contains("take a savepoint"), "{error}");
        assert!(error.contains("forward, rescale or broadcast"), "{error}");
        let graph = edge(ship, 3, 3);
        for vertex in &graph.vertices {
            assert!(error.contains(&format!("'{}'", vertex.name)), "{error}");
        }
        // With nothing on the way there is nothing in the way.
        assert!(plan(&graph, checkpoint(&edge(ship, 2, 2)), false).is_ok());
    }
}

#[test]
fn an_edge_that_is_of_another_kind_now_spreads_anew_or_is_refused() {
    let metadata = on_the_way(&edge(ShipStrategy::Rebalance, 2, 2));
    let anew = plan(&edge(ShipStrategy::Hash, 2, 2), metadata.clone(), false).unwrap();
    assert!(
        sent(&anew, 2)
            .iter()
            .flatten()
            .all(|(target, _)| target.is_none())
    );
    let error = plan(&edge(ShipStrategy::Broadcast, 2, 2), metadata, false).unwrap_err();
    assert!(error.contains("in another way"), "{error}");
}

#[test]
fn records_of_an_edge_that_is_gone_are_lost_only_if_that_is_allowed() {
    let metadata = on_the_way(&edge(ShipStrategy::Hash, 2, 2));
    let mut graph = edge(ShipStrategy::Hash, 2, 2);
    graph.edges.clear();
    let error = plan(&graph, metadata.clone(), false).unwrap_err();
    assert!(error.contains("no such edge"), "{error}");
    let plan = plan(&graph, metadata, true).unwrap();
    assert!(sent(&plan, 2).iter().all(Vec::is_empty));
}
