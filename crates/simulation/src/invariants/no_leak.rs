//! When all jobs have ended and idle times have passed, nothing is left: no container, no
//! process, no wish.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    if let Some(container) = world.containers.keys().next() {
        return Err(format!("{container} is left over"));
    }
    if let Some((job, worker)) = world.processes.keys().next() {
        return Err(format!("worker {worker:?} of job {job} is left over"));
    }
    if let Some(container) = world.resources.containers().next() {
        return Err(format!(
            "the ResourceManager still counts on {}",
            container.container
        ));
    }
    let asked_for: u32 = world.driver.outstanding.values().sum();
    if asked_for > 0 || world.resources.pending_containers() > 0 {
        return Err(format!("{asked_for} containers are still asked for"));
    }
    Ok(())
}
