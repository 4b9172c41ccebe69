//! Answers about one job: overview, details, vertices, configuration.

use flott_jobmanager::{JobSnapshot, SubtaskSnapshot, UnixMillis, VertexSnapshot};
use flott_model::{ExecutionState, JobStatus, JobVertex, RuntimeMode};
use flott_protocol::message::TaskMetrics;
use serde_json::{Map, Value, json};

use crate::plan;
use crate::states::{aggregate, counts, overview_counts};

/// Flink's way to say "not yet" of an end.
const NOT_YET: i64 = -1;

pub(crate) fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn end(end: Option<UnixMillis>) -> Value {
    end.map_or(json!(NOT_YET), |end| json!(end))
}

pub(crate) fn mode(job: &JobSnapshot) -> &'static str {
    match job.graph.mode() {
        RuntimeMode::Streaming => "STREAMING",
        RuntimeMode::Batch => "BATCH",
    }
}

/// An entry of `/jobs/overview`.
pub(crate) fn overview(job: &JobSnapshot) -> Value {
    let of_tasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    let changes = of_tasks
        .flat_map(|task| task.timestamps.values())
        .chain(job.timestamps.values());
    json!({
        "jid": job.id.to_string(),
        "name": job.graph.name,
        "start-time": job.start_time(),
        "end-time": end(job.end_time()),
        "duration": job.duration_ms(),
        "state": job.status.as_str(),
        "last-modification": changes.max(),
        "tasks": overview_counts(&job.subtasks_by_state()),
    })
}

/// `/jobs/:id`.
pub(crate) fn details(job: &JobSnapshot) -> Value {
    let timestamps: Map<String, Value> = JobStatus::ALL
        .iter()
        .map(|status| {
            let when = job.timestamps.get(status).copied().unwrap_or_default();
            (status.as_str().to_owned(), json!(when))
        })
        .collect();
    let states = job
        .vertices
        .iter()
        .map(state)
        .fold(Default::default(), |mut counts, state| {
            let count: &mut std::collections::BTreeMap<ExecutionState, u32> = &mut counts;
            *count.entry(state).or_default() += 1;
            counts
        });
    let vertices = job.graph.vertices.iter().zip(&job.vertices);
    json!({
        "jid": job.id.to_string(),
        "name": job.graph.name,
        "isStoppable": false,
        "state": job.status.as_str(),
        "job-type": mode(job),
        "start-time": job.start_time(),
        "end-time": end(job.end_time()),
        "duration": job.duration_ms(),
        "maxParallelism": -1,
        "now": now(),
        "timestamps": timestamps,
        "vertices": vertices.map(|(meta, vertex)| summary(meta, vertex)).collect::<Vec<_>>(),
        "status-counts": counts(&states),
        "plan": plan::plan(job),
    })
}

fn state(vertex: &VertexSnapshot) -> ExecutionState {
    aggregate(vertex.subtasks.iter().map(|subtask| subtask.state))
}

/// When a task began to be deployed; Flink counts its duration from there.
fn start_of(subtask: &SubtaskSnapshot) -> Option<UnixMillis> {
    subtask.timestamps.get(&ExecutionState::Deploying).copied()
}

fn end_of(subtask: &SubtaskSnapshot) -> Option<UnixMillis> {
    subtask
        .state
        .is_terminal()
        .then(|| subtask.timestamps.get(&subtask.state).copied())?
}

fn duration(start: Option<UnixMillis>, end: Option<UnixMillis>) -> Value {
    start.map_or(json!(NOT_YET), |start| {
        json!(end.unwrap_or_else(now).saturating_sub(start))
    })
}

/// A vertex in `/jobs/:id`.
fn summary(meta: &JobVertex, vertex: &VertexSnapshot) -> Value {
    let start = vertex.subtasks.iter().filter_map(start_of).min();
    let ends: Option<Vec<UnixMillis>> = vertex.subtasks.iter().map(end_of).collect();
    let last = ends.and_then(|ends| ends.into_iter().max());
    let mut states = std::collections::BTreeMap::new();
    let mut sum = TaskMetrics::default();
    for subtask in &vertex.subtasks {
        *states.entry(subtask.state).or_default() += 1;
        add(&mut sum, &subtask.metrics);
    }
    json!({
        "id": meta.operator_uid().to_string(),
        "slotSharingGroupId": meta.slot_sharing_group,
        "name": meta.name,
        "maxParallelism": meta.max_parallelism,
        "parallelism": meta.parallelism,
        "status": state(vertex).as_str(),
        "start-time": end(start),
        "end-time": end(last),
        "duration": duration(start, last),
        "tasks": counts(&states),
        "metrics": metrics(&sum),
    })
}

