//! When all is over, storage holds what is to be retained, and nothing else.

use std::collections::BTreeSet;

use flott_coordination::checkpoint::CheckpointRetention as Retention;
use flott_model::{JobId, JobStatus};

use crate::flows::files_of;
use crate::record::JobRecord;
use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let storage = &world.flows.storage;
    for (directory, job) in &storage.directories {
        let record = &world.record.jobs[job];
        if !may_stay(world, *job, record, directory) {
            return Err(format!("{directory} of job {job} is left over"));
        }
    }
    let needed = storage.metadata.iter();
    let needed = needed.flat_map(|(directory, metadata)| files_of(metadata, directory));
    let needed: BTreeSet<String> = needed.collect();
    if let Some(lost) = needed.iter().find(|file| !storage.files.contains(*file)) {
        return Err(format!("{lost} is gone"));
    }
    let mut left = storage.files.difference(&needed);
    // A shared file that no JobMaster ever heard of can only be found by who made it.
    let heard = |file: &&String| {
        let jobs = world.record.jobs.values();
        let mut heard = jobs.map(|record| record.checks.heard.contains(*file));
        !file.starts_with("/shared/") || heard.any(|heard| heard)
    };
    match left.find(heard) {
        Some(file) => Err(format!("{file} is left over")),
        None => Ok(()),
    }
}

fn may_stay(world: &World, job: JobId, record: &JobRecord, directory: &str) -> bool {
    let storage = &world.flows.storage;
    let Some(metadata) = storage.metadata.get(directory) else {
        return false;
    };
    let kind = flott_model::SnapshotKind::from_number(metadata.kind);
    let savepoint = kind.is_some_and(flott_model::SnapshotKind::is_savepoint);
    let claimed = record
        .checks
        .origin
        .as_ref()
        .is_some_and(|(_, path, claim)| {
            *claim == flott_coordination::checkpoint::ClaimMode::Claim && path == directory
        });
    if savepoint && !claimed {
        let mut answers = record.checks.wishes.iter();
        let known = answers.any(|(_, answer)| {
            let done = answer.as_ref().and_then(|answer| answer.as_ref().ok());
            done.is_some_and(|done| done.path == directory)
        });
        // A savepoint may be complete though the answer was lost with a JobManager, or by a failure
        // behind it.
        let complete = record.checks.complete.values();
        return known
            || record.checks.takeovers > 0
            || complete.into_iter().any(|it| it.path == directory);
    }
    let mut complete = record.checks.complete.values();
    let retained = complete.any(|it| it.path == directory && !it.discarded);
    let plan = world.plan.jobs.iter().find(|plan| plan.settings.job == job);
    let retention = plan.map(|plan| plan.settings.checkpoints.retention);
    let policy = match (world.jobs[&job].status(), retention) {
        (JobStatus::Canceled, Some(retention)) => retention == Retention::RetainOnCancellation,
        (JobStatus::Failed, Some(retention)) => retention != Retention::NoExternalizedCheckpoints,
        _ => false,
    };
    retained && policy
}
