//! Stable hash v1 and key groups: where the rows of a key live, in memory, on the wire and in
//! checkpoints. Frozen: independent of compiler, platform and crate versions, unlike
//! `std::hash::Hash`; `tests/hash.rs` holds its vectors.
//!
//! It is fast and well spread, but not keyed: whoever chooses the keys can make them collide.

mod mix;

use serde::Serialize;

use self::mix::Mixer;
use crate::codec::{CodecError, Operation};

/// The stable hash v1 of `key`, read through its `Serialize`.
///
/// Promised: `String`, `&str` and [`Str`](crate::Str) with equal text agree; integers up to 64 bits
/// agree when their values do, so widening a key moves nothing; newtypes hash as what they wrap,
/// structs as tuples of their fields; `0.0` and `-0.0` agree, as do all NaNs.
///
/// # Panics
/// When the key's own `Serialize` refuses its value, or the key is nested deeper than the codec's
/// limit. Derived implementations never refuse. See [`try_stable_hash`].
#[inline]
pub fn stable_hash<K: Serialize + ?Sized>(key: &K) -> u64 {
    match try_stable_hash(key) {
        Ok(hash) => hash,
        Err(error) => refuse(&error),
    }
}

/// As [`stable_hash`], for keys whose `Serialize` may refuse.
#[inline]
pub fn try_stable_hash<K: Serialize + ?Sized>(key: &K) -> Result<u64, CodecError> {
    let mut state = mix::SEED;
    match key.serialize(Mixer::new(&mut state)) {
        Ok(()) => Ok(mix::finish(state)),
        Err(error) => Err(error.during(Operation::Hash)),
    }
}

#[cold]
#[inline(never)]
fn refuse(error: &CodecError) -> ! {
    panic!("a key must be serialisable to be placed: {error}")
}

/// The key group of a hash: its top 32 bits, scaled to `0..max_parallelism`. Equal ranges of hashes
/// are equal ranges of groups, so a group is a contiguous part of a table ordered by hash.
#[inline]
pub fn key_group(hash: u64, max_parallelism: u32) -> u32 {
    (((hash >> 32) * u64::from(max_parallelism)) >> 32) as u32
}

/// The subtask that owns a key group, as Flink assigns them: subtasks own contiguous ranges.
///
/// `max_parallelism` must be at least 1 and at least `parallelism`.
#[inline]
pub fn subtask_of(group: u32, parallelism: u32, max_parallelism: u32) -> u32 {
    (u64::from(group) * u64::from(parallelism) / u64::from(max_parallelism)) as u32
}

/// The lowest maximum parallelism that is chosen for a program that does not say.
pub const MIN_DEFAULT_MAX_PARALLELISM: u32 = 1 << 7;

/// The highest maximum parallelism there is.
pub const MAX_MAX_PARALLELISM: u32 = 1 << 15;

/// Flink's default: half as much again as `parallelism`, rounded up to a power of two, within
/// 128 and 32768.
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    let roomy = u64::from(parallelism) + u64::from(parallelism / 2);
    let rounded = roomy.max(1).next_power_of_two();
    rounded.clamp(
        MIN_DEFAULT_MAX_PARALLELISM.into(),
        MAX_MAX_PARALLELISM.into(),
    ) as u32
}
