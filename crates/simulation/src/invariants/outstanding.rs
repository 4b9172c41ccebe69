//! No more containers are asked for than the missing slots take beyond those that are coming, and
//! none is launched that nobody needs.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    for (kind, outstanding) in &world.record.outstanding {
        let (needed, coming) = (world.needed_containers(*kind), world.record.coming(*kind));
        if *outstanding as usize > needed.saturating_sub(coming) {
            return Err(format!(
                "{outstanding} containers for {kind:?} are asked for, {needed} are needed, \
                 {coming} are coming"
            ));
        }
    }
    match &world.record.needless_launch {
        Some(container) => Err(format!("{container} was launched and nobody needs it")),
        None => Ok(()),
    }
}
