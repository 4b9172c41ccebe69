//! Orders and their payments, some of which come in a hurry, late or never: the same ones each time.

use crate::{Order, Payment};

const CUSTOMERS: [&str; 4] = ["ada", "alan", "grace", "konrad"];
/// When the first order was made.
const START_MS: i64 = 1_700_000_000_000;
/// From one order to the next.
const STEP_MS: i64 = 10_000;

fn ordered_ms(index: u64) -> i64 {
    START_MS + index as i64 * STEP_MS
}

/// The order with that number.
pub(crate) fn order(index: u64) -> Order {
    Order {
        id: index,
        customer: CUSTOMERS[random(index * 4) as usize % CUSTOMERS.len()].to_owned(),
        cents: 1_000 + random(index * 4 + 1) % 9_000,
        at_ms: ordered_ms(index),
    }
}

/// A payment for each order, in nearly the order of time: most within minutes, some after hours.
pub(crate) fn payment(index: u64) -> Payment {
    let order = order(index);
    let delay = match random(index * 4 + 2) % 20 {
        0 => 2 * 3_600_000,
        _ => random(index * 4 + 3) % 50_000,
    };
    Payment {
        order: order.id,
        cents: order.cents - if index.is_multiple_of(9) { 500 } else { 0 },
        at_ms: order.at_ms + delay as i64,
    }
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}
