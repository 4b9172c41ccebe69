//! Checkpoints are complete only when everything is stored; their numbers grow; restarts begin from
//! the newest; what a retained one needs is not deleted; each record is committed once. Seen as it
//! happens, by the judge of the flows.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    for (job, record) in &world.record.jobs {
        if let Some(what) = &record.checks.wrong {
            return Err(format!("job {job}: {what}"));
        }
    }
    Ok(())
}
