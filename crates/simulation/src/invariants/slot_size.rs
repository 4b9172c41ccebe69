//! A slot is granted for needs that it is large enough for, and a subtask runs in a slot that was
//! granted for what its slot sharing group asks for.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    world.record.wrong_size.clone().map_or(Ok(()), Err)
}
