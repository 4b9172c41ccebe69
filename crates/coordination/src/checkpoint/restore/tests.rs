//! Restores at other parallelisms, of other graphs, and those that are refused.

mod channels;

use flott_model::{
    CHECKPOINT_VERSION, CheckpointMetadata, EnumeratorState, JobEdge, JobVertex, OperatorMeta,
    StoredCommittable, SubtaskSnapshot,
};

use super::*;

const MAXIMUM: u32 = 128;

fn uid(number: u8) -> Vec<u8> {
    u128::from(number).to_be_bytes().to_vec()
}

fn operators(uids: &[u8]) -> Vec<OperatorMeta> {
    let operators = uids.iter().map(|number| OperatorMeta {
        uid: uid(*number),
        name: format!("op{number}"),
    });
    operators.collect()
}

/// Vertices by the uids of their operators and their parallelism, each fed by the one before.
fn chain(vertices: &[(&[u8], u32)]) -> JobGraph {
    let described = vertices.iter().enumerate();
    let described = described.map(|(position, (uids, parallelism))| JobVertex {
        name: format!("vertex{position}"),
        operators: operators(uids),
        parallelism: *parallelism,
        max_parallelism: MAXIMUM,
        ..JobVertex::default()
    });
    let edges = (1..vertices.len() as u32).map(|target| JobEdge {
        source: target - 1,
        target,
        ..JobEdge::default()
    });
    JobGraph {
        vertices: described.collect(),
        edges: edges.collect(),
        ..JobGraph::default()
    }
}

fn handle(file: String) -> Option<StateHandle> {
    Some(StateHandle {
        file,
        ..StateHandle::default()
    })
}

/// A snapshot of a subtask with keyed and operator state of each operator.
fn snapshot(uids: &[u8], subtask: u32, parallelism: u32) -> SubtaskSnapshot {
    let (first_key_group, key_groups) = key_groups_of(subtask, parallelism, MAXIMUM);
    let operators = uids.iter().map(|number| OperatorSubtaskState {
        operator: uid(*number),
        keyed: handle(format!("k{number}-{subtask}")),
        first_key_group,
        key_groups,
        state: handle(format!("o{number}-{subtask}")),
        own: false,
    });
    SubtaskSnapshot {
        operators: operators.collect(),
        ..SubtaskSnapshot::default()
    }
}

/// A checkpoint of a graph in which everybody has state.
fn checkpoint(graph: &JobGraph) -> CheckpointMetadata {
    let vertices = graph.vertices.iter().map(|vertex| {
        let uids: Vec<u8> = vertex.operators.iter().map(|it| it.uid[15]).collect();
        let parallelism = vertex.parallelism;
        VertexSnapshot {
            name: vertex.name.clone(),
            operators: vertex.operators.clone(),
            max_parallelism: vertex.max_parallelism,
            subtasks: (0..parallelism)
                .map(|subtask| snapshot(&uids, subtask, parallelism))
                .collect(),
            ..VertexSnapshot::default()
        }
    });
    CheckpointMetadata {
        version: CHECKPOINT_VERSION,
        id: 9,
        vertices: vertices.collect(),
        ..CheckpointMetadata::default()
    }
}

fn finished() -> SubtaskSnapshot {
    SubtaskSnapshot {
        finished: true,
        ..SubtaskSnapshot::default()
    }
}

fn plan(
    graph: &JobGraph,
    metadata: CheckpointMetadata,
    allow: bool,
) -> Result<(Shape, RestorePlan), String> {
    let stored = StoredCheckpoint {
        metadata: Arc::new(metadata),
        directory: "/s/9".to_owned(),
        path: "file:/s/9".to_owned(),
    };
    let shape = Shape::new(graph);
    match RestorePlan::new(&shape, Arc::new(stored), allow) {
        Ok(plan) => Ok((shape, plan)),
        Err(failure) => {
            assert_eq!(failure.class(), FailureClass::Fatal);
            Err(failure.message)
        }
    }
}

fn of(plan: &(Shape, RestorePlan), vertex: u32, subtask: u32) -> SubtaskRestore {
    plan.1.subtask(&plan.0, VertexId(vertex), subtask)
}

