//! What programs become: chains, names, exchanges, identities, groups.

use flott_model::{JobGraph, OperatorUid, ShipStrategy};
use flott_runtime::BufferTimeout;

use super::*;
use crate::SlotSharingGroup;
use crate::prelude::*;

fn settings(chaining: bool) -> GraphSettings {
    GraphSettings {
        name: "test".to_owned(),
        args: Vec::new(),
        once: Vec::new(),
        configuration: [].into(),
        execute_index: 0,
        chaining,
        max_parallelism: None,
        buffer_timeout: BufferTimeout::Never,
        mode: flott_model::RuntimeMode::Streaming,
        batch_exchange: flott_model::Exchange::Blocking,
    }
}

fn environment() -> StreamExecutionEnvironment {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(4);
    env
}

fn graph_with(env: &StreamExecutionEnvironment, settings: GraphSettings) -> JobGraph {
    let graph = build_plan(env.take_graph(), settings).graph;
    graph.validate().unwrap();
    graph
}

/// The valid graph of what was built.
fn graph(env: &StreamExecutionEnvironment) -> JobGraph {
    graph_with(env, settings(true))
}

/// `name/parallelism` of each vertex.
fn vertices(graph: &JobGraph) -> Vec<String> {
    let vertices = graph.vertices.iter();
    vertices
        .map(|vertex| format!("{}/{}", vertex.name, vertex.parallelism))
        .collect()
}

fn edges(graph: &JobGraph) -> Vec<(u32, u32, ShipStrategy)> {
    let edges = graph.edges.iter();
    edges
        .map(|edge| (edge.source, edge.target, edge.ship()))
        .collect()
}

use ShipStrategy::{Broadcast, Forward, Global, Hash, Rebalance};

#[test]
fn what_runs_one_to_one_is_one_chain() {
    let env = environment();
    env.from_sequence(1, 9)
        .map(|n| n)
        .filter(|_| true)
        .name("all")
        .seal()
        .flat_map(|n| [n])
        .discard()
        .name("nowhere");
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        ["Source: Sequence -> Map -> all -> Flat Map -> Sink: nowhere/4"]
    );
    let names: Vec<_> = graph.vertices[0]
        .operators
        .iter()
        .map(|op| op.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Source: Sequence",
            "Map",
            "all",
            "Flat Map",
            "Sink: nowhere"
        ]
    );
}

#[test]
fn chaining_can_be_turned_off() {
    let env = environment();
    env.from_sequence(1, 9).map(|n| n).discard();
    let graph = graph_with(&env, settings(false));
    assert_eq!(
        vertices(&graph),
        ["Source: Sequence/4", "Map/4", "Sink: Discard/4"]
    );
    assert_eq!(edges(&graph), [(0, 1, Forward), (1, 2, Forward)]);
}

#[test]
fn settings_belong_to_the_last_operator_only() {
    let env = environment();
    env.from_sequence(1, 9)
        .map(|n| n)
        .filter(|_| true)
        .set_parallelism(2)
        .map(|n| n)
        .discard()
        .set_parallelism(3);
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        [
            "Source: Sequence -> Map/4",
            "Filter -> Map/2",
            "Sink: Discard/3"
        ]
    );
    assert_eq!(edges(&graph), [(0, 1, Rebalance), (1, 2, Rebalance)]);
}

#[test]
fn several_settings_of_one_operator() {
    let env = environment();
    env.from_sequence(1, 9)
        .set_parallelism(3)
        .map(|n| n)
        .set_parallelism(2)
        .set_max_parallelism(7)
        .disable_chaining()
        .slot_sharing_group("own")
        .name("set")
        .key_by(|n| *n)
        .sum(|n| n)
        .set_parallelism(5)
        .start_new_chain()
        .discard();
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        [
            "Source: Sequence/3",
            "set/2",
            "Keyed Sum -> Sink: Discard/5"
        ]
    );
    assert_eq!(graph.vertices[1].max_parallelism, 7);
    let groups: Vec<_> = graph
        .vertices
        .iter()
        .map(|v| v.slot_sharing_group.as_str())
        .collect();
    assert_eq!(groups, ["default", "own", "own"]);
}

