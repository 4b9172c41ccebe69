//! Ledgers for those who have none: the same ones each time.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const LEDGERS: u64 = 4;
const POSTINGS: u64 = 5_000;

/// A name for a directory that nobody else uses.
pub(crate) fn unique_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    format!("balances-{}-{nanos}", std::process::id())
}

/// Writes ledgers into a new directory.
pub(crate) fn write(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for ledger in 0..LEDGERS {
        let mut bytes = Vec::new();
        for posting in 0..POSTINGS {
            let random = random(ledger * POSTINGS + posting);
            let (account, cents) = (random as u32 % 100, (random >> 16) as i64 % 20_000 - 10_000);
            bytes.extend_from_slice(&account.to_le_bytes());
            bytes.extend_from_slice(&cents.to_le_bytes());
        }
        std::fs::write(directory.join(format!("{ledger}.ledger")), bytes)?;
    }
    Ok(())
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}
