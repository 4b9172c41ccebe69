//! The program whose jobs are measured: running sums of so many keys.

use std::time::Duration;

use anyhow::Result;
use flott::prelude::*;
use flott::source::DataGeneratorSource;
use serde::{Deserialize, Serialize};

use crate::beats::Beat;

/// What a job is like.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobSpec {
    /// So many keys: record n has key n modulo that.
    pub(crate) keys: u64,
    /// So many records; `None`: without end.
    pub(crate) records: Option<u64>,
    /// Of all subtasks together; `None`: as fast as they come.
    pub(crate) per_second: Option<f64>,
    pub(crate) parallelism: u32,
    /// Between two checkpoints; `None`: there are none.
    pub(crate) interval: Option<Duration>,
    /// Where what comes to the sink is told, as `address:port`.
    pub(crate) beats: Option<String>,
}

/// Builds and runs it.
pub(crate) fn run(spec: &JobSpec) -> Result<()> {
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(spec.parallelism);
    if let Some(interval) = spec.interval {
        env.enable_checkpointing(interval)?;
    }
    let keys = spec.keys;
    let generate = |index: u64| index;
    let mut source = match spec.records {
        Some(records) => DataGeneratorSource::new(generate, records),
        None => DataGeneratorSource::unbounded(generate),
    };
    if let Some(rate) = spec.per_second {
        source = source.rate_per_second(rate);
    }
    let mut beat = spec
        .beats
        .clone()
        .map(|address| Beat::new(address, spec.parallelism));
    env.from_source(source, WatermarkStrategy::no_watermarks(), "numbers")
        .map(move |n| (n % keys, n))
        .key_by(|(key, _)| *key)
        // The greatest number of a key: what has come again after a failure changes nothing.
        .reduce(|greatest, (_, n)| greatest.1 = greatest.1.max(n))
        .map(move |(key, n)| {
            if let Some(beat) = &mut beat {
                beat.tell(key, n);
            }
            (key, n)
        })
        .discard();
    env.execute("state")?;
    Ok(())
}
