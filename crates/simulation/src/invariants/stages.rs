//! A task that reads partitions is deployed when all of them were finished, and reads the newest; a
//! task that had finished runs again only because somebody needs what it wrote, and that was lost.

use std::collections::BTreeSet;

use flott_coordination::Timestamp;
use flott_coordination::job::TaskDeployment;
use flott_model::{ExecutionAttemptId, JobGraph, ShipStrategy};

use crate::record::JobRecord;
use crate::world::World;

type Subtask = (u32, u32);

pub(super) fn check(world: &World) -> Result<(), String> {
    if let Some(what) = &world.record.wrong_partition {
        return Err(what.clone());
    }
    for (job, record) in &world.record.jobs {
        if let Some(what) = &record.wrong_stage {
            return Err(format!("job {job}: {what}"));
        }
    }
    Ok(())
}

fn of(attempt: &ExecutionAttemptId) -> Subtask {
    (attempt.vertex.0, attempt.subtask)
}

/// Remembers what channels connect.
pub(crate) fn note_peers(record: &mut JobRecord, task: &TaskDeployment) {
    let sources = task.inputs.iter().flat_map(|input| &input.sources);
    let targets = task.outputs.iter().flat_map(|output| &output.targets);
    let here = of(&task.attempt);
    for peer in sources.chain(targets) {
        record.peers.entry(here).or_default().insert(of(peer));
        record.peers.entry(of(peer)).or_default().insert(here);
    }
}

/// Each partition was finished by the newest attempt, and none is left out.
pub(crate) fn check_inputs(
    graph: &JobGraph,
    record: &JobRecord,
    task: &TaskDeployment,
) -> Result<(), String> {
    for input in &task.inputs {
        let edge = &graph.edges[input.edge.0 as usize];
        if edge.is_blocking() == input.partitions.is_empty() {
            return Err(format!(
                "{} reads edge {:?} wrongly",
                task.attempt, input.edge
            ));
        }
        let mut read: Vec<u32> = Vec::new();
        for (producer, container) in &input.partitions {
            read.push(producer.subtask);
            let newest = record.deployed.get(&of(producer));
            if producer.vertex.0 != edge.source || newest != Some(producer) {
                return Err(format!("{} reads {producer}, not {newest:?}", task.attempt));
            }
            if !record.finished.contains(producer) || !record.heard.contains_key(producer) {
                return Err(format!("{} reads {producer}, which runs", task.attempt));
            }
            if record.lost.contains_key(producer) {
                return Err(format!("{} reads {producer}, which is lost", task.attempt));
            }
            if record.written.get(producer) != Some(container) {
                return Err(format!("{producer} is not in {container}"));
            }
        }
        let all = 0..graph.vertices[edge.source as usize].parallelism;
        let expected = match edge.ship() {
            _ if !edge.is_blocking() => read.clone(),
            ShipStrategy::Forward => vec![task.attempt.subtask],
            // Which ones is tested where it is decided.
            ShipStrategy::Rescale => read.clone(),
            _ => all.collect(),
        };
        if read != expected {
            return Err(format!("{} reads {read:?} of {expected:?}", task.attempt));
        }
    }
    Ok(())
}

/// A task that had finished runs again for a reason; whether the reason is what was lost.
pub(crate) fn check_reason(
    graph: &JobGraph,
    record: &JobRecord,
    attempt: ExecutionAttemptId,
) -> Result<bool, String> {
    let ended_well = |subtask: &Subtask| {
        let newest = record.deployed.get(subtask);
        newest.is_some_and(|newest| record.heard.contains_key(newest))
    };
    let connected = connected(record, of(&attempt));
    if !graph.is_staged() || !connected.iter().all(ended_well) {
        return Ok(false);
    }
    let lost_at = |subtask: &Subtask| {
        let newest = record.deployed.get(subtask)?;
        record.lost.get(newest).copied()
    };
    let mut lost = connected
        .iter()
        .filter_map(|subtask| Some((*subtask, lost_at(subtask)?)))
        .peekable();
    if lost.peek().is_none() {
        return Err(format!("{attempt} runs again, and nothing was lost"));
    }
    if lost.any(|(subtask, since)| is_needed(graph, record, subtask, since)) {
        Ok(true)
    } else {
        Err(format!("{attempt} runs again, and nobody needs it"))
    }
}

/// Whether a reader of a partition had not finished when it was lost, or must run again itself.
fn is_needed(graph: &JobGraph, record: &JobRecord, lost: Subtask, since: Timestamp) -> bool {
    let unfinished = |subtask: &Subtask| {
        let Some(newest) = record.deployed.get(subtask) else {
            return true;
        };
        record.heard.get(newest).is_none_or(|when| *when >= since)
            || record.lost.contains_key(newest)
    };
    let edges = graph.edges.iter();
    let mut leaving = edges.filter(|edge| edge.is_blocking() && edge.source == lost.0);
    leaving.any(|edge| {
        let readers = match edge.ship() {
            ShipStrategy::Forward => lost.1..lost.1 + 1,
            // Of a rescaling edge more than there are.
            _ => 0..graph.vertices[edge.target as usize].parallelism,
        };
        let mut readers = readers.flat_map(|reader| connected(record, (edge.target, reader)));
        readers.any(|reader| unfinished(&reader))
    })
}

/// What channels connect with a subtask, itself included.
fn connected(record: &JobRecord, subtask: Subtask) -> BTreeSet<Subtask> {
    let mut found = BTreeSet::from([subtask]);
    let mut open = vec![subtask];
    while let Some(next) = open.pop() {
        for peer in record.peers.get(&next).into_iter().flatten() {
            if found.insert(*peer) {
                open.push(*peer);
            }
        }
    }
    found
}
