//! Whoever asks for a savepoint or a checkpoint is answered once.

use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    for (job, record) in &world.record.jobs {
        let wishes = record.checks.wishes.iter();
        if let Some((wish, _)) = wishes.into_iter().find(|(_, answer)| answer.is_none()) {
            return Err(format!("job {job} gave no answer to {wish:?}"));
        }
    }
    Ok(())
}
