//! Which hashes may have cold rows: a count per class of hashes. Most keys that are new are told
//! from cold ones without asking the store.

/// A count that has come so far says nothing any more and stays.
const MOST: u8 = u8::MAX;

#[derive(Debug, Default)]
pub(super) struct Filter {
    /// A power of two of them, or none: then every hash may have rows.
    counts: Vec<u8>,
}

impl Filter {
    /// Tells few hashes that have no rows from many that have: `rows` of them, say. Without counts
    /// there are no rows.
    pub(super) fn grow(&mut self, rows: usize) {
        let classes = rows.clamp(1 << 10, 1 << 26).next_power_of_two();
        if self.counts.is_empty() {
            self.counts = vec![0; classes];
        }
        while self.counts.len() < classes {
            // Of which half a row is, is not known: from now on both may have it.
            self.counts.extend_from_within(..);
        }
    }

    #[inline]
    fn class(&self, hash: u64) -> usize {
        // The middle of the hash: its top chooses the subtask, its low bits are few in small tables.
        (hash >> 16) as usize & self.counts.len().wrapping_sub(1)
    }

    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.counts
            .get(self.class(hash))
            .is_none_or(|count| *count > 0)
    }

    pub(super) fn add(&mut self, hash: u64) {
        let class = self.class(hash);
        if let Some(count) = self.counts.get_mut(class) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, hash: u64) {
        let class = self.class(hash);
        if let Some(count) = self.counts.get_mut(class)
            && *count < MOST
        {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_denies_what_is_there() {
        let mut filter = Filter::default();
        assert!(filter.may_have(7), "without counts nothing is known");
        filter.grow(10);
        assert!(!filter.may_have(7 << 16));
        for _ in 0..300 {
            filter.add(7 << 16);
        }
        for _ in 0..299 {
            filter.remove(7 << 16);
        }
        assert!(filter.may_have(7 << 16));
        filter.add(8 << 16);
        filter.remove(8 << 16);
        assert!(!filter.may_have(8 << 16));
        filter.add(9 << 16);
        filter.grow(5_000);
        for class in [9, 9 + 1024, 9 + 7 * 1024] {
            assert!(filter.may_have(class << 16), "{class}");
        }
        assert!(!filter.may_have(8 << 16));
    }
}
