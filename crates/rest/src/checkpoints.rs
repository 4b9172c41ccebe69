//! `/jobs/:id/checkpoints` and what is below it: what a job's checkpoints were like.

mod config;
mod distribution;
mod metrics;
mod subtasks;

use std::time::Duration;

use flott_coordination::checkpoint::{
    CheckpointRecord, CheckpointStatistics, CheckpointStatus, RestoreRecord, SubtaskRecord,
    VertexRecord,
};
use flott_jobmanager::{JobSnapshot, UnixMillis};
use flott_model::{CheckpointId, JobVertex, RuntimeMode, SnapshotKind};
use serde_json::{Map, Value, json};

pub(crate) use config::config;
use distribution::Distribution;
pub(crate) use metrics::metrics;
pub(crate) use subtasks::subtasks;

/// Flink's way to say that there is no such time yet.
const NOT_YET: i64 = -1;

/// Whether a job can have checkpoints: those that run in BATCH have none.
pub(crate) fn has_checkpoints(job: &JobSnapshot) -> bool {
    job.graph.mode() == RuntimeMode::Streaming
}

/// Statistics count from the JobMaster's begin; users see times of the day.
#[derive(Debug, Clone, Copy)]
struct Times {
    begin: UnixMillis,
}

impl Times {
    fn of(job: &JobSnapshot) -> Self {
        Self {
            begin: job.start_time(),
        }
    }

    fn at(self, since_begin: Duration) -> UnixMillis {
        self.begin.saturating_add(millis(since_begin))
    }

