//! How much memory hot rows may take: one budget for all tables of a process, of which each may use
//! what others leave, but at least its share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory for the hot rows of all tables that have a cold tier. Clones are the same one.
#[derive(Debug, Clone)]
pub struct HotPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    budget: u64,
    used: AtomicU64,
    members: AtomicU64,
}

impl HotPool {
    /// So many bytes.
    pub fn new(budget: u64) -> Self {
        Self(Arc::new(Shared {
            budget,
            used: AtomicU64::new(0),
            members: AtomicU64::new(0),
        }))
    }

    pub(super) fn join(&self) -> Member {
        self.0.members.fetch_add(1, Ordering::Relaxed);
        Member {
            pool: self.clone(),
            used: 0,
        }
    }
}

/// A table's part of the pool.
#[derive(Debug)]
pub(super) struct Member {
    pool: HotPool,
    used: u64,
}

impl Member {
    /// The table takes so much now. How much of it must go.
    pub(super) fn takes(&mut self, bytes: u64) -> u64 {
        let pool = &*self.pool.0;
        // Only differences are added, so the sum is that of what all members take.
        let before = pool.used.fetch_add(bytes, Ordering::Relaxed);
        pool.used.fetch_sub(self.used, Ordering::Relaxed);
        let all = before.saturating_add(bytes).saturating_sub(self.used);
        self.used = bytes;
        let members = pool.members.load(Ordering::Relaxed).max(1);
        excess(pool.budget, members, all, bytes)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let pool = &*self.pool.0;
        pool.used.fetch_sub(self.used, Ordering::Relaxed);
        pool.members.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one of `members` must give up that takes `own` of `all`.
fn excess(budget: u64, members: u64, all: u64, own: u64) -> u64 {
    let share = budget / members;
    all.saturating_sub(budget).min(own.saturating_sub(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_leave_may_be_used_and_a_share_is_kept() {
        assert_eq!(excess(100, 2, 100, 90), 0, "all of it");
        assert_eq!(excess(100, 2, 130, 90), 30);
        assert_eq!(excess(100, 2, 130, 40), 0, "less than its share");
        assert_eq!(excess(100, 2, 300, 60), 10, "not less than its share");
    }

    #[test]
    fn members_come_and_go() {
        let pool = HotPool::new(100);
        let mut one = pool.join();
        assert_eq!(one.takes(120), 20);
        let mut other = pool.join();
        assert_eq!(other.takes(10), 0);
        assert_eq!(one.takes(100), 10);
        drop(one);
        assert_eq!(other.takes(105), 5);
        assert_eq!(pool.0.used.load(Ordering::Relaxed), 105);
    }
}
