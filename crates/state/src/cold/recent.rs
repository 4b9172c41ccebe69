//! Which rows were used lately: a bit per class of hashes, in two generations. What the CLOCK
//! algorithm keeps in each row is beside the table here, so that rows that never leave memory do not
//! pay for it. Rows of one class are spared together.

#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Bits of this turn of the hand and of the one before; empty until rows have to go.
    now: Vec<u64>,
    before: Vec<u64>,
}

impl Recent {
    /// Tells so many rows apart.
    pub(super) fn for_rows(rows: usize) -> Self {
        let words = (rows / 16).clamp(16, 1 << 24).next_power_of_two();
        Self {
            now: vec![0; words],
            before: vec![0; words],
        }
    }

    /// Whether rows have had to go.
    #[inline]
    pub(super) fn is_made(&self) -> bool {
        !self.now.is_empty()
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let class = (hash >> 16) as usize;
        let word = (class >> 6) & self.now.len().wrapping_sub(1);
        (word, 1 << (class & 63))
    }

    /// The row with that hash is used.
    #[inline]
    pub(super) fn mark(&mut self, hash: u64) {
        let (word, bit) = self.place(hash);
        if let Some(word) = self.now.get_mut(word) {
            *word |= bit;
        }
    }

    /// Whether the row was used in this turn of the hand or in the one before.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        let marked = |words: &[u64]| words.get(word).is_some_and(|word| word & bit != 0);
        marked(&self.now) || marked(&self.before)
    }

    /// The hand has come round.
    pub(super) fn turn(&mut self) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_remembered_for_two_turns() {
        let mut recent = Recent::for_rows(100);
        let (used, other) = (5 << 16, 6 << 16);
        recent.mark(used);
        assert!(recent.has(used) && !recent.has(other));
        recent.turn();
        assert!(recent.has(used));
        recent.turn();
        assert!(!recent.has(used));
    }

    #[test]
    fn before_it_is_made_nothing_is_recent() {
        let mut recent = Recent::default();
        recent.mark(1);
        assert!(!recent.has(1) && !recent.is_made());
    }
}