fn add(sum: &mut TaskMetrics, of: &TaskMetrics) {
    sum.records_in += of.records_in;
    sum.records_out += of.records_out;
    sum.bytes_in += of.bytes_in;
    sum.bytes_out += of.bytes_out;
    sum.busy_us += of.busy_us;
    sum.backpressured_us += of.backpressured_us;
    sum.idle_us += of.idle_us;
}

fn metrics(of: &TaskMetrics) -> Value {
    json!({
        "read-bytes": of.bytes_in,
        "read-bytes-complete": true,
        "write-bytes": of.bytes_out,
        "write-bytes-complete": true,
        "read-records": of.records_in,
        "read-records-complete": true,
        "write-records": of.records_out,
        "write-records-complete": true,
        "accumulated-backpressured-time": of.backpressured_us / 1000,
        "accumulated-idle-time": of.idle_us / 1000,
        // Flink's is a floating-point number.
        "accumulated-busy-time": (of.busy_us / 1000) as f64,
    })
}

/// `/jobs/:id/vertices/:vertex`; `None` if there is no such vertex.
pub(crate) fn vertex(job: &JobSnapshot, id: &str) -> Option<Value> {
    let mut vertices = job.graph.vertices.iter().zip(&job.vertices);
    let (meta, vertex) = vertices.find(|(meta, _)| meta.operator_uid().to_string() == id)?;
    let subtasks = vertex.subtasks.iter().enumerate();
    Some(json!({
        "id": id,
        "name": meta.name,
        "parallelism": meta.parallelism,
        "maxParallelism": meta.max_parallelism,
        "now": now(),
        "subtasks": subtasks.map(|(index, task)| subtask(index, task)).collect::<Vec<_>>(),
    }))
}

fn subtask(index: usize, task: &SubtaskSnapshot) -> Value {
    let (start, last) = (start_of(task), end_of(task));
    let host = if task.host.is_empty() {
        "(unassigned)"
    } else {
        &task.host
    };
    json!({
        "subtask": index,
        "status": task.state.as_str(),
        "attempt": task.attempt,
        "host": host,
        "endpoint": host,
        "start-time": end(start),
        "start_time": end(start),
        "end-time": end(last),
        "duration": duration(start, last),
        "metrics": metrics(&task.metrics),
        "taskmanager-id": if task.container.is_empty() { "(unassigned)" } else { &task.container },
        "status-duration": status_durations(task),
    })
}

/// How long the task has been in each state it was in.
fn status_durations(task: &SubtaskSnapshot) -> Map<String, Value> {
    let mut entered: Vec<(UnixMillis, ExecutionState)> = task
        .timestamps
        .iter()
        .map(|(state, when)| (*when, *state))
        .collect();
    entered.sort_unstable();
    let mut durations = Map::new();
    for (at, (when, state)) in entered.iter().enumerate() {
        if !state.is_terminal() {
            let left = entered.get(at + 1).map_or_else(now, |(next, _)| *next);
            durations.insert(state.as_str().to_owned(), json!(left.saturating_sub(*when)));
        }
    }
    durations
}

/// `/jobs/:id/config`.
pub(crate) fn config(job: &JobSnapshot) -> Value {
    let parallelism = job
        .graph
        .vertices
        .iter()
        .map(|vertex| vertex.parallelism)
        .max();
    let strategy = job.graph.configuration.get("restart-strategy.type");
    json!({
        "jid": job.id.to_string(),
        "name": job.graph.name,
        "execution-config": {
            "execution-mode": if job.graph.mode() == RuntimeMode::Batch { "BATCH" } else { "PIPELINED" },
            "restart-strategy": strategy.map_or("Cluster level default restart strategy", String::as_str),
            "job-parallelism": parallelism,
            "object-reuse-mode": false,
            "user-config": {},
        },
    })
}
