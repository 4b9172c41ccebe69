//! `/jobs/:id/checkpoints/details/:checkpoint/subtasks/:vertex`: who did what for a checkpoint.

use std::time::Duration;

use flott_coordination::checkpoint::{CheckpointRecord, SubtaskRecord, VertexRecord};
use flott_jobmanager::JobSnapshot;
use serde_json::{Value, json};

use super::{Distribution, Times, millis, task, vertex_of};

/// What the subtasks of a vertex did; `None` if the job has no such vertex.
pub(crate) fn subtasks(job: &JobSnapshot, record: &CheckpointRecord, id: &str) -> Option<Value> {
    let (_, vertex) = vertex_of(job, record, id)?;
    let times = Times::of(job);
    let mut fields = task(times, record, vertex);
    fields.insert("summary".to_owned(), summary(record, vertex));
    let all = vertex.subtasks.iter().enumerate();
    let all = all.map(|(index, known)| match known {
        Some(known) => acknowledged(times, record, index, known),
        // Flink's word for one that has not acknowledged, and perhaps never will.
        None => json!({ "className": "pending", "index": index, "status": "pending_or_failed" }),
    });
    fields.insert("subtasks".to_owned(), all.collect());
    Some(Value::Object(fields))
}

fn duration(record: &CheckpointRecord, subtask: &SubtaskRecord) -> u64 {
    let took: Duration = subtask.acknowledged.saturating_sub(record.triggered);
    millis(took)
}

fn acknowledged(
    times: Times,
    record: &CheckpointRecord,
    index: usize,
    subtask: &SubtaskRecord,
) -> Value {
    json!({
        "className": "completed",
        "index": index,
        "ack_timestamp": times.at(subtask.acknowledged),
        "end_to_end_duration": duration(record, subtask),
        "checkpointed_size": subtask.bytes,
        "state_size": subtask.bytes,
        "checkpoint": { "sync": subtask.sync_ms, "async": subtask.async_ms },
        "alignment": {
            "buffered": 0,
            "processed": subtask.processed_bytes,
            "persisted": subtask.persisted_bytes,
            "duration": subtask.alignment_ms,
        },
        "start_delay": subtask.start_delay_ms,
        "unaligned_checkpoint": subtask.unaligned,
        "aborted": false,
        "status": "completed",
    })
}

fn summary(record: &CheckpointRecord, vertex: &VertexRecord) -> Value {
    let known: Vec<&SubtaskRecord> = vertex.subtasks.iter().flatten().collect();
    let of = |value: &dyn Fn(&SubtaskRecord) -> u64| {
        Distribution::of_values(known.iter().map(|subtask| value(subtask))).to_json()
    };
    let bytes = of(&|subtask| subtask.bytes);
    let nothing = of(&|_| 0);
    json!({
        "checkpointed_size": bytes,
        "state_size": bytes,
        "end_to_end_duration": of(&|subtask| duration(record, subtask)),
        "checkpoint_duration": {
            "sync": of(&|subtask| subtask.sync_ms),
            "async": of(&|subtask| subtask.async_ms),
        },
        "alignment": {
            "buffered": nothing,
            "processed": of(&|subtask| subtask.processed_bytes),
            "persisted": of(&|subtask| subtask.persisted_bytes),
            "duration": of(&|subtask| subtask.alignment_ms),
        },
        "start_delay": of(&|subtask| subtask.start_delay_ms),
    })
}
