//! Answers against those that Flink 1.20.5 gave: same keys, same types.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use flott_config::Configuration;
use flott_coordination::checkpoint::CheckpointCounts;
use flott_model::{Failure, FailureClass, JobGraph, JobId, JobStatus, PROTOCOL_VERSION};
use flott_protocol::message::JobBundle;

use super::*;

const BEGIN: UnixMillis = 1_795_357_300_000;
const VERTEX: &str = "02020202020202020202020202020202";

fn recorded(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Fails unless both have the same keys and types, down to the leaves.
#[track_caller]
fn assert_same_shape(flink: &Value, ours: &Value) {
    if let Err(difference) = compare("", flink, ours) {
        panic!("{difference}\nours: {ours:#}");
    }
}

fn compare(path: &str, flink: &Value, ours: &Value) -> Result<(), String> {
    let different = || Err(format!("{path}: Flink has {flink}, we have {ours}"));
    match (flink, ours) {
        (Value::Object(flink), Value::Object(ours)) => {
            // The keys of these are ids.
            if path.ends_with("/tasks") {
                let mut pairs = flink.values().zip(ours.values());
                return pairs.try_for_each(|(flink, ours)| compare(path, flink, ours));
            }
            let (theirs, own): (Vec<_>, Vec<_>) = (flink.keys().collect(), ours.keys().collect());
            if theirs != own {
                return Err(format!("{path}: Flink has {theirs:?}, we have {own:?}"));
            }
            let mut pairs = flink.iter().zip(ours.values());
            pairs
                .try_for_each(|((key, flink), ours)| compare(&format!("{path}/{key}"), flink, ours))
        }
        (Value::Array(flink), Value::Array(ours)) => {
            let mut pairs = flink.iter().zip(ours);
            pairs.try_for_each(|(flink, ours)| compare(&format!("{path}[]"), flink, ours))
        }
        (Value::Number(flink), Value::Number(ours)) if flink.is_f64() == ours.is_f64() => Ok(()),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => Ok(()),
        (Value::Null, Value::Null) => Ok(()),
        // A percentile: the word for none, where there is no value.
        (Value::Number(number), Value::String(word)) if number.is_f64() && word == "NaN" => Ok(()),
        (Value::String(word), Value::Number(number)) if number.is_f64() && word == "NaN" => Ok(()),
        _ => different(),
    }
}

fn graph() -> JobGraph {
    let vertex = |uid: u8| JobVertex {
        uid: vec![uid; 16],
        name: format!("vertex {uid}"),
        parallelism: 2,
        max_parallelism: 128,
        ..JobVertex::default()
    };
    JobGraph {
        name: "counts".to_owned(),
        vertices: vec![vertex(1), vertex(2)],
        protocol_version: PROTOCOL_VERSION,
        ..JobGraph::default()
    }
}

fn job(checkpoints: CheckpointStatistics) -> JobSnapshot {
    JobSnapshot {
        id: JobId(7),
        graph: Arc::new(graph()),
        bundle: Arc::new(JobBundle::default()),
        status: JobStatus::Running,
        timestamps: BTreeMap::from([(JobStatus::Initializing, BEGIN)]),
        vertices: Vec::new(),
        failures: Vec::new(),
        restarts: 0,
        checkpoints: Arc::new(checkpoints),
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn acknowledged(at: u64, bytes: u64) -> Option<SubtaskRecord> {
    Some(SubtaskRecord {
        acknowledged: ms(at),
        finished: false,
        bytes,
        alignment_ms: 3,
        sync_ms: 1,
        async_ms: 15,
        start_delay_ms: 4,
        unaligned: false,
        processed_bytes: 0,
        persisted_bytes: 0,
    })
}

fn record(id: u64, kind: SnapshotKind, status: CheckpointStatus) -> CheckpointRecord {
    let subtasks = |first, second| VertexRecord {
        subtasks: vec![first, second],
    };
    CheckpointRecord {
        checkpoint: CheckpointId(id),
        kind,
        triggered: ms(1_000),
        status,
        vertices: vec![
            subtasks(acknowledged(1_010, 100), acknowledged(1_020, 200)),
            subtasks(acknowledged(1_040, 1_000), acknowledged(1_030, 3_000)),
        ],
    }
}

fn completed(id: u64, kind: SnapshotKind) -> CheckpointRecord {
    let status = CheckpointStatus::Completed {
        at: ms(1_050),
        path: format!("hdfs://nn/{id}"),
        discarded: false,
    };
    record(id, kind, status)
}

fn failed(id: u64) -> CheckpointRecord {
    let status = CheckpointStatus::Failed {
        at: ms(1_200),
        failure: Failure::new(FailureClass::Transient, "the disk is full"),
    };
    let mut record = record(id, SnapshotKind::Checkpoint, status);
    record.vertices[1].subtasks[0] = None;
    record
}

fn statistics_of(history: Vec<CheckpointRecord>) -> CheckpointStatistics {
    CheckpointStatistics {
        counts: CheckpointCounts {
            restored: 1,
            total: 4,
            in_progress: 1,
            completed: 2,
            failed: 1,
        },
        latest_completed: Some(completed(3, SnapshotKind::Checkpoint)),
        latest_savepoint: Some(completed(2, SnapshotKind::StopWithSavepoint)),
        latest_restored: Some(RestoreRecord {
            checkpoint: CheckpointId(1),
            kind: SnapshotKind::Savepoint,
            at: ms(5),
            path: "hdfs://nn/1".to_owned(),
        }),
        history: VecDeque::from(history),
        ..CheckpointStatistics::default()
    }
}

#[test]
fn the_list_has_flinks_shape() {
    let history = vec![completed(3, SnapshotKind::Checkpoint)];
    let ours = statistics(&job(statistics_of(history)));
    let flink = recorded(include_str!("../../testdata/flink-1.20.5/checkpoints.json"));
    assert_same_shape(&flink, &ours);
    assert_eq!(ours["counts"]["in_progress"], 1);
    assert_eq!(ours["latest"]["restored"]["restore_timestamp"], BEGIN + 5);
    assert_eq!(
        ours["latest"]["savepoint"]["checkpoint_type"],
        "SYNC_SAVEPOINT"
    );
    assert_eq!(ours["latest"]["savepoint"]["savepointFormat"], "CANONICAL");
    let of = &ours["history"][0];
    assert_eq!(of["trigger_timestamp"], BEGIN + 1_000);
    assert_eq!(of["latest_ack_timestamp"], BEGIN + 1_040);
    assert_eq!(of["end_to_end_duration"], 50, "until it was stored");
    assert_eq!(of["checkpointed_size"], 4_300);
    assert_eq!(of["external_path"], "hdfs://nn/3");
    assert_eq!(of["tasks"], json!({}));
}

#[test]
fn each_state_has_its_own_fields_and_the_newest_is_first() {
    let mut running = record(4, SnapshotKind::Savepoint, CheckpointStatus::InProgress);
    running.vertices.clear();
    let history = vec![completed(2, SnapshotKind::Checkpoint), failed(3), running];
    let ours = statistics(&job(statistics_of(history)));
    let of = |index: usize, key: &str| ours["history"][index][key].clone();
    assert_eq!(
        (
            of(0, "className"),
            of(0, "status"),
            of(0, "checkpoint_type")
        ),
        (
            json!("in_progress"),
            json!("IN_PROGRESS"),
            json!("SAVEPOINT")
        )
    );
    assert_eq!(
        (of(0, "latest_ack_timestamp"), of(0, "end_to_end_duration")),
        (json!(-1), json!(-1))
    );
    assert_eq!(of(0, "external_path"), Value::Null);
    assert_eq!(
        (of(1, "className"), of(1, "status")),
        (json!("failed"), json!("FAILED"))
    );
    assert_eq!(of(1, "failure_timestamp"), BEGIN + 1_200);
    assert_eq!(of(1, "failure_message"), "the disk is full");
    assert_eq!(of(1, "num_acknowledged_subtasks"), 3);
    assert_eq!(of(1, "end_to_end_duration"), 200);
    assert_eq!(
        (of(2, "className"), of(2, "id")),
        (json!("completed"), json!(2))
    );
}

#[test]
fn unaligned_checkpoints_are_told_apart() {
    let mut unaligned = completed(2, SnapshotKind::Checkpoint);
    if let Some(subtask) = &mut unaligned.vertices[1].subtasks[0] {
        subtask.unaligned = true;
        (subtask.processed_bytes, subtask.persisted_bytes) = (30, 70);
    }
    let job = job(statistics_of(vec![unaligned]));
    let ours = details(&job, CheckpointId(2)).unwrap();
    assert_eq!(ours["checkpoint_type"], "UNALIGNED_CHECKPOINT");
    let of_vertex = subtasks(&job, job.checkpoints.get(CheckpointId(2)).unwrap(), VERTEX).unwrap();
    assert_eq!(of_vertex["subtasks"][0]["unaligned_checkpoint"], true);
}

#[test]
fn details_tell_of_each_vertex() {
    let job = job(statistics_of(vec![completed(3, SnapshotKind::Checkpoint)]));
    let ours = details(&job, CheckpointId(3)).unwrap();
    let flink = recorded(include_str!(
        "../../testdata/flink-1.20.5/checkpoints_details.json"
    ));
    assert_same_shape(&flink, &ours);
    let of_vertex = &ours["tasks"][VERTEX];
    assert_eq!(of_vertex["checkpointed_size"], 4_000);
    assert_eq!(of_vertex["end_to_end_duration"], 40);
    assert_eq!(of_vertex["num_acknowledged_subtasks"], 2);
    // Remembered as the latest savepoint, though not in the history.
    assert_eq!(details(&job, CheckpointId(2)).unwrap()["id"], 2);
    assert_eq!(details(&job, CheckpointId(99)), None);
}

#[test]
fn subtasks_tell_of_themselves() {
    let job = job(statistics_of(vec![
        completed(3, SnapshotKind::Checkpoint),
        failed(4),
    ]));
    let record = |id| job.checkpoints.get(CheckpointId(id)).unwrap();
    let ours = subtasks(&job, record(3), VERTEX).unwrap();
    let flink = include_str!("../../testdata/flink-1.20.5/checkpoints_details_subtasks.json");
    assert_same_shape(&recorded(flink), &ours);
    assert_eq!(ours["summary"]["state_size"]["min"], 1_000);
    assert_eq!(ours["summary"]["end_to_end_duration"]["max"], 40);
    assert_eq!(ours["subtasks"][1]["ack_timestamp"], BEGIN + 1_030);
    assert_eq!(
        ours["subtasks"][1]["checkpoint"],
        json!({ "sync": 1, "async": 15 })
    );
    let ours = subtasks(&job, record(4), VERTEX).unwrap();
    let pending = json!({ "className": "pending", "index": 0, "status": "pending_or_failed" });
    assert_eq!(ours["subtasks"][0], pending);
    assert_eq!(subtasks(&job, record(3), "00"), None);
}

#[test]
fn metrics_tell_of_the_last_one() {
    let of = |job: &JobSnapshot| BTreeMap::from_iter(metrics(job));
    let none = of(&job(CheckpointStatistics::default()));
    // As Flink 1.20.5 lists them.
    let names = [
        "lastCheckpointDuration",
        "lastCheckpointExternalPath",
        "lastCheckpointFullSize",
        "lastCheckpointPersistedData",
        "lastCheckpointProcessedData",
        "lastCheckpointRestoreTimestamp",
        "lastCheckpointSize",
        "lastCompletedCheckpointId",
        "numberOfCompletedCheckpoints",
        "numberOfFailedCheckpoints",
        "numberOfInProgressCheckpoints",
        "totalNumberOfCheckpoints",
    ];
    assert_eq!(none.keys().copied().collect::<Vec<_>>(), names);
    assert_eq!(none["lastCheckpointExternalPath"], "n/a");
    assert_eq!(none["lastCheckpointSize"], "-1");
    let some = of(&job(statistics_of(Vec::new())));
    assert_eq!(some["lastCompletedCheckpointId"], "3");
    assert_eq!(some["lastCheckpointExternalPath"], "hdfs://nn/3");
    assert_eq!(some["lastCheckpointSize"], "4300");
    assert_eq!(some["lastCheckpointDuration"], "50");
    assert_eq!(some["numberOfFailedCheckpoints"], "1");
    let restored = (BEGIN + 5).to_string();
    assert_eq!(some["lastCheckpointRestoreTimestamp"], restored);
}

fn configuration(settings: &[(&str, &str)]) -> Configuration {
    let settings = settings.iter();
    let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Configuration::from_map(settings.collect()).unwrap()
}

#[test]
fn settings_are_those_of_the_configuration() {
    let flink = recorded(include_str!(
        "../../testdata/flink-1.20.5/checkpoints_config.json"
    ));
    let same = configuration(&[
        ("execution.checkpointing.interval", "1 s"),
        ("execution.checkpointing.dir", "hdfs:///ck"),
    ]);
    assert_eq!(config(&same), flink);
    let ours = config(&configuration(&[]));
    assert_eq!(ours["interval"], i64::MAX);
    assert_eq!(ours["checkpoint_storage"], "JobManagerCheckpointStorage");
    let ours = config(&configuration(&[
        ("execution.checkpointing.mode", "AT_LEAST_ONCE"),
        (
            "execution.checkpointing.externalized-checkpoint-retention",
            "RETAIN_ON_CANCELLATION",
        ),
    ]));
    assert_eq!(ours["mode"], "at_least_once");
    let externalized = json!({ "enabled": true, "delete_on_cancellation": false });
    assert_eq!(ours["externalization"], externalized);
}

#[test]
fn jobs_in_batch_have_no_checkpoints() {
    let mut job = job(CheckpointStatistics::default());
    assert!(has_checkpoints(&job));
    job.graph = Arc::new(JobGraph {
        mode: RuntimeMode::Batch.into(),
        ..graph()
    });
    assert!(!has_checkpoints(&job));
    assert_eq!(metrics(&job), []);
}
