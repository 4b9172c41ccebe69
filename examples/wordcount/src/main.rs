//! Counts the words of text files: the first job of everybody.
//!
//! ```text
//! flott run -t local examples/wordcount --input file.txt --output dir
//! ```
//! Words are lower-cased and split at `\W+`. Each update is written, so a word's largest count is
//! its result. Without `--output` the counts are printed.

use anyhow::Context;
use clap::Parser;
use flott::Str;
use flott::prelude::*;
use flott::text::words;

/// Counts the words of text files.
#[derive(Debug, Parser)]
struct Arguments {
    /// A file, a directory, or a glob, on any file system; default: a few lines of Shakespeare.
    #[arg(long)]
    input: Option<String>,
    /// A directory that does not exist yet, or is empty; default: print to the standard output.
    #[arg(long)]
    output: Option<String>,
}

/// What is counted if there is no input.
const LINES: [&str; 4] = [
    "To be, or not to be, that is the question:",
    "Whether 'tis nobler in the mind to suffer",
    "The slings and arrows of outrageous fortune,",
    "Or to take arms against a sea of troubles",
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let lines = match &arguments.input {
        Some(input) => env.read_text_file(input),
        None => env.from_collection(LINES.map(String::from)),
    };
    let counts = lines
        .flat_map(|line| words(line).map(|word| (word, 1_u64)))
        .name("tokenizer")
        .key_by_ref(|(word, _)| word)
        .sum(|(_, count)| count)
        .name("counter");
    match &arguments.output {
        Some(output) => _ = counts.write_text(output, append),
        None => {
            _ = counts
                .map(|(word, count)| format!("{word} {count}"))
                .print()
        }
    }
    env.execute("WordCount").context("WordCount")?;
    Ok(())
}

fn append((word, count): &(Str, u64), line: &mut String) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(line, "{word} {count}");
}
