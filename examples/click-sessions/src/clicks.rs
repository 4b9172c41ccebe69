//! Clicks of some users who come back now and then: the same ones each time.

use crate::Click;

const USERS: [&str; 5] = ["ada", "alan", "edsger", "grace", "konrad"];
const PAGES: [&str; 4] = ["/", "/search", "/product", "/cart"];
/// When the first click happened.
const START_MS: i64 = 1_700_000_000_000;

/// The click with that number. A click comes up to 50 seconds late.
pub(crate) fn generate(index: u64) -> Click {
    let pick = |salt: u64, among: usize| random(index * 4 + salt) as usize % among;
    // Nobody is there for some hours after every 200 clicks.
    let breaks = index / 200;
    let at = START_MS + index as i64 * 30_000 + breaks as i64 * 4 * 3_600_000;
    Click {
        user: USERS[pick(0, USERS.len())].to_owned(),
        page: PAGES[pick(1, PAGES.len())].to_owned(),
        at_ms: at - pick(2, 50_000) as i64,
    }
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}
