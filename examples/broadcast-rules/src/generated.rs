//! Payments, and limits that change every ten minutes: the same ones each time.

use crate::check::{Limit, Payment};

const CATEGORIES: [&str; 3] = ["books", "food", "travel"];
/// When the first payment happened.
const START_MS: i64 = 1_700_000_000_000;
/// From one payment to the next.
const STEP_MS: i64 = 2_000;
/// How long a limit holds.
const HOLDS_MS: i64 = 600_000;

/// The payment with that number. It comes up to 50 seconds late.
pub(crate) fn payment(index: u64) -> Payment {
    let pick = |salt: u64, among: u64| random(index * 4 + salt) % among;
    Payment {
        id: index,
        account: pick(0, 20),
        category: CATEGORIES[pick(1, 3) as usize].to_owned(),
        cents: 100 + pick(2, 100_000),
        at_ms: START_MS + index as i64 * STEP_MS - pick(3, 50_000) as i64,
    }
}

/// The limits while so many payments are made.
pub(crate) fn limits(payments: u64) -> Vec<Limit> {
    let periods = payments as i64 * STEP_MS / HOLDS_MS + 1;
    let limit = |period: i64, category: &str| Limit {
        category: category.to_owned(),
        cents: 60_000 + random(period as u64 * 7 + category.len() as u64) % 40_000,
        from_ms: START_MS + period * HOLDS_MS,
    };
    (0..periods)
        .flat_map(|period| CATEGORIES.map(|category| limit(period, category)))
        .collect()
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}
