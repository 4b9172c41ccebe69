//! Savepoints on this machine: looked at, and disposed of without a cluster.

use std::path::PathBuf;

use flott_model::{
    CHECKPOINT_VERSION, CheckpointMetadata, EnumeratorState, OperatorMeta, OperatorSubtaskState,
    SnapshotKind, StateHandle, SubtaskSnapshot, VertexSnapshot,
};
use flott_state::{Compression, KeyedTable, OperatorSnapshot};

use super::super::support::Site;
use super::{JOB, flott};

const STATES: &str = "states-1";

/// The blobs of an operator that counts: of its keys, and of itself.
fn blobs(words: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let mut counts = KeyedTable::<String, u64>::new();
    for (word, count) in words.iter().zip(1..) {
        let key = (*word).to_owned();
        let hash = flott_record::hash::stable_hash(&key);
        counts.insert_new(hash, key, count);
    }
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("counts", &mut counts).unwrap();
    snapshot.value("begun", &true).unwrap();
    let (mut keyed, mut operator) = (Vec::new(), Vec::new());
    let encoded = snapshot.encode(Compression::None, &mut keyed, &mut operator);
    encoded.unwrap();
    (keyed, operator)
}

/// A savepoint of two subtasks; its keyed states are in one file, the others in its metadata.
fn write(site: &Site) -> PathBuf {
    let directory = site.path("savepoint-1");
    std::fs::create_dir(&directory).unwrap();
    let mut file = Vec::new();
    let mut subtasks = Vec::new();
    for words in [&["to", "be"][..], &["or", "not", "ever"]] {
        let (keyed, operator) = blobs(words);
        let state = OperatorSubtaskState {
            operator: vec![2; 16],
            keyed: Some(StateHandle {
                file: STATES.to_owned(),
                offset: file.len() as u64,
                length: keyed.len() as u64,
                ..StateHandle::default()
            }),
            key_groups: 64,
            state: Some(StateHandle {
                inline: operator,
                ..StateHandle::default()
            }),
            ..OperatorSubtaskState::default()
        };
        file.extend(keyed);
        subtasks.push(SubtaskSnapshot {
            operators: vec![state],
            bytes: 1_000,
            ..SubtaskSnapshot::default()
        });
    }
    std::fs::write(directory.join(STATES), file).unwrap();
    let operator = |uid: u8, name: &str| OperatorMeta {
        uid: vec![uid; 16],
        name: name.to_owned(),
    };
    let vertex = |operators, subtasks| VertexSnapshot {
        uid: vec![1; 16],
        name: "a vertex".to_owned(),
        operators,
        max_parallelism: 128,
        subtasks,
    };
    let ended = SubtaskSnapshot {
        finished: true,
        ..SubtaskSnapshot::default()
    };
    let metadata = CheckpointMetadata {
        version: CHECKPOINT_VERSION,
        job: JOB.to_owned(),
        job_name: "counts".to_owned(),
        id: 27,
        epoch: 1,
        kind: SnapshotKind::StopWithSavepoint.number(),
        timestamp_ms: 1_795_357_423_000,
        vertices: vec![
            vertex(vec![operator(1, "Source: text")], vec![ended; 1]),
            vertex(vec![operator(2, "count"), operator(3, "print")], subtasks),
        ],
        enumerators: vec![EnumeratorState {
            operator: vec![1; 16],
            state: vec![0; 40],
        }],
        ..CheckpointMetadata::default()
    };
    std::fs::write(directory.join("_metadata"), metadata.to_file()).unwrap();
    directory
}

#[test]
fn a_savepoint_tells_what_is_in_it() {
    let site = Site::new().with_cluster("localhost:1");
    let directory = write(&site);
    let ran = flott(&site, &format!("savepoint info {}", directory.display())).expect(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], format!("Path:   file://{}", directory.display()));
    assert_eq!(lines[1], format!("Job:    {JOB} (counts)"));
    let kind = "Kind:   savepoint of a job that was stopped, number 27, taken ";
    assert!(lines[2].starts_with(kind), "{}", lines[2]);
    // How many bytes they take is the format's business.
    let sizeless = |line: &&str| match line.rsplit_once(" rows, ") {
        Some((most, _)) => format!("{most} rows"),
        None => (*line).to_owned(),
    };
    let rest: Vec<String> = lines[3..].iter().map(sizeless).collect();
    let expected = [
        "State:  2.0 kB",
        "",
        "Vertex: a vertex",
        "  parallelism 1, max parallelism 128, 1 of its subtasks had finished",
        "  Operator: Source: text",
        "    uid 01010101010101010101010101010101",
        "    what its source has given out: 40 bytes",
        "",
        "Vertex: a vertex",
        "  parallelism 2, max parallelism 128",
        "  Operator: count",
        "    uid 02020202020202020202020202020202",
        "    counts: a table of the operator, 5 rows",
        "      key   str",
        "      value u64",
        "    begun: a value of the operator, 2 rows",
        "      value bool",
        "  Operator: print",
        "    uid 03030303030303030303030303030303",
        "    no state",
    ];
    assert_eq!(rest, expected, "{}", ran.stdout);
    let by_file = format!("savepoint info {}/_metadata", directory.display());
    assert_eq!(flott(&site, &by_file).expect(0).stdout, ran.stdout);
}

#[test]
fn what_is_damaged_or_missing_is_named() {
    let site = Site::new().with_cluster("localhost:1");
    let directory = write(&site);
    let info = format!("savepoint info {}", directory.display());
    let states = directory.join(STATES);
    let mut bytes = std::fs::read(&states).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&states, bytes).unwrap();
    flott(&site, &info)
        .expect(1)
        .says("cannot read the state of operator 'count', subtask 1")
        .says(states.to_str().unwrap());
    std::fs::remove_file(&states).unwrap();
    flott(&site, &info).expect(1).says(states.to_str().unwrap());
    std::fs::write(directory.join("_metadata"), "something else").unwrap();
    flott(&site, &info)
        .expect(1)
        .says("does not begin with FLTM");
    flott(&site, "savepoint info /no/such/place")
        .expect(1)
        .says("/no/such/place");
}

#[test]
fn a_savepoint_is_disposed_of_without_a_cluster() {
    let site = Site::new().with_cluster("localhost:1");
    let directory = write(&site);
    let path = directory.display();
    let ran = flott(&site, &format!("savepoint -d {path}")).expect(0);
    let expected = format!("Disposing savepoint '{path}'.\nSavepoint '{path}' disposed.\n");
    assert_eq!(ran.stdout, expected);
    assert!(!directory.exists());
    flott(&site, &format!("savepoint -d {path}"))
        .expect(1)
        .says(&format!("cannot dispose of savepoint '{path}': "));
}
