//! Paid orders against all pairs. Which records are late depends on how the two inputs are read; what
//! must hold is that each pair is joined, or one of its records was told to be late.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::program::{Example, Random};

/// How much later than others a record may come before it is late.
const DISORDER_MS: u64 = 60_000;
const PAYABLE_MS: u64 = 3_600_000;

/// Order, time, cents.
type Row = (u64, u64, u64);

fn orders() -> Vec<Row> {
    let mut random = Random::new(21);
    (0..3_000)
        .map(|id| (id, 10_000_000 + id * 10_000, 1_000 + random.below(9_000)))
        .collect()
}

fn payments(orders: &[Row]) -> Vec<Row> {
    let mut random = Random::new(22);
    let mut payments: Vec<Row> = orders
        .iter()
        .flat_map(|(id, at, cents)| {
            let delay = match random.below(10) {
                0 => PAYABLE_MS,
                1 => PAYABLE_MS + 1,
                _ => random.below(50_000),
            };
            let payment = (*id, at + delay, cents - random.below(2) * 500);
            // Some pay in two parts, some never.
            (0..random.below(3)).map(move |part| (payment.0, payment.1 + part, payment.2))
        })
        .collect();
    payments.sort_by_key(|(order, at, _)| (*at, *order));
    // A few come when everybody has forgotten them.
    for _ in 0..20 {
        let from = random.below(payments.len() as u64 / 2) as usize;
        let straggler = payments.remove(from);
        payments.push(straggler);
    }
    payments
}

fn name(order: u64) -> String {
    format!("customer-{}", order % 7)
}

fn pair(order: &Row, payment: &Row) -> String {
    let ((id, ordered, cents), (_, paid, paid_cents)) = (order, payment);
    format!(
        "order {id} of {} paid after {} s, {} missing",
        name(*id),
        (paid - ordered) / 1_000,
        cents.saturating_sub(*paid_cents)
    )
}

/// Records that come later than allowed behind another one of their own input: no others are late.
fn stragglers(rows: &[Row]) -> BTreeSet<(u64, u64)> {
    let mut latest = 0;
    let mut found = BTreeSet::new();
    for (order, at, _) in rows {
        latest = latest.max(*at);
        if latest - at > DISORDER_MS {
            found.insert((*order, *at));
        }
    }
    found
}

#[test]
fn each_pair_is_joined_or_told_to_be_late() -> Result<()> {
    let orders = orders();
    let payments = payments(&orders);
    let mut orders_csv = String::from("id,customer,cents,at_ms\n");
    for (id, at, cents) in &orders {
        orders_csv += &format!("{id},{},{cents},{at}\n", name(*id));
    }
    let mut payments_csv = String::from("order,cents,at_ms\n");
    for (order, at, cents) in &payments {
        payments_csv += &format!("{order},{cents},{at}\n");
    }
    let may_be_late = stragglers(&payments);
    assert!(may_be_late.len() >= 20);
    for parallelism in [1, 3] {
        let lines = Example::new("order-payment-join")?
            .parallelism(parallelism)
            .input("--orders", &orders_csv)?
            .input("--payments", &payments_csv)?
            .lines()?;
        let (late, joined): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.starts_with("late"));
        let late = late.iter().map(|line| late_payment(line));
        let late: BTreeSet<(u64, u64)> = late.collect::<Result<_>>()?;
        assert!(late.is_subset(&may_be_late), "{late:?}");
        let on_time = payments
            .iter()
            .filter(|(order, at, _)| !late.contains(&(*order, *at)));
        let mut expected: Vec<String> = on_time
            .filter_map(|payment| {
                let order = &orders[payment.0 as usize];
                (payment.1 - order.1 <= PAYABLE_MS).then(|| pair(order, payment))
            })
            .collect();
        expected.sort();
        assert_eq!(joined, expected);
    }
    Ok(())
}

/// The order and the time of a payment. Orders come in order and are never late.
fn late_payment(line: &str) -> Result<(u64, u64)> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["late", "payment", "of", "order", order, "at", at] = words[..] else {
        anyhow::bail!("what is {line:?}?");
    };
    let number = |text: &str| text.parse().with_context(|| format!("in {line:?}"));
    Ok((number(order)?, number(at)?))
}
