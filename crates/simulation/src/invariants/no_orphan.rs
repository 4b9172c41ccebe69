//! No worker outlives its job: whoever lives when the job has ended was told to stop.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    for process in world.processes.keys() {
        let ended = world.jobs[&process.0].status().is_terminal();
        if ended && !world.fenced.contains(process) {
            return Err(format!("job {} left {:?} running", process.0, process.1));
        }
    }
    Ok(())
}