    fn maybe(self, since_begin: Option<Duration>) -> Value {
        since_begin.map_or(json!(NOT_YET), |time| json!(self.at(time)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// From the trigger of a checkpoint to something that may not have happened yet.
fn since(trigger: Duration, then: Option<Duration>) -> Value {
    then.map_or(json!(NOT_YET), |then| {
        json!(millis(then.saturating_sub(trigger)))
    })
}

/// `/jobs/:id/checkpoints`: counts, summary, the latest of each kind, and the history, newest first.
pub(crate) fn statistics(job: &JobSnapshot) -> Value {
    let times = Times::of(job);
    let statistics: &CheckpointStatistics = &job.checkpoints;
    let counts = statistics.counts;
    let listed = |record: &CheckpointRecord| checkpoint(times, record, Map::new());
    let latest = |record: &Option<CheckpointRecord>| record.as_ref().map(listed);
    let history: Vec<Value> = statistics.history.iter().rev().map(listed).collect();
    json!({
        "counts": {
            "restored": counts.restored,
            "total": counts.total,
            "in_progress": counts.in_progress,
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "summary": summary(statistics),
        "latest": {
            "completed": latest(&statistics.latest_completed),
            "savepoint": latest(&statistics.latest_savepoint),
            "failed": latest(&statistics.latest_failed),
            "restored": statistics.latest_restored.as_ref().map(|record| restored(times, record)),
        },
        "history": history,
    })
}

fn summary(statistics: &CheckpointStatistics) -> Value {
    let bytes = Distribution::of_summary(&statistics.bytes);
    // Nothing is buffered for alignment.
    let nothing = Distribution::of_zeros(statistics.bytes.count);
    json!({
        "checkpointed_size": bytes.to_json(),
        "state_size": bytes.to_json(),
        "end_to_end_duration": Distribution::of_summary(&statistics.duration_ms).to_json(),
        "alignment_buffered": nothing.to_json(),
        "processed_data": Distribution::of_summary(&statistics.processed_bytes).to_json(),
        "persisted_data": Distribution::of_summary(&statistics.persisted_bytes).to_json(),
    })
}

fn restored(times: Times, record: &RestoreRecord) -> Value {
    json!({
        "id": record.checkpoint.0,
        "restore_timestamp": times.at(record.at),
        "is_savepoint": record.kind.is_savepoint(),
        "external_path": record.path,
    })
}

/// `/jobs/:id/checkpoints/details/:checkpoint`; `None` if nobody remembers it.
pub(crate) fn details(job: &JobSnapshot, id: CheckpointId) -> Option<Value> {
    let record = job.checkpoints.get(id)?;
    let times = Times::of(job);
    let vertices = job.graph.vertices.iter().zip(&record.vertices);
    let tasks = vertices.map(|(meta, vertex)| {
        let of_vertex = Value::Object(task(times, record, vertex));
        (meta.operator_uid().to_string(), of_vertex)
    });
    Some(checkpoint(times, record, tasks.collect()))
}

/// A checkpoint with what is told about its vertices; in lists that is nothing.
fn checkpoint(times: Times, record: &CheckpointRecord, tasks: Map<String, Value>) -> Value {
    let (subtasks, acknowledged) = record.progress();
    let latest = record.latest_acknowledgement();
    let is_savepoint = record.kind.is_savepoint();
    let mut value = json!({
        "className": class(&record.status),
        "id": record.checkpoint.0,
        "status": status(&record.status),
        "is_savepoint": is_savepoint,
        "savepointFormat": is_savepoint.then_some("CANONICAL"),
        "trigger_timestamp": times.at(record.triggered),
        "latest_ack_timestamp": times.maybe(latest),
        "checkpointed_size": record.bytes(),
        "state_size": record.bytes(),
        "end_to_end_duration": since(record.triggered, record.ended().or(latest)),
        "alignment_buffered": 0,
        "processed_data": record.processed_bytes(),
        "persisted_data": record.persisted_bytes(),
        "num_subtasks": subtasks,
        "num_acknowledged_subtasks": acknowledged,
        "checkpoint_type": kind(record),
        "tasks": tasks,
    });
    match &record.status {
        CheckpointStatus::InProgress => (),
        CheckpointStatus::Completed {
            path, discarded, ..
        } => {
            value["external_path"] = json!(path);
            value["discarded"] = json!(discarded);
        }
        CheckpointStatus::Failed { at, failure } => {
            value["failure_timestamp"] = json!(times.at(*at));
            value["failure_message"] = json!(failure.to_string());
        }
    }
    value
}

/// What a vertex did for a checkpoint.
fn task(times: Times, record: &CheckpointRecord, vertex: &VertexRecord) -> Map<String, Value> {
    let acknowledged: Vec<&SubtaskRecord> = vertex.subtasks.iter().flatten().collect();
    let latest = acknowledged.iter().map(|subtask| subtask.acknowledged);
    let latest = latest.max();
    let sum = |of: fn(&SubtaskRecord) -> u64| -> u64 {
        acknowledged.iter().map(|subtask| of(subtask)).sum()
    };
    let bytes = sum(|subtask| subtask.bytes);
    let fields = [
        ("id", json!(record.checkpoint.0)),
        ("status", json!(status(&record.status))),
        ("latest_ack_timestamp", times.maybe(latest)),
        ("checkpointed_size", json!(bytes)),
        ("state_size", json!(bytes)),
        ("end_to_end_duration", since(record.triggered, latest)),
        ("alignment_buffered", json!(0)),
        ("processed_data", json!(sum(|it| it.processed_bytes))),
        ("persisted_data", json!(sum(|it| it.persisted_bytes))),
        ("num_subtasks", json!(vertex.subtasks.len())),
        ("num_acknowledged_subtasks", json!(acknowledged.len())),
    ];
    let fields = fields.map(|(key, value)| (key.to_owned(), value));
    fields.into_iter().collect()
}

/// The vertex with this id, and what it did for a checkpoint.
fn vertex_of<'a>(
    job: &'a JobSnapshot,
    record: &'a CheckpointRecord,
    id: &str,
) -> Option<(&'a JobVertex, &'a VertexRecord)> {
    let mut vertices = job.graph.vertices.iter().zip(&record.vertices);
    vertices.find(|(meta, _)| meta.operator_uid().to_string() == id)
}

/// Where a checkpoint that is complete can be found.
fn external_path(record: &CheckpointRecord) -> Option<&str> {
    match &record.status {
        CheckpointStatus::Completed { path, .. } => Some(path),
        CheckpointStatus::InProgress | CheckpointStatus::Failed { .. } => None,
    }
}

/// The name by which Flink's clients tell records apart.
fn class(status: &CheckpointStatus) -> &'static str {
    match status {
        CheckpointStatus::InProgress => "in_progress",
        CheckpointStatus::Completed { .. } => "completed",
        CheckpointStatus::Failed { .. } => "failed",
    }
}

fn status(status: &CheckpointStatus) -> &'static str {
    match status {
        CheckpointStatus::InProgress => "IN_PROGRESS",
        CheckpointStatus::Completed { .. } => "COMPLETED",
        CheckpointStatus::Failed { .. } => "FAILED",
    }
}

fn kind(record: &CheckpointRecord) -> &'static str {
    match record.kind {
        SnapshotKind::Checkpoint if record.is_unaligned() => "UNALIGNED_CHECKPOINT",
        SnapshotKind::Checkpoint => "CHECKPOINT",
        SnapshotKind::Savepoint => "SAVEPOINT",
        SnapshotKind::StopWithSavepoint | SnapshotKind::DrainWithSavepoint => "SYNC_SAVEPOINT",
    }
}

#[cfg(test)]
mod tests;
