//! Where the state of a restored task comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_filesystem::FileSystems;
use flott_model::{
    Epoch, ExecutionAttemptId, OldSubtaskState, OperatorRestore, OperatorUid, StateHandle,
    SubtaskRestore, VertexId,
};
use flott_operators::TaskError;
use flott_record::hash::stable_hash;
use flott_state::{
    Compression, KeyedTable, ListStateDescriptor, OperatorBackend, OperatorSnapshot,
};

use super::{Fetch, LocalCopies, Place, RestoreFrom, Restored, Restores};

const UID: OperatorUid = OperatorUid(7);

/// A row, and a value of the subtask.
fn snapshot(value: u64) -> OperatorSnapshot {
    let mut table = KeyedTable::<u64, u64>::new();
    table.insert(stable_hash(&1), 1, value);
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("rows", &mut table).unwrap();
    snapshot.value("value", &value).unwrap();
    snapshot
}

/// With a list that all subtasks get.
fn with_union(value: u64) -> OperatorSnapshot {
    let mut backend = OperatorBackend::new();
    let all = backend.union_list_state(ListStateDescriptor::new("all"));
    all.unwrap().add(&mut backend, value);
    let mut snapshot = snapshot(value);
    snapshot.operator(&mut backend).unwrap();
    snapshot
}

fn inline(bytes: Vec<u8>) -> StateHandle {
    StateHandle {
        length: bytes.len() as u64,
        inline: bytes,
        ..StateHandle::default()
    }
}

fn missing() -> StateHandle {
    StateHandle {
        file: "missing".to_owned(),
        length: 10,
        ..StateHandle::default()
    }
}

fn operator_blob(snapshot: &OperatorSnapshot) -> Vec<u8> {
    let mut blob = Vec::new();
    let encoded = snapshot.encode(Compression::None, &mut Vec::new(), &mut blob);
    encoded.unwrap();
    blob
}

fn keyed_blob(snapshot: &OperatorSnapshot) -> Vec<u8> {
    let mut blob = Vec::new();
    let encoded = snapshot.encode(Compression::None, &mut blob, &mut Vec::new());
    encoded.unwrap();
    blob
}

/// What subtask 1 of 2 is given.
fn restore(keyed: StateHandle, states: Vec<(u32, StateHandle)>) -> SubtaskRestore {
    let states = states.into_iter().map(|(subtask, state)| OldSubtaskState {
        subtask,
        state: Some(state),
    });
    SubtaskRestore {
        checkpoint: 3,
        directory: "/there/is/none".to_owned(),
        operators: vec![OperatorRestore {
            operator: UID.0.to_be_bytes().to_vec(),
            keyed: vec![keyed],
            states: states.collect(),
            old_parallelism: 2,
        }],
        finished: false,
        channels: Vec::new(),
    }
}

/// With what was kept and no copies, in a worker where the vertex has that parallelism. And the counts.
async fn fetch(
    kept: Option<&OperatorSnapshot>,
    parallelism: u32,
    restore: SubtaskRestore,
) -> (Result<Restored, TaskError>, Vec<(&'static str, u64)>) {
    let counts = Arc::<Restores>::default();
    let place = Place {
        attempt: ExecutionAttemptId {
            epoch: Epoch(1),
            vertex: VertexId(0),
            subtask: 1,
            attempt: 4,
        },
        parallelism,
        max_parallelism: 128,
    };
    let fetch = Fetch {
        from: RestoreFrom {
            files: Arc::new(FileSystems::new(BTreeMap::new(), None, None).unwrap()),
            spool: None,
        },
        place,
        kept: kept.map(|kept| BTreeMap::from([(UID, kept.clone())])),
        local: LocalCopies::default(),
        counts: Arc::clone(&counts),
        edges: Arc::from([]),
    };
    let restored = fetch.run(restore).await;
    let counted = counts.all().into_iter().filter(|(_, count)| *count > 0);
    (restored, counted.collect())
}

fn row(restored: &Restored) -> u64 {
    let table = restored.operators[&UID].table::<u64, u64>("rows").unwrap();
    *table.get(stable_hash(&1), &1).unwrap()
}

fn values(restored: &Restored) -> Vec<(u32, u64)> {
    restored.operators[&UID].value("value").unwrap()
}

#[tokio::test]
async fn what_was_kept_needs_no_files() {
    let kept = snapshot(17);
    let (restored, counts) = fetch(Some(&kept), 2, restore(missing(), vec![(1, missing())])).await;
    let restored = restored.unwrap();
    assert_eq!(row(&restored), 17);
    assert_eq!(values(&restored), [(1, 17)]);
    assert_eq!(counts, [("Status.State.RestoresFromMemory", 1)]);
}

#[tokio::test]
async fn what_was_not_kept_is_read() {
    let stored = snapshot(17);
    let given = restore(
        inline(keyed_blob(&stored)),
        vec![(1, inline(operator_blob(&stored)))],
    );
    let (restored, counts) = fetch(None, 2, given).await;
    let restored = restored.unwrap();
    assert_eq!((row(&restored), values(&restored)), (17, vec![(1, 17)]));
    assert_eq!(counts, [("Status.State.RestoresFromStorage", 1)]);

    let (restored, counts) = fetch(None, 2, restore(missing(), Vec::new())).await;
    let error = restored.err().unwrap().to_string();
    assert!(error.contains("'/there/is/none/missing'"), "{error}");
    assert_eq!(counts, []);
}

#[tokio::test]
async fn states_of_other_subtasks_are_read_and_keyed_ones_are_not() {
    let (kept, other) = (with_union(17), with_union(4));
    let states = vec![
        (0, inline(operator_blob(&other))),
        (1, inline(operator_blob(&kept))),
    ];
    let (restored, counts) = fetch(Some(&kept), 2, restore(missing(), states)).await;
    let restored = restored.unwrap();
    assert_eq!(row(&restored), 17);
    assert_eq!(values(&restored), [(0, 4), (1, 17)]);
    let mut backend = OperatorBackend::restored(&restored.operators[&UID]);
    let all = backend.union_list_state(ListStateDescriptor::<u64>::new("all"));
    assert_eq!(all.unwrap().get(&backend), [4, 17]);
    assert_eq!(counts, [("Status.State.RestoresFromMemory", 1)]);
}

#[tokio::test]
async fn another_parallelism_is_read() {
    let kept = snapshot(17);
    let (restored, _) = fetch(Some(&kept), 3, restore(missing(), Vec::new())).await;
    assert!(restored.is_err());
}
