//! No more containers are asked for than the missing slots take beyond those that are coming, and
//! none is launched that nobody needs.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let (needed, coming) = (world.needed_containers(), world.record.coming.len());
    let outstanding = world.record.outstanding as usize;
    if outstanding > needed.saturating_sub(coming) {
        return Err(format!(
            "{outstanding} containers are asked for, {needed} are needed, {coming} are coming"
        ));
    }
    match &world.record.needless_launch {
        Some(container) => Err(format!("{container} was launched and nobody needs it")),
        None => Ok(()),
    }
}
