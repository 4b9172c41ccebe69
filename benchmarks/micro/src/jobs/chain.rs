//! Numbers, mixed, half of them dropped.

use anyhow::Result;
use flott::prelude::*;

use super::{Done, Setting, Tally, mix};

pub(crate) fn job(setting: &Setting<'_>) -> Result<Done> {
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(setting.parallelism);
    let tally = Tally::new();
    let mut count = tally.clone();
    env.from_sequence(1, i64::try_from(setting.events)?)
        .map(|number| mix(number as u64))
        .filter(move |mixed| {
            let keep = mixed % 2 == 0;
            count.add_if(*mixed, keep);
            keep
        })
        .discard();
    env.execute("map chain")?;
    Ok(tally.done())
}
