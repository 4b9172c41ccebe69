//! What all channels of a worker share: emptied buffers, and the bytes that credit may stand for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// Bytes of credit. A channel always gets its own share, even if that overdraws the budget:
/// otherwise it could not move at all. Only what is left may be borrowed.
#[derive(Debug)]
pub(super) struct Budget {
    available: AtomicI64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            available: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX)),
        }
    }

    /// Takes bytes unconditionally.
    pub(super) fn take(&self, bytes: u64) {
        self.available.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    /// Takes up to so many bytes, as far as they are there.
    pub(super) fn borrow(&self, wanted: u64) -> u64 {
        let mut got = 0;
        // Relaxed: the counter guards no other memory.
        let _ = self
            .available
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |available| {
                got = wanted.min(available.max(0) as u64);
                (got > 0).then_some(available - got as i64)
            });
        got
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.available.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    pub(super) fn available(&self) -> i64 {
        self.available.load(Ordering::Relaxed)
    }
}

/// Buffers between uses, of one capacity.
#[derive(Debug)]
pub(super) struct BufferPool {
    // A mutex, because it is held for a push or a pop only, once per frame.
    idle: Mutex<Vec<Vec<u8>>>,
    limit: usize,
    capacity: usize,
}

impl BufferPool {
    pub(super) fn new(limit: usize, capacity: usize) -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            limit,
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// An empty buffer with the pool's capacity.
    pub(super) fn get(&self) -> Vec<u8> {
        let idle = self.lock().pop();
        idle.unwrap_or_else(|| Vec::with_capacity(self.capacity))
    }

    /// Keeps the buffer for later, unless it has another size or there are enough.
    pub(super) fn put(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < self.capacity || buffer.capacity() > 2 * self.capacity {
            return;
        }
        buffer.clear();
        let mut idle = self.lock();
        if idle.len() < self.limit {
            idle.push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().expect("nothing panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowing_stops_at_zero_and_shares_do_not() {
        let budget = Budget::new(100);
        assert_eq!(budget.borrow(70), 70);
        assert_eq!(budget.borrow(70), 30);
        assert_eq!(budget.borrow(1), 0);
        budget.take(50);
        assert_eq!(budget.available(), -50);
        budget.give_back(60);
        assert_eq!(budget.borrow(70), 10);
    }

    #[test]
    fn only_buffers_of_the_right_size_are_kept() {
        let pool = BufferPool::new(1, 1000);
        pool.put(Vec::with_capacity(10));
        pool.put(Vec::with_capacity(10_000));
        assert!(pool.lock().is_empty());
        let mut buffer = pool.get();
        buffer.push(1);
        let memory = buffer.as_ptr();
        pool.put(buffer);
        pool.put(Vec::with_capacity(1000));
        let again = pool.get();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), memory);
        let other = pool.get();
        assert_ne!(other.as_ptr(), memory);
    }
}