#[test]
fn an_operator_alone_and_one_that_begins_a_chain() {
    let env = environment();
    let numbers = env.from_sequence(1, 9);
    numbers
        .clone()
        .map(|n| n)
        .name("alone")
        .disable_chaining()
        .filter(|_| true)
        .discard();
    numbers
        .map(|n| n)
        .name("head")
        .start_new_chain()
        .filter(|_| true)
        .discard();
    assert_eq!(
        vertices(&graph(&env)),
        [
            "Source: Sequence/4",
            "alone/4",
            "Filter -> Sink: Discard/4",
            "head -> Filter -> Sink: Discard/4"
        ]
    );
}

#[test]
fn a_sink_alone() {
    let env = environment();
    env.from_sequence(1, 9)
        .map(|n| n)
        .discard()
        .disable_chaining();
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        ["Source: Sequence -> Map/4", "Sink: Discard/4"]
    );
    assert_eq!(edges(&graph), [(0, 1, Forward)]);
}

#[test]
fn operators_before_an_exchange_run_at_its_source() {
    let env = environment();
    env.from_sequence(1, 9)
        .map(|n| (n % 2, n))
        .filter(|_| true)
        .key_by(|(key, _)| *key)
        .sum(|(_, n)| n)
        .map(|(_, n)| n)
        .key_by(|n| n.to_string())
        .reduce(|last, n| *last = n)
        .discard();
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        [
            "Source: Sequence -> Map -> Filter/4",
            "Keyed Sum -> Map/4",
            "Keyed Reduce -> Sink: Discard/4"
        ]
    );
    assert_eq!(edges(&graph), [(0, 1, Hash), (1, 2, Hash)]);
    assert_ne!(graph.edges[0].key_schema, graph.edges[1].key_schema);
    assert_ne!(graph.edges[0].record_schema, graph.edges[1].record_schema);
}

#[test]
fn streams_used_twice_are_named_as_a_tree() {
    let env = environment();
    let numbers = env.from_sequence(1, 9).map(|n| n).seal();
    numbers.clone().filter(|_| true).discard();
    numbers.clone().print_debug();
    numbers.key_by(|n| *n).sum(|n| n).discard();
    assert_eq!(
        vertices(&graph(&env)),
        [
            "Source: Sequence -> Map -> (Filter -> Sink: Discard, Map -> Sink: Print to Std. Out)/4",
            "Keyed Sum -> Sink: Discard/4"
        ]
    );
}

#[test]
fn exchanges_and_what_follows_them() {
    let env = environment();
    let one = env.from_collection([1_i64]);
    one.clone().rebalance().map(|n| n).discard();
    one.clone()
        .rebalance()
        .map(|n| n)
        .set_parallelism(3)
        .discard();
    one.clone()
        .broadcast()
        .filter(|_| true)
        .set_parallelism(2)
        .discard();
    one.global().discard();
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        [
            "Source: Collection/1",
            "Map -> Sink: Discard/4",
            "Map -> Sink: Discard/3",
            "Filter -> Sink: Discard/2",
            "Sink: Discard/1"
        ]
    );
    assert_eq!(
        edges(&graph),
        [
            (0, 1, Rebalance),
            (0, 2, Rebalance),
            (0, 3, Broadcast),
            (0, 4, Global)
        ]
    );
}

#[test]
fn a_union_has_an_edge_per_stream() {
    let env = environment();
    let few = env.from_collection([1_i64]);
    let many = env.from_sequence(1, 9).map(|n| n).seal();
    many.union([few, env.from_sequence(1, 2)])
        .map(|n| n)
        .discard();
    let graph = graph(&env);
    assert_eq!(
        vertices(&graph),
        [
            "Source: Collection/1",
            "Source: Sequence -> Map/4",
            "Source: Sequence/4",
            "Map -> Sink: Discard/4"
        ]
    );
    assert_eq!(
        edges(&graph),
        [(1, 3, Forward), (0, 3, Rebalance), (2, 3, Forward)]
    );
}

