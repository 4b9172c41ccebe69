//! Time to live: when a row counts as expired, and what is done with it then.
//!
//! As in Flink: processing time; a row expires `ttl` after its last update (or read).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::StateError;

/// What prolongs the life of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateType {
    /// Only writes. The default.
    #[default]
    OnCreateAndWrite,
    /// Writes and reads.
    OnReadAndWrite,
}

/// Whether what has expired but is still there may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateVisibility {
    /// Never. The default.
    #[default]
    NeverReturnExpired,
    /// Once more: the first read that finds it gets it and removes it, unless the clean-up was
    /// faster.
    ReturnExpiredIfNotCleanedUp,
}

/// How long state lives after its last use, per key; for lists per element, for maps per entry.
///
/// Time is processing time in milliseconds; what is left of a millisecond is dropped. By default only
/// writes prolong life, expired state is never seen, and each access to the state looks at five
/// other rows and removes expired ones.
///
/// ```
/// use std::time::Duration;
/// use flott_state::{StateTtlConfig, UpdateType, ValueStateDescriptor};
///
/// let ttl = StateTtlConfig::new(Duration::from_secs(3600))
///     .with_update_type(UpdateType::OnReadAndWrite)
///     .cleanup_incrementally(10);
/// let descriptor = ValueStateDescriptor::<u64>::new("last-seen").with_ttl(ttl);
/// assert_eq!(descriptor.name(), "last-seen");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTtlConfig {
    ttl: Duration,
    update_type: UpdateType,
    visibility: StateVisibility,
    sweep: usize,
}

impl StateTtlConfig {
    /// Rows looked at per access unless [`cleanup_incrementally`](Self::cleanup_incrementally) says
    /// another number.
    pub const DEFAULT_CLEANUP_SIZE: usize = 5;

    /// State that lives so long, at least one millisecond: registering it fails otherwise.
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            update_type: UpdateType::default(),
            visibility: StateVisibility::default(),
            sweep: Self::DEFAULT_CLEANUP_SIZE,
        }
    }

    /// What prolongs life; default [`UpdateType::OnCreateAndWrite`].
    #[must_use]
    pub fn with_update_type(mut self, update_type: UpdateType) -> Self {
        self.update_type = update_type;
        self
    }

    /// Whether expired state may be seen; default [`StateVisibility::NeverReturnExpired`].
    #[must_use]
    pub fn with_state_visibility(mut self, visibility: StateVisibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// How many other rows each access looks at to remove what has expired; default 5. More rows
    /// return memory sooner and cost time per access. A row is one key's whole list or map.
    #[must_use]
    pub fn cleanup_incrementally(mut self, rows: usize) -> Self {
        self.sweep = rows;
        self
    }

    /// Removes expired state only when it is read: that of keys that never come again stays.
    #[must_use]
    pub fn disable_cleanup_in_background(self) -> Self {
        self.cleanup_incrementally(0)
    }

    pub(crate) fn resolve(&self, name: &str) -> Result<Ttl, StateError> {
        let milliseconds = i64::try_from(self.ttl.as_millis()).ok();
        let Some(milliseconds) = milliseconds.filter(|milliseconds| *milliseconds > 0) else {
            return Err(StateError::InvalidTtl {
                name: name.to_owned(),
                ttl: self.ttl,
            });
        };
        Ok(Ttl {
            milliseconds,
            on_read: self.update_type == UpdateType::OnReadAndWrite,
            return_expired: self.visibility == StateVisibility::ReturnExpiredIfNotCleanedUp,
            sweep: self.sweep,
        })
    }
}

/// Stamp of what has been returned after its time: to be seen no more, though it is still there.
pub(crate) const GONE: i64 = i64::MIN;

/// The configuration as the tables use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ttl {
    pub(crate) milliseconds: i64,
    pub(crate) on_read: bool,
    pub(crate) return_expired: bool,
    pub(crate) sweep: usize,
}

impl Ttl {
    /// The stamp of what is written now.
    #[inline]
    pub(crate) fn stamp(now: i64) -> i64 {
        now.max(GONE + 1)
    }

    #[inline]
    pub(crate) fn expired(&self, stamp: i64, now: i64) -> bool {
        stamp.saturating_add(self.milliseconds) <= now
    }

    /// Whether a reader sees what has that stamp, and the stamp stays.
    #[inline]
    pub(crate) fn just_read(&self, stamp: i64, now: i64) -> bool {
        stamp != GONE && !self.on_read && !self.expired(stamp, now)
    }

    /// Whether a reader sees what has that stamp; reading may change the stamp.
    #[inline]
    pub(crate) fn read(&self, stamp: &mut i64, now: i64) -> bool {
        if *stamp == GONE {
            return false;
        }
        if !self.expired(*stamp, now) {
            if self.on_read {
                *stamp = Self::stamp(now);
            }
            return true;
        }
        *stamp = GONE;
        self.return_expired
    }
}

/// What of a value is left when what has expired is taken away.
pub(crate) enum Live<V> {
    Whole,
    Part(V),
    Gone,
}

/// A value that may expire, or parts of it.
pub(crate) trait Expire: Sized {
    fn live(&self, ttl: Ttl, now: i64) -> Live<Self>;
}

/// A value with the time of its last use. Its layout is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timed<V> {
    pub(crate) stamp: i64,
    pub(crate) value: V,
}

impl<V> Expire for Timed<V> {
    fn live(&self, ttl: Ttl, now: i64) -> Live<Self> {
        if ttl.expired(self.stamp, now) {
            Live::Gone
        } else {
            Live::Whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(config: &StateTtlConfig) -> Ttl {
        config.resolve("state").unwrap()
    }

    #[test]
    fn it_expires_at_the_millisecond() {
        let ttl = ttl(&StateTtlConfig::new(Duration::from_millis(10)));
        for (now, expired) in [(5, false), (109, false), (110, true), (i64::MAX, true)] {
            assert_eq!(ttl.expired(100, now), expired, "at {now}");
        }
        assert!(!ttl.expired(i64::MAX - 1, i64::MAX - 1));
    }

    #[test]
    fn impossible_times_are_refused() {
        for bad in [Duration::ZERO, Duration::from_nanos(999_999), Duration::MAX] {
            let error = StateTtlConfig::new(bad).resolve("s").unwrap_err();
            assert!(matches!(error, StateError::InvalidTtl { .. }), "{error}");
        }
    }

    #[test]
    fn what_has_expired_is_returned_once_if_wanted() {
        let config = StateTtlConfig::new(Duration::from_millis(10));
        let mut stamp = 0;
        assert!(!ttl(&config).read(&mut stamp, 10));
        let visible = config.with_state_visibility(StateVisibility::ReturnExpiredIfNotCleanedUp);
        let mut stamp = 0;
        assert!(ttl(&visible).read(&mut stamp, 10));
        assert!(!ttl(&visible).read(&mut stamp, 10));
    }
}
