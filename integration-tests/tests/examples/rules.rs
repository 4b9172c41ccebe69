//! Payments above their limits against a look at every limit for every payment.

use anyhow::Result;

use crate::program::{Example, Random};

struct Payment {
    id: u64,
    account: u64,
    category: u64,
    cents: u64,
    at: u64,
}

/// Category, cents, time.
type Limit = (u64, u64, u64);

fn payments() -> Vec<Payment> {
    let mut random = Random::new(5);
    (0..4_000)
        .map(|id| Payment {
            id,
            account: random.below(50),
            category: random.below(6),
            cents: random.below(1_000),
            at: 100_000 + id * 1_000 + random.below(30) * 1_000,
        })
        .collect()
}

fn limits() -> Vec<Limit> {
    let mut random = Random::new(6);
    // One category never has a limit; no two limits of a category begin at the same time.
    (0..200)
        .map(|index| {
            let at = 150_000 + index * 19_000 + random.below(18) * 1_000;
            (random.below(5), random.below(1_000), at)
        })
        .collect()
}

fn expected(payments: &[Payment], limits: &[Limit]) -> Vec<String> {
    let mut lines = Vec::new();
    for payment in payments {
        let known = limits
            .iter()
            .filter(|(category, _, from)| *category == payment.category && *from <= payment.at);
        let Some((category, limit, _)) = known.max_by_key(|(_, _, from)| from) else {
            continue;
        };
        let Payment {
            id, account, cents, ..
        } = payment;
        if cents > limit {
            lines.push(format!(
                "payment {id} of account {account}: {cents} for c{category}, {limit} allowed"
            ));
        }
    }
    lines.sort();
    lines
}

#[test]
fn each_payment_is_judged_by_the_limit_of_its_time() -> Result<()> {
    let (payments, limits) = (payments(), limits());
    let mut payments_csv = String::from("id,account,category,cents,at_ms\n");
    for Payment {
        id,
        account,
        category,
        cents,
        at,
    } in &payments
    {
        payments_csv += &format!("{id},{account},c{category},{cents},{at}\n");
    }
    let mut limits_csv = String::from("category,cents,from_ms\n");
    for (category, cents, from) in &limits {
        limits_csv += &format!("c{category},{cents},{from}\n");
    }
    let expected = expected(&payments, &limits);
    assert!(expected.len() > 500, "{} alerts", expected.len());
    for parallelism in [1, 3] {
        let lines = Example::new("broadcast-rules")?
            .parallelism(parallelism)
            .input("--payments", &payments_csv)?
            .input("--limits", &limits_csv)?
            .lines()?;
        assert_eq!(lines, expected);
    }
    Ok(())
}
