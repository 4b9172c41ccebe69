//! The live tasks of a slot belong to one job.

use std::collections::BTreeMap;

use flott_model::{ContainerId, JobId};

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let mut owners: BTreeMap<(&ContainerId, u32), JobId> = BTreeMap::new();
    for (process, worker) in &world.processes {
        if worker.severed || world.fenced.contains(process) {
            continue;
        }
        for task in worker.tasks.values() {
            let slot = (&process.1.container, task.deployment.slot);
            let owner = *owners.entry(slot).or_insert(process.0);
            if owner != process.0 {
                return Err(format!(
                    "jobs {owner} and {} share slot {slot:?}",
                    process.0
                ));
            }
        }
    }
    Ok(())
}
