//! Orders with their payments: an interval join. What comes too late for it is not lost, but told.
//!
//! ```text
//! cargo run -p order-payment-join -- --orders orders.csv --payments payments.csv --output paid
//! ```
//! Orders are CSV with the header `id,customer,cents,at_ms`, payments with the header
//! `order,cents,at_ms`. An order may be paid within an hour. Both streams are aligned: neither is read
//! while it is much further in event time than the other, so the join keeps little.

mod generated;

use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::{DataGeneratorSource, FileSource};
use serde::{Deserialize, Serialize};

/// Joins orders with their payments.
#[derive(Debug, Parser)]
struct Arguments {
    /// CSV with the header `id,customer,cents,at_ms`; default: generated orders.
    #[arg(long)]
    orders: Option<String>,
    /// CSV with the header `order,cents,at_ms`; default: generated payments.
    #[arg(long)]
    payments: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// Records may come so many seconds later than others that happened after them.
    #[arg(long, default_value_t = 60)]
    disorder: u64,
    /// How many orders there are, if they are generated.
    #[arg(long, default_value_t = 1_000)]
    count: u64,
}

/// How long an order may be paid.
const PAYABLE_MS: i64 = 3_600_000;

/// Somebody orders something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) customer: String,
    pub(crate) cents: u64,
    pub(crate) at_ms: i64,
}

/// Somebody pays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) order: u64,
    pub(crate) cents: u64,
    pub(crate) at_ms: i64,
}

/// Times of records that come at most so much out of order, from sources that wait for each other.
fn times<T: 'static>(
    arguments: &Arguments,
    at_ms: impl Fn(&T) -> i64 + Send + Sync + 'static,
) -> WatermarkStrategy<T> {
    let disorder = Duration::from_secs(arguments.disorder);
    WatermarkStrategy::for_bounded_out_of_orderness(disorder)
        .with_timestamp_assigner(move |record: &T, _| at_ms(record))
        .with_watermark_alignment(
            "orders and payments",
            Duration::from_secs(600),
            Duration::from_millis(20),
        )
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let order_times = times(&arguments, |order: &Order| order.at_ms);
    let orders = match &arguments.orders {
        Some(input) => env.from_source(FileSource::csv(input), order_times, "orders"),
        None => {
            let orders = DataGeneratorSource::new(generated::order, arguments.count);
            env.from_source(orders, order_times, "orders")
        }
    };
    let payment_times = times(&arguments, |payment: &Payment| payment.at_ms);
    let payments = match &arguments.payments {
        Some(input) => env.from_source(FileSource::csv(input), payment_times, "payments"),
        None => {
            let payments = DataGeneratorSource::new(generated::payment, arguments.count);
            env.from_source(payments, payment_times, "payments")
        }
    };

    let (late_orders, late_payments) = (
        OutputTag::new("late orders"),
        OutputTag::new("late payments"),
    );
    let paid = orders
        .key_by(|order| order.id)
        .interval_join(payments.key_by(|payment| payment.order))
        .between(0, PAYABLE_MS)
        .side_output_left_late_data(&late_orders)
        .side_output_right_late_data(&late_payments)
        .process_fn(|order, payment, cx, out| {
            let after = (cx.right_timestamp() - cx.left_timestamp()) / 1_000;
            let missing = order.cents.saturating_sub(payment.cents);
            out.collect(format!(
                "order {} of {} paid after {after} s, {missing} missing",
                order.id, order.customer
            ));
            Ok(())
        })
        .name("orders with payments");
    let late_orders = paid
        .get_side_output(&late_orders)
        .map(|order| format!("late order {}", order.id))
        .seal();
    let late_payments = paid
        .get_side_output(&late_payments)
        .map(|payment| {
            format!(
                "late payment of order {} at {}",
                payment.order, payment.at_ms
            )
        })
        .seal();
    let lines = paid.union([late_orders, late_payments]);
    match &arguments.output {
        Some(output) => lines.write_text(output, |text, line| line.push_str(text)),
        None => lines.print(),
    };
    env.execute("Order Payment Join")?;
    Ok(())
}
