//! After the last fault checkpoints are complete again.

use std::time::Duration;

use flott_model::JobStatus;

use crate::plan::{HEALED, Jobs};
use crate::world::World;

/// So long after the last fault everything runs again and a checkpoint has had its time.
const PATIENCE: Duration = Duration::from_secs(130);

pub(super) fn check(world: &World) -> Result<(), String> {
    if world.plan.kind != Jobs::Checkpointed {
        return Ok(());
    }
    for plan in &world.plan.jobs {
        let job = plan.settings.job;
        let checkpoints = &plan.settings.checkpoints;
        let record = &world.record.jobs[&job];
        let Some((end, JobStatus::Finished, _)) = record.status() else {
            continue;
        };
        let ran = end > HEALED + PATIENCE && checkpoints.interval.is_some();
        let again = record.checks.completions.iter().any(|when| *when > HEALED);
        if ran && checkpoints.after_tasks_finish && !again {
            return Err(format!("job {job} completed no checkpoint until {end:?}"));
        }
    }
    Ok(())
}
