//! Transactions of 50 accounts, some of them suspicious: the same ones each time.

use crate::detector::Transaction;

/// When the first one happened.
const START_MS: i64 = 1_700_000_000_000;

/// The transaction with that number. It comes up to 8 seconds late.
pub(crate) fn generate(index: u64) -> Transaction {
    let pick = |salt: u64, among: u64| random(index * 4 + salt) % among;
    Transaction {
        id: index,
        account: pick(0, 50),
        cents: match pick(1, 10) {
            0 => 1 + pick(2, 99),
            1 => 50_000 + pick(2, 50_000),
            _ => 100 + pick(2, 40_000),
        },
        at_ms: START_MS + index as i64 * 500 - pick(3, 8_000) as i64,
    }
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}