#[test]
fn keyed_state_goes_to_whoever_has_its_key_groups_now() {
    for before in [1, 2, 3, 5, 8, 128] {
        for now in [1, 2, 3, 4, 7, 64, 128] {
            let metadata = checkpoint(&chain(&[(&[1], before)]));
            let plan = plan(&chain(&[(&[1], now)]), metadata, false).unwrap();
            for subtask in 0..now {
                let (first, count) = key_groups_of(subtask, now, MAXIMUM);
                let wanted = (0..before).filter(|old| {
                    let (begin, groups) = key_groups_of(*old, before, MAXIMUM);
                    (begin..begin + groups).any(|group| (first..first + count).contains(&group))
                });
                let wanted: Vec<String> = wanted.map(|old| format!("k1-{old}")).collect();
                let given = of(&plan, 0, subtask).operators.remove(0).keyed;
                let given: Vec<String> = given.into_iter().map(|it| it.file).collect();
                assert_eq!(given, wanted, "{before} -> {now}, subtask {subtask}");
            }
        }
    }
}

#[test]
fn operator_state_goes_to_all_unless_each_part_is_somebodys_own() {
    let files = |own: bool, now: u32, subtask: u32| {
        let mut metadata = checkpoint(&chain(&[(&[1], 3)]));
        for snapshot in &mut metadata.vertices[0].subtasks {
            snapshot.operators[0].own = own;
        }
        let plan = plan(&chain(&[(&[1], now)]), metadata, false).unwrap();
        let given = of(&plan, 0, subtask).operators.remove(0);
        assert_eq!(given.old_parallelism, 3);
        let states = given.states.into_iter();
        let states = states.map(|it| (it.subtask, it.state.unwrap().file));
        states.collect::<Vec<(u32, String)>>()
    };
    let all = vec![
        (0, "o1-0".to_owned()),
        (1, "o1-1".to_owned()),
        (2, "o1-2".to_owned()),
    ];
    assert_eq!(files(false, 3, 1), all);
    assert_eq!(files(true, 3, 1), all[1..2]);
    assert_eq!(
        files(true, 2, 1),
        all,
        "with another parallelism all are shared out"
    );
}

#[test]
fn operators_are_found_by_uid_wherever_they_are() {
    let metadata = checkpoint(&chain(&[(&[1, 2], 2), (&[3], 2)]));
    // Another chaining, another order, one operator without state before.
    let plan = plan(
        &chain(&[(&[3], 2), (&[1], 2), (&[7, 2], 2)]),
        metadata,
        false,
    )
    .unwrap();
    let uids = |vertex| {
        let operators = of(&plan, vertex, 0).operators.into_iter();
        operators.map(|it| it.operator[15]).collect::<Vec<u8>>()
    };
    assert_eq!((uids(0), uids(1), uids(2)), (vec![3], vec![1], vec![2]));
    let restore = of(&plan, 0, 1);
    assert_eq!(
        (restore.checkpoint, restore.directory.as_str()),
        (9, "/s/9")
    );
}

#[test]
fn state_that_nobody_wants_is_refused_unless_that_is_allowed() {
    let metadata = checkpoint(&chain(&[(&[1, 2], 2)]));
    let smaller = chain(&[(&[1], 2)]);
    let refused = plan(&smaller, metadata.clone(), false).unwrap_err();
    assert_eq!(
        refused,
        format!(
            "cannot restore from file:/s/9: it has state of 'op2' (uid {:032x}), and the job has no \
             operator with that uid: give the operator the uid it had, or leave the state behind by \
             --allowNonRestoredState (execution.state-recovery.ignore-unclaimed-state)",
            2
        )
    );
    let plan = plan(&smaller, metadata, true).unwrap();
    assert_eq!(of(&plan, 0, 0).operators.len(), 1);
}

#[test]
fn an_operator_without_state_may_go() {
    let mut metadata = checkpoint(&chain(&[(&[1, 2], 1)]));
    metadata.vertices[0].subtasks[0].operators.pop();
    assert!(plan(&chain(&[(&[1], 1)]), metadata, false).is_ok());
}

#[test]
fn enumerators_and_outputs_are_state_too() {
    let before = chain(&[(&[1], 1)]);
    let mut with_source = checkpoint(&before);
    with_source.enumerators.push(EnumeratorState {
        operator: uid(5),
        state: Vec::new(),
    });
    assert!(
        plan(&before, with_source, false)
            .unwrap_err()
            .contains("uid 00000000000000000000000000000005")
    );
    let mut with_output = checkpoint(&before);
    with_output.uncommitted.push(StoredCommittable {
        operator: uid(6),
        ..StoredCommittable::default()
    });
    assert!(
        plan(&before, with_output.clone(), false)
            .unwrap_err()
            .contains("00006)")
    );
    assert!(plan(&before, with_output, true).is_ok());
}

