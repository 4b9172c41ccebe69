//! Numbers through tasks that each do next to nothing: five tasks behind one another.

use anyhow::Result;
use flott::prelude::*;

use super::{Done, Setting, Tally};

pub(crate) fn job(setting: &Setting<'_>) -> Result<Done> {
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(setting.parallelism);
    let tally = Tally::new();
    let mut count = tally.clone();
    env.from_sequence(1, i64::try_from(setting.events)?)
        .map(|number| number + 1)
        .disable_chaining()
        .map(|number| number + 1)
        .disable_chaining()
        .map(move |number| {
            count.add(number as u64);
            number
        })
        .disable_chaining()
        .discard();
    env.execute("stages")?;
    Ok(tally.done())
}
