//! As `slow-counts`, with sums in slots that must offer more than a task executor of default size.

use clap::Parser;
use flott::SlotSharingGroup;
use flott::prelude::*;
use flott_test_jobs::{Pace, Size};

/// Sums numbers per key, in large slots.
#[derive(Debug, Parser)]
struct Arguments {
    /// A directory that does not exist yet, or is empty.
    #[arg(long)]
    output: String,
    /// Records a second in each subtask of the source.
    #[arg(long, default_value_t = 2_000)]
    per_second: u32,
    /// Task heap memory of the slots for the sums, in MiB.
    #[arg(long, default_value_t = 700)]
    memory_mb: u32,
    /// Processor cores of those slots.
    #[arg(long, default_value_t = 1.5)]
    cores: f64,
    #[command(flatten)]
    size: Size,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let large = SlotSharingGroup::new_builder("large")
        .set_cpu_cores(arguments.cores)
        .set_task_heap_memory_mb(arguments.memory_mb)
        .build()?;
    let mut pace = Pace::new(arguments.per_second);
    let numbers = arguments.size.numbers(&env).map(move |n| {
        pace.wait();
        n
    });
    let sums = arguments.size.sums(numbers.seal());
    sums.slot_sharing_group(large)
        .write_text(&arguments.output, |(key, sum), line| {
            line.push_str(&format!("{key} {sum}"));
        });
    env.execute("sized-counts")?;
    Ok(())
}
