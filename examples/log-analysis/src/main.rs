//! What a web server did, hour by hour: one program, for batch and for streaming.
//!
//! ```text
//! cargo run -p log-analysis -- --batch
//! flott run -t local -Dexecution.runtime-mode=BATCH log-analysis --input logs --output report
//! flott run -t local -Dexecution.runtime-mode=STREAMING log-analysis --input logs --output report2
//! ```
//! The input is the common log format. BATCH writes one line for each hour and path, when all is read;
//! STREAMING writes that line anew with every request, and the one with the most requests is the
//! same. With `--output`, `report/` has them, and `bad/` what is no line of a log.

mod access;
mod summary;

use std::fmt::Write;

use clap::Parser;
use flott::RuntimeExecutionMode;
use flott::prelude::*;
use flott::source::DataGeneratorSource;

use crate::access::Access;
use crate::summary::Summarize;

/// Sums up the logs of a web server by hour and path.
#[derive(Debug, Parser)]
struct Arguments {
    /// A file, a directory, or a glob, on any file system; default: a generated log.
    #[arg(long)]
    input: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// Runs in BATCH mode, unless the configuration says otherwise.
    #[arg(long)]
    batch: bool,
    /// How many lines the log has, if it is generated.
    #[arg(long, default_value_t = 1_000)]
    lines: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    if arguments.batch {
        env.set_runtime_mode(RuntimeExecutionMode::Batch);
    }
    let lines = match &arguments.input {
        Some(input) => env.read_text_file(input),
        None => {
            let lines = DataGeneratorSource::new(access::generate, arguments.lines);
            env.from_source(lines, WatermarkStrategy::no_watermarks(), "log")
        }
    };
    let bad = OutputTag::<String>::new("bad lines");
    let tag = bad.clone();
    let accesses = lines
        .process_fn(move |line, cx, out| {
            match Access::parse(&line) {
                Some(access) => out.collect(access),
                None => cx.output(&tag, line),
            }
            Ok(())
        })
        .name("parse");
    let bad = accesses.get_side_output(&bad);
    let report = accesses
        .key_by(|access| (access.hour.clone(), access.path.clone()))
        .aggregate(Summarize)
        .name("sum up");
    match &arguments.output {
        Some(output) => {
            report.write_text(&format!("{output}/report"), |summary, line| {
                // Writing to a String cannot fail.
                let _ = write!(line, "{summary}");
            });
            bad.write_text(&format!("{output}/bad"), |text, line| line.push_str(text));
        }
        None => {
            report.print();
            bad.map(|line| format!("no line of a log: {line}")).print();
        }
    }
    env.execute("Log Analysis")?;
    Ok(())
}