#[test]
fn another_number_of_key_groups_is_refused() {
    let metadata = checkpoint(&chain(&[(&[1], 2)]));
    let mut graph = chain(&[(&[1], 2)]);
    graph.vertices[0].max_parallelism = 256;
    let refused = plan(&graph, metadata.clone(), true).unwrap_err();
    assert_eq!(
        refused,
        format!(
            "cannot restore from file:/s/9: operator 'op1' (uid {:032x}) has keyed state of maximum \
             parallelism 128, and the job's is 256: set the maximum parallelism of the operator, or \
             of the job, to 128",
            1
        )
    );
    let mut without_keys = metadata;
    for snapshot in &mut without_keys.vertices[0].subtasks {
        snapshot.operators[0].keyed = None;
    }
    assert!(plan(&graph, without_keys, false).is_ok());
}

#[test]
fn a_later_version_is_refused() {
    let graph = chain(&[(&[1], 1)]);
    let mut metadata = checkpoint(&graph);
    metadata.version = CHECKPOINT_VERSION + 1;
    assert!(
        plan(&graph, metadata, false)
            .unwrap_err()
            .contains("version 3")
    );
}

#[test]
fn who_had_finished_has_finished() {
    let graph = chain(&[(&[1], 2), (&[2], 2)]);
    let mut metadata = checkpoint(&graph);
    metadata.vertices[0].subtasks[1] = finished();
    let partly = plan(&graph, metadata.clone(), false).unwrap();
    let restore = of(&partly, 0, 1);
    assert!(restore.finished && restore.operators.is_empty());
    assert!(!of(&partly, 0, 0).finished);
    // With another parallelism nobody is who he was: what there is of state is shared out.
    let wider = chain(&[(&[1], 3), (&[2], 2)]);
    let shared = plan(&wider, metadata.clone(), false).unwrap();
    assert!((0..3).all(|subtask| !of(&shared, 0, subtask).finished));
    assert_eq!(of(&shared, 0, 2).operators[0].states.len(), 1);
    // If all had finished, all have.
    metadata.vertices[0].subtasks[0] = finished();
    let all = plan(&wider, metadata, false).unwrap();
    assert!((0..3).all(|subtask| of(&all, 0, subtask).finished));
    assert!(!of(&all, 1, 0).finished);
}

#[test]
fn nothing_new_can_come_before_what_had_finished() {
    let before = chain(&[(&[1], 1), (&[2, 3], 1)]);
    let mut metadata = checkpoint(&before);
    metadata.vertices[0].subtasks[0] = finished();
    metadata.vertices[1].subtasks[0] = finished();
    let source = chain(&[(&[8], 1), (&[2, 3], 1)]);
    let refused = plan(&source, metadata.clone(), true).unwrap_err();
    assert!(
        refused.contains("'vertex1' had finished, and 'vertex0' in front of it has not"),
        "{refused}"
    );
    let chained = chain(&[(&[1], 1), (&[8, 3], 1)]);
    let refused = plan(&chained, metadata.clone(), true).unwrap_err();
    assert!(refused.contains("operator 'op3'"), "{refused}");
    assert!(plan(&before, metadata, true).is_ok());
}

#[test]
fn damaged_metadata_is_refused() {
    let graph = chain(&[(&[1], 1)]);
    let mut short = checkpoint(&graph);
    short.vertices[0].operators[0].uid.pop();
    assert!(
        plan(&graph, short, true)
            .unwrap_err()
            .contains("a uid has not 16 bytes")
    );
    let mut foreign = checkpoint(&graph);
    foreign.vertices[0].subtasks[0].operators[0].operator = uid(77);
    assert!(
        plan(&graph, foreign, true)
            .unwrap_err()
            .contains("does not name")
    );
    let mut absurd = checkpoint(&graph);
    let state = &mut absurd.vertices[0].subtasks[0].operators[0];
    (state.first_key_group, state.key_groups) = (u32::MAX, u32::MAX);
    let plan = plan(&graph, absurd, true).unwrap();
    assert_eq!(of(&plan, 0, 0).operators[0].keyed, []);
}
