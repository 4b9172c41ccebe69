//! What is committed is exactly what the last attempt of each sink's subtask put out: nothing of
//! an earlier restart, nothing left out, and the same set however often it is done.

use std::collections::BTreeSet;

use flott_model::{JobId, JobStatus, StoredCommittable};

use crate::plan::Jobs;
use crate::record::{JobRecord, output_of};
use crate::world::World;

pub(super) fn check_step(world: &World) -> Result<(), String> {
    for (job, record) in &world.record.jobs {
        for commit in &record.commits {
            let expected = expected(world, *job, record)?;
            let committed: BTreeSet<StoredCommittable> = commit.iter().cloned().collect();
            if committed.len() != commit.len() || committed != expected {
                return Err(format!(
                    "job {job} committed {commit:?} instead of {expected:?}"
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn check_end(world: &World) -> Result<(), String> {
    if world.plan.kind == Jobs::Checkpointed {
        return Ok(()); // Their outputs are judged by their records.
    }
    for (job, record) in &world.record.jobs {
        let status = world.jobs[job].status();
        if status == JobStatus::Finished && record.commits.is_empty() {
            return Err(format!("job {job} finished without a commit"));
        }
        if status == JobStatus::Canceled && !record.commits.is_empty() {
            return Err(format!("job {job} was cancelled after its commit"));
        }
    }
    Ok(())
}

fn expected(
    world: &World,
    job: JobId,
    record: &JobRecord,
) -> Result<BTreeSet<StoredCommittable>, String> {
    let sinks = &world.sinks[&job];
    let last = record.deployed.values();
    let mut outputs = BTreeSet::new();
    for attempt in last {
        if !record.finished.contains(attempt) {
            return Err(format!("job {job} committed before {attempt} finished"));
        }
        if sinks.contains(&attempt.vertex) {
            outputs.insert(output_of(*attempt));
        }
    }
    Ok(outputs)
}
