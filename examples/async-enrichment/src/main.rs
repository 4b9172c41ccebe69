//! Visits with the names of their visitors, which a directory somewhere in the network knows.
//!
//! ```text
//! cargo run -p async-enrichment -- --directory localhost:7000 --input visits.csv --output named
//! ```
//! Visits are CSV with the header `id,visitor`. The directory speaks lines: a connection sends a
//! number and gets `ok <name>`, or `busy`, which is tried again. A visitor of whom the directory does not
//! tell anything in time is a stranger. Many questions are under way at once in each subtask, and
//! no thread waits for them. Without `--directory` the program has a directory of its own.

mod directory;
mod lookup;

use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::{DataGeneratorSource, FileSource};
use serde::{Deserialize, Serialize};

use crate::lookup::Lookup;

/// Looks up the names of visitors.
#[derive(Debug, Parser)]
struct Arguments {
    /// CSV with the header `id,visitor`; default: generated visits.
    #[arg(long)]
    input: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// Where names are asked for, `host:port`; default: a server in this process, for one machine.
    #[arg(long)]
    directory: Option<String>,
    /// How long a question may take, with everything that is tried again, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    timeout: u64,
    /// How many questions of a subtask are under way at once.
    #[arg(long, default_value_t = 50)]
    capacity: usize,
    /// Keeps the order of the visits.
    #[arg(long)]
    ordered: bool,
    /// How many visits there are, if they are generated.
    #[arg(long, default_value_t = 500)]
    visits: u64,
}

/// Somebody comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) id: u64,
    pub(crate) visitor: u64,
}

/// Somebody comes, and it is known who.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NamedVisit {
    pub(crate) id: u64,
    pub(crate) name: String,
}

impl fmt::Display for NamedVisit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "visit {}: {}", self.id, self.name)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let directory = match arguments.directory {
        Some(directory) => directory,
        // Only the process that submits the job has the server; the others are told where it is.
        None => env
            .once("directory", || {
                directory::serve().map_err(|error| format!("{error:#}"))
            })?
            .map_err(anyhow::Error::msg)?,
    };
    let no_times = WatermarkStrategy::no_watermarks();
    let visits = match &arguments.input {
        Some(input) => env.from_source(FileSource::csv(input), no_times, "visits"),
        None => {
            let visit = |id| Visit {
                id,
                visitor: id * 31 % 100,
            };
            let visits = DataGeneratorSource::new(visit, arguments.visits);
            env.from_source(visits, no_times, "visits")
        }
    };

    let retry = AsyncRetryStrategy::exponential_backoff(
        10,
        Duration::from_millis(10),
        Duration::from_millis(200),
        2.0,
    );
    let options = AsyncOptions::new(Duration::from_millis(arguments.timeout))
        .capacity(arguments.capacity)
        .retry(retry);
    let lookup = Lookup::new(directory);
    let named = if arguments.ordered {
        AsyncDataStream::ordered_wait(visits, lookup, options)
    } else {
        AsyncDataStream::unordered_wait(visits, lookup, options)
    };
    let named = named.name("look up names");
    match &arguments.output {
        Some(output) => named.write_text(output, |visit, line| {
            // Writing to a String cannot fail.
            let _ = write!(line, "{visit}");
        }),
        None => named.print(),
    };
    env.execute("Async Enrichment")?;
    Ok(())
}
