//! The lines that tell what is in a savepoint.

use std::collections::BTreeMap;
use std::time::Duration;

use flott_config::format_duration;
use flott_model::{CheckpointMetadata, SnapshotKind};

use super::gather::{Operator, State, Vertex};
use crate::console::size;
use crate::time;

/// What is known of a savepoint.
pub(super) fn lines(path: &str, metadata: &CheckpointMetadata, vertices: &[Vertex]) -> Vec<String> {
    let kind = kind(metadata.kind);
    let mut lines = vec![
        format!("Path:   {path}"),
        format!("Job:    {} ({})", metadata.job, metadata.job_name),
        format!(
            "Kind:   {kind}, number {}, taken {}",
            metadata.id,
            time::local(metadata.timestamp_ms)
        ),
        format!("State:  {}", size(metadata.bytes())),
    ];
    let uncommitted = metadata.committables().count();
    if uncommitted > 0 {
        lines.push(format!("Output: {uncommitted} parts to be committed"));
    }
    let enumerators: BTreeMap<&[u8], u64> = metadata
        .enumerators
        .iter()
        .map(|state| (&*state.operator, state.state.len() as u64))
        .collect();
    for vertex in vertices {
        lines.push(String::new());
        lines.push(format!("Vertex: {}", vertex.name));
        lines.push(format!("  {}", subtasks(vertex)));
        for operator in &vertex.operators {
            operator_lines(&mut lines, operator, &enumerators);
        }
    }
    lines
}

fn kind(number: u32) -> &'static str {
    match SnapshotKind::from_number(number) {
        Some(SnapshotKind::Checkpoint) => "checkpoint",
        Some(SnapshotKind::Savepoint) => "savepoint",
        Some(SnapshotKind::StopWithSavepoint) => "savepoint of a job that was stopped",
        Some(SnapshotKind::DrainWithSavepoint) => "savepoint of a job that was drained",
        None => "of a kind unknown to this version",
    }
}

fn subtasks(vertex: &Vertex) -> String {
    let Vertex {
        parallelism,
        max_parallelism,
        ..
    } = vertex;
    let finished = match vertex.finished {
        0 => String::new(),
        finished => format!(", {finished} of its subtasks had finished"),
    };
    format!("parallelism {parallelism}, max parallelism {max_parallelism}{finished}")
}

fn operator_lines(
    lines: &mut Vec<String>,
    operator: &Operator,
    enumerators: &BTreeMap<&[u8], u64>,
) {
    lines.push(format!("  Operator: {}", operator.name));
    lines.push(format!("    uid {}", operator.uid));
    let uid = u128::from_str_radix(&operator.uid, 16).map(u128::to_be_bytes);
    let enumerator = uid.ok().and_then(|uid| enumerators.get(&uid[..]));
    if let Some(bytes) = enumerator {
        lines.push(format!(
            "    what its source has given out: {}",
            size(*bytes)
        ));
    }
    if operator.states.is_empty() && enumerator.is_none() {
        lines.push("    no state".to_owned());
    }
    for state in &operator.states {
        state_lines(lines, state);
    }
}

fn state_lines(lines: &mut Vec<String>, state: &State) {
    let State {
        name, kind, rows, ..
    } = state;
    let bytes = size(state.bytes);
    let plural = if *rows == 1 { "row" } else { "rows" };
    // The timers of a function have no name.
    let named = if name.is_empty() {
        (*kind).to_owned()
    } else {
        format!("{name}: {kind}")
    };
    lines.push(format!("    {named}, {rows} {plural}, {bytes}"));
    if let Some(key) = &state.key {
        lines.push(format!("      key   {key}"));
    }
    lines.push(format!("      value {}", state.value));
    if let Some(ttl) = state.ttl_ms.and_then(|ttl| u64::try_from(ttl).ok()) {
        let ttl = format_duration(Duration::from_millis(ttl));
        lines.push(format!("      lives {ttl}"));
    }
}
