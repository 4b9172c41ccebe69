//! Limits that change while payments come: each payment is judged by the limit of its own time.
//!
//! ```text
//! cargo run -p broadcast-rules -- --payments payments.csv --limits limits.csv --output alerts
//! ```
//! Payments are CSV with the header `id,account,category,cents,at_ms`, limits with the header
//! `category,cents,from_ms`. Every subtask that judges payments gets every limit (broadcast state).
//! Nothing is known about the order between the two streams, so a payment waits until event time
//! says that all limits of its time are there: the result is the same in each run.

mod check;
mod generated;

use std::fmt::Write;
use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::{CollectionSource, DataGeneratorSource, FileSource};

use crate::check::{Check, Limit, Payment, limits};

/// Tells which payments exceed the limit of their category at their time.
#[derive(Debug, Parser)]
struct Arguments {
    /// CSV with the header `id,account,category,cents,at_ms`; default: generated payments.
    #[arg(long)]
    payments: Option<String>,
    /// CSV with the header `category,cents,from_ms`, at most a minute out of order; default:
    /// generated limits.
    #[arg(long)]
    limits: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// How many payments there are, if they are generated.
    #[arg(long, default_value_t = 1_000)]
    count: u64,
}

/// How much later records may come than others that happened after them.
const DISORDER: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;

    let times = WatermarkStrategy::for_bounded_out_of_orderness(DISORDER)
        .with_timestamp_assigner(|payment: &Payment, _| payment.at_ms);
    let payments = match &arguments.payments {
        Some(input) => env.from_source(FileSource::csv(input), times, "payments"),
        None => {
            let payments = DataGeneratorSource::new(generated::payment, arguments.count);
            env.from_source(payments, times, "payments")
        }
    };

    let times = WatermarkStrategy::for_bounded_out_of_orderness(DISORDER)
        .with_timestamp_assigner(|limit: &Limit, _| limit.from_ms);
    let changes = match &arguments.limits {
        Some(input) => env.from_source(FileSource::csv(input), times, "limits"),
        None => {
            let changes = generated::limits(arguments.count);
            env.from_source(CollectionSource::new(changes), times, "limits")
        }
    };

    let alerts = payments
        .key_by(|payment| payment.account)
        .connect_broadcast(changes.broadcast_with(&[limits()]))
        .process(Check::default())
        .name("check limits");
    match &arguments.output {
        Some(output) => alerts.write_text(output, |alert, line| {
            // Writing to a String cannot fail.
            let _ = write!(line, "{alert}");
        }),
        None => alerts.print(),
    };
    env.execute("Broadcast Rules")?;
    Ok(())
}
