//! The committed output of a job that has finished is each record of its sources, once, and each key
//! is counted without a gap.

use flott_model::JobStatus;

use crate::plan::Jobs;
use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    if world.plan.kind != Jobs::Checkpointed {
        return Ok(());
    }
    for (job, record) in &world.record.jobs {
        // A job that was stopped was judged when it was.
        if world.jobs[job].status() == JobStatus::Finished && record.checks.stopped() == 0 {
            world
                .judge_output(*job, &world.all_records(*job))
                .map_err(|what| format!("job {job}: {what}"))?;
        }
    }
    Ok(())
}
