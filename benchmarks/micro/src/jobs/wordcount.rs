//! WordCount over 269 MB of text, every update passed on.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flott::prelude::*;

use super::{Done, Setting, Tally};

/// Words in the shipped text, and how often it is repeated.
const WORDS: u64 = 729_413;
const COPIES: u64 = 67;
/// Words that are counted.
pub(crate) const TOKENS: u64 = WORDS * COPIES;

pub(crate) fn job(setting: &Setting<'_>) -> Result<Done> {
    let input = input(setting.scratch);
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(setting.parallelism);
    let tally = Tally::new();
    let mut count = tally.clone();
    env.read_text_file(input.to_str().context("a path that is not UTF-8")?)
        .flat_map(|line| flott::text::words(line).map(|word| (word, 1_u64)))
        .key_by_ref(|(word, _)| word)
        .sum(|(_, count)| count)
        .map(move |update| {
            count.add(update.1);
            update
        })
        .discard();
    env.execute("WordCount")?;
    Ok(tally.done())
}

/// Where the text is.
pub(crate) fn input(scratch: &Path) -> PathBuf {
    scratch.join("text")
}

/// Writes the text, unless another run did: reading it finds it in memory.
pub(crate) fn prepare(scratch: &Path) -> Result<()> {
    let path = input(scratch);
    if path.exists() {
        return Ok(());
    }
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/data/jane-austen.txt"
    );
    let text = std::fs::read(shipped).with_context(|| format!("reading {shipped}"))?;
    let unfinished = scratch.join("text.inprogress");
    let mut file = std::fs::File::create(&unfinished).context("creating the input")?;
    for _ in 0..COPIES {
        file.write_all(&text).context("writing the input")?;
    }
    drop(file);
    std::fs::rename(&unfinished, &path).context("renaming the input")
}
