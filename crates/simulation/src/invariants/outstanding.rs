//! The driver is never asked for more containers than the missing slots take.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let missing: usize = world
        .record
        .jobs
        .values()
        .map(|job| (job.required as usize).saturating_sub(job.granted.len()))
        .sum();
    let needed = missing.div_ceil(world.plan.resources.slots_per_container as usize);
    let outstanding = world.record.outstanding;
    if outstanding as usize > needed {
        return Err(format!(
            "{outstanding} containers are asked for, {needed} are needed"
        ));
    }
    Ok(())
}
