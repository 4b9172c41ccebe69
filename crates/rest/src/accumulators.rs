//! Accumulators: of a job, a vertex, a subtask. Tasks that have ended have told theirs; those that run are asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flott_jobmanager::{JobSnapshot, WorkerInspection};
use flott_metrics::accumulators::{AccumulatorSnapshot, MergedAccumulator, merge_all};
use flott_model::JobVertex;
use flott_protocol::program::JobAccumulator;
use prost::Message;
use serde_json::{Map, Value, json};

use crate::metrics::tasks;

/// The accumulators of each subtask of a vertex.
pub(crate) fn of_subtasks(
    job: &JobSnapshot,
    vertex: usize,
    workers: &[WorkerInspection],
) -> Vec<Vec<AccumulatorSnapshot>> {
    let running = tasks(job, vertex, workers);
    let subtasks = job.vertices.get(vertex).map(|vertex| &vertex.subtasks);
    let of = |(index, ended): (usize, &flott_jobmanager::SubtaskSnapshot)| {
        if !ended.accumulators.is_empty() {
            return ended.accumulators.to_vec();
        }
        let told = running.get(&index).into_iter();
        told.flat_map(|task| task.accumulators.iter().cloned().map(Into::into))
            .collect()
    };
    subtasks.into_iter().flatten().enumerate().map(of).collect()
}

fn all_of_job(job: &JobSnapshot, workers: &[WorkerInspection]) -> Vec<MergedAccumulator> {
    let vertices = 0..job.vertices.len();
    merge_all(vertices.flat_map(|vertex| of_subtasks(job, vertex, workers).into_iter().flatten()))
}

/// `/jobs/:id/accumulators`.
pub(crate) fn of_job(job: &JobSnapshot, workers: &[WorkerInspection], serialized: bool) -> Value {
    let all = all_of_job(job, workers);
    let shown: Vec<Value> = all.iter().map(shown_merged).collect();
    let values: Map<String, Value> = all
        .into_iter()
        .filter(|_| serialized)
        .map(|merged| {
            let name = merged.name.clone();
            let bytes = JobAccumulator::from(merged).encode_to_vec();
            (name, json!(STANDARD.encode(bytes)))
        })
        .collect();
    json!({
        "job-accumulators": [],
        "user-task-accumulators": shown,
        "serialized-user-task-accumulators": values,
    })
}

/// What the result of a job says of them: texts.
pub(crate) fn results(job: &JobSnapshot) -> Map<String, Value> {
    let all = job.accumulators().into_iter();
    all.map(|merged| (merged.name, json!(merged.text)))
        .collect()
}

/// `/jobs/:id/vertices/:vertex/accumulators`.
pub(crate) fn of_vertex(id: &str, subtasks: Vec<Vec<AccumulatorSnapshot>>) -> Value {
    let merged = merge_all(subtasks.into_iter().flatten());
    let shown: Vec<Value> = merged.iter().map(shown_merged).collect();
    json!({ "id": id, "user-accumulators": shown })
}

/// `/jobs/:id/vertices/:vertex/subtasks/accumulators`.
pub(crate) fn by_subtask(
    job: &JobSnapshot,
    vertex: usize,
    meta: &JobVertex,
    all: Vec<Vec<AccumulatorSnapshot>>,
) -> Value {
    let states = job.vertices.get(vertex).into_iter();
    let states = states.flat_map(|vertex| &vertex.subtasks);
    let subtasks: Vec<Value> = states
        .zip(all)
        .enumerate()
        .map(|(index, (state, accumulators))| {
            let host = if state.host.is_empty() {
                "(unassigned)"
            } else {
                &state.host
            };
            json!({
                "subtask": index,
                "attempt": state.attempt,
                "host": host,
                "endpoint": host,
                "user-accumulators": shown(accumulators),
            })
        })
        .collect();
    json!({
        "id": meta.operator_uid().to_string(),
        "parallelism": meta.parallelism,
        "subtasks": subtasks,
    })
}

/// `…/subtasks/:index/attempts/:attempt/accumulators`.
pub(crate) fn of_attempt(
    id: &str,
    subtask: usize,
    attempt: u32,
    accumulators: Vec<AccumulatorSnapshot>,
) -> Value {
    json!({
        "subtask": subtask,
        "attempt": attempt,
        "id": id,
        "user-accumulators": shown(accumulators),
    })
}

fn shown(accumulators: Vec<AccumulatorSnapshot>) -> Vec<Value> {
    merge_all(accumulators).iter().map(shown_merged).collect()
}

fn shown_merged(one: &MergedAccumulator) -> Value {
    // A kind of a user's is a path of modules; its name is its end.
    let kind = one.kind.rsplit("::").next().unwrap_or(&one.kind);
    json!({ "name": one.name, "type": kind, "value": one.text })
}
