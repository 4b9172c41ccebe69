//! Counts records per key and window of event time, not faster than told: what a job with checkpoints
//! shows in the end must not depend on what was killed meanwhile.

use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::DataGeneratorSource;
use flott::window::TumblingEventTimeWindows;

/// Writes a line `key count sum` for each window of each key.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory that does not exist yet, or is empty.
    #[arg(long)]
    output: String,
    /// The records are the numbers from 0 to before this; each happens that many milliseconds after the
    /// epoch.
    #[arg(long, default_value_t = 20_000)]
    records: u64,
    /// Number of keys: the key of a record is its remainder.
    #[arg(long, default_value_t = 97, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Records a second in all subtasks together.
    #[arg(long, default_value_t = 2_000.0)]
    per_second: f64,
    /// Milliseconds of a window.
    #[arg(long, default_value_t = 1_000)]
    window_ms: u64,
    /// Bytes that each record carries along to its window.
    #[arg(long, default_value_t = 0)]
    padding: usize,
    /// So many equal records are made of each.
    #[arg(long, default_value_t = 1)]
    expand: u64,
    /// Microseconds that each record takes in its window: the source waits for it.
    #[arg(long, default_value_t = 0)]
    work_us: u64,
    /// Number of subtasks of every operator; default: that of the configuration.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    parallelism: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    if let Some(parallelism) = arguments.parallelism {
        env.set_parallelism(parallelism);
    }
    let Arguments { keys, padding, .. } = arguments;
    let work = Duration::from_micros(arguments.work_us);
    let numbers = DataGeneratorSource::new(|index| index, arguments.records)
        .rate_per_second(arguments.per_second);
    // Each subtask has a range of its own: they are far apart in event time, and must wait for each other.
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|number: &u64, _| number.cast_signed());
    env.from_source(numbers, times, "numbers")
        .flat_map(move |number| {
            (0..arguments.expand).map(move |_| (number % keys, 1_u64, number, pad(padding, number)))
        })
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(
            arguments.window_ms,
        )))
        .reduce(move |sum, (_, count, number, padding)| {
            sum.1 += count;
            sum.2 += number;
            sum.3 = padding;
            if !work.is_zero() {
                std::thread::sleep(work);
            }
        })
        .uid("counts")
        .write_text(&arguments.output, move |(key, count, sum, rest), line| {
            let whole = rest.len() == padding && rest.iter().all(|byte| *byte == rest[0]);
            let rest = if whole { "" } else { " damaged" };
            line.push_str(&format!("{key} {count} {sum}{rest}"));
        });
    env.execute("window-counts")?;
    Ok(())
}

fn pad(bytes: usize, number: u64) -> Vec<u8> {
    vec![number as u8; bytes]
}
