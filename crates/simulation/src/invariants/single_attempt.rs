//! A subtask has at most one live attempt, among the workers that their job has not given up and
//! that can still reach it.

use std::collections::BTreeSet;

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (process, worker) in &world.processes {
        if worker.severed || world.fenced.contains(process) {
            continue;
        }
        for attempt in worker.tasks.keys() {
            if !seen.insert((process.0, attempt.vertex, attempt.subtask)) {
                return Err(format!(
                    "job {} runs another attempt beside {attempt}",
                    process.0
                ));
            }
        }
    }
    Ok(())
}
