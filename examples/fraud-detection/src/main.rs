//! Cards that somebody tries out: a tiny payment, directly followed by a large one within a minute.
//!
//! ```text
//! cargo run -p fraud-detection -- --input transactions.csv --output alerts
//! ```
//! The input is CSV with the header `id,account,cents,at_ms`. Transactions do not come in the order in
//! which they happened, and which one directly follows another is a matter of that order. So each
//! waits, in the state of its account, for a timer of event time; what comes after event time has
//! passed it goes to a side output.

mod detector;
mod transactions;

use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::{DataGeneratorSource, FileSource};

use crate::detector::{Detector, Transaction};

/// Finds accounts with a tiny payment and a large one right behind it.
#[derive(Debug, Parser)]
struct Arguments {
    /// CSV with the header `id,account,cents,at_ms`; default: generated transactions.
    #[arg(long)]
    input: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// Transactions may come so many seconds later than others that happened after them.
    #[arg(long, default_value_t = 10)]
    disorder: u64,
    /// How many transactions there are, if they are generated.
    #[arg(long, default_value_t = 10_000)]
    transactions: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let disorder = Duration::from_secs(arguments.disorder);
    let times = WatermarkStrategy::for_bounded_out_of_orderness(disorder)
        .with_timestamp_assigner(|transaction: &Transaction, _| transaction.at_ms);
    let transactions = match &arguments.input {
        Some(input) => env.from_source(FileSource::csv(input), times, "transactions"),
        None => {
            let generated =
                DataGeneratorSource::new(transactions::generate, arguments.transactions);
            env.from_source(generated, times, "transactions")
        }
    };
    let late = OutputTag::new("late transactions");
    let alerts = transactions
        .key_by(|transaction| transaction.account)
        .process(Detector::new(&late))
        .name("fraud detector");
    let late = alerts
        .get_side_output(&late)
        .map(|transaction| format!("too late to be judged: transaction {}", transaction.id))
        .seal();
    let lines = alerts.map(|alert| alert.to_string()).seal().union([late]);
    match &arguments.output {
        Some(output) => lines.write_text(output, |text, line| line.push_str(text)),
        None => lines.print(),
    };
    env.execute("Fraud Detection")?;
    Ok(())
}
