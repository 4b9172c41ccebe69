//! Alerts against the transactions of each account in their order.

use anyhow::Result;

use crate::program::{Example, Random};

/// Account, time, id, cents.
type Transaction = (u64, u64, u64, u64);

fn transactions() -> Vec<Transaction> {
    let mut random = Random::new(11);
    (0..5_000)
        .map(|id| {
            let cents = match random.below(4) {
                0 => random.below(100),
                1 => 50_000 + random.below(1_000),
                _ => [100, 99, 49_999, 50_000][random.below(4) as usize],
            };
            // Ties and exact minutes happen: times are whole seconds.
            let at = 1_000_000 + id * 1_000 - random.below(9) * 1_000;
            (random.below(30), at, id, cents)
        })
        .collect()
}

fn expected(transactions: &[Transaction]) -> Vec<String> {
    let mut sorted = transactions.to_vec();
    sorted.sort_unstable();
    let mut lines = Vec::new();
    for pair in sorted.windows(2) {
        let [(account, at, tiny, small), (other, then, large, cents)] = pair else {
            continue;
        };
        if account == other && *small < 100 && *cents >= 50_000 && then - at < 60_000 {
            lines.push(format!(
                "account {account}: transaction {large} after transaction {tiny}"
            ));
        }
    }
    lines.sort();
    lines
}

#[test]
fn alerts_are_large_payments_right_behind_tiny_ones() -> Result<()> {
    let transactions = transactions();
    let mut csv = String::from("id,account,cents,at_ms\n");
    for (account, at, id, cents) in &transactions {
        csv += &format!("{id},{account},{cents},{at}\n");
    }
    let expected = expected(&transactions);
    assert!(expected.len() > 100, "{} alerts", expected.len());
    for parallelism in [1, 3] {
        let lines = Example::new("fraud-detection")?
            .parallelism(parallelism)
            .input("--input", &csv)?
            .lines()?;
        assert_eq!(lines, expected);
    }
    Ok(())
}
