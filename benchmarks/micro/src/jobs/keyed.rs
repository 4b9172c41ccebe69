//! A running sum per key, every update passed on.

use anyhow::Result;
use flott::prelude::*;

use super::{Done, Setting, Tally, key};

pub(crate) fn job<const KEYS: u64>(setting: &Setting<'_>) -> Result<Done> {
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(setting.parallelism);
    let tally = Tally::new();
    let mut count = tally.clone();
    env.from_sequence(1, i64::try_from(setting.events)?)
        .map(|number| (key(number as u64, KEYS), 1_u64))
        .key_by(|(key, _)| *key)
        .sum(|(_, sum)| sum)
        .map(move |update| {
            count.add(update.1);
            update
        })
        .discard();
    env.execute("running sum")?;
    Ok(tally.done())
}