#[test]
fn slot_sharing_groups_are_inherited_unless_inputs_differ() {
    let env = environment();
    let a = env
        .from_sequence(1, 9)
        .slot_sharing_group("a")
        .map(|n| n)
        .seal();
    let b = env.from_sequence(1, 9).slot_sharing_group("b");
    a.clone().key_by(|n| *n).sum(|n| n).discard();
    a.union([b]).discard();
    let graph = graph(&env);
    let groups: Vec<_> = graph
        .vertices
        .iter()
        .map(|v| v.slot_sharing_group.as_str())
        .collect();
    assert_eq!(groups, ["a", "b", "a", "default"]);
}

#[test]
fn groups_that_somebody_is_in_say_what_their_slots_must_offer() {
    let env = environment();
    let sized = |name: &str, mebibytes| {
        let group = SlotSharingGroup::new_builder(name).set_cpu_cores(0.5);
        group.set_task_heap_memory_mb(mebibytes).build().unwrap()
    };
    env.register_slot_sharing_group(sized("b", 20)).unwrap();
    env.register_slot_sharing_group(sized("unused", 30))
        .unwrap();
    let numbers = env.from_sequence(1, 9).slot_sharing_group(sized("a", 10));
    numbers.discard().slot_sharing_group("b");
    env.from_sequence(1, 9).discard();
    let graph = graph(&env);
    let groups: Vec<_> = graph
        .group_resources
        .iter()
        .map(|group| format!("{}: {}", group.group, group.profile))
        .collect();
    assert_eq!(
        groups,
        [
            "a: 0.5 cores, 10 MiB task heap",
            "b: 0.5 cores, 20 MiB task heap"
        ]
    );
    assert_eq!(
        vertices(&graph),
        [
            "Source: Sequence/4",
            "Sink: Discard/4",
            "Source: Sequence -> Sink: Discard/4"
        ]
    );
}

fn uids(graph: &JobGraph) -> Vec<Vec<u8>> {
    let operators = graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    operators.map(|operator| operator.uid.clone()).collect()
}

#[test]
fn uids_are_explicit_or_derived_from_what_is_before() {
    let build = |key: Option<&str>, twice: bool, parallelism: u32| {
        let env = environment();
        env.set_parallelism(parallelism);
        let source = env.from_sequence(1, 9);
        let source = key.map_or(source.clone(), |key| source.uid(key));
        let sums = source.map(|n| n).name("renamed").key_by(|n| *n).sum(|n| n);
        sums.clone().discard();
        if twice {
            sums.discard();
        }
        graph(&env)
    };
    let plain = uids(&build(None, false, 4));
    assert_eq!(
        plain,
        uids(&build(None, false, 2)),
        "parallelism is no part of the identity"
    );
    let twice = uids(&build(None, true, 4));
    assert_eq!(
        twice[..plain.len()],
        plain,
        "what is appended changes nothing before it"
    );
    let keyed = uids(&build(Some("source"), false, 4));
    assert_eq!(keyed[0], OperatorUid::explicit("source").0.to_be_bytes());
    assert_ne!(keyed[1], plain[1], "derived from another source");
}

#[test]
fn max_parallelism_is_the_operators_or_the_jobs_or_derived() {
    let build = |job: Option<u32>| {
        let env = environment();
        let numbers = env.from_sequence(1, 9);
        numbers
            .map(|n| n)
            .disable_chaining()
            .set_max_parallelism(10)
            .discard();
        let settings = GraphSettings {
            max_parallelism: job,
            ..settings(true)
        };
        let graph = graph_with(&env, settings);
        graph
            .vertices
            .iter()
            .map(|vertex| vertex.max_parallelism)
            .collect::<Vec<_>>()
    };
    assert_eq!(build(None), [128, 10, 128]);
    assert_eq!(build(Some(64)), [64, 10, 64]);
}
