//! Sixteen tags, compared at once.

/// How many slots share a comparison.
pub(super) const WIDTH: usize = 16;

/// The slot has never had a row since its group was last full.
const EMPTY: u8 = 0;
/// The slot had a row while its group was full: searches go on behind the group.
const GONE: u8 = 1;
/// All other tags are those of rows.
const FIRST: u8 = 2;

/// The tag of a row: eight bits of its hash.
#[inline(always)]
pub(super) fn tag_of(hash: u64) -> u8 {
    (hash as u8).max(FIRST)
}

/// Whether it is the tag of a row.
#[inline(always)]
pub(super) fn is_of_row(tag: u8) -> bool {
    tag >= FIRST
}

/// The tags of sixteen slots.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(super) struct Group([u8; WIDTH]);

/// Slots of a group, lowest first.
#[derive(Clone, Copy)]
pub(super) struct Slots(u32);

impl Slots {
    /// Those from `first` on.
    pub(super) fn from(self, first: usize) -> Self {
        Self(self.0 & (u32::MAX << first))
    }
}

impl Iterator for Slots {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(slot as usize)
    }
}

impl Group {
    /// No rows.
    pub(super) const EMPTY: Self = Self([EMPTY; WIDTH]);

    /// Slots whose rows have this tag.
    #[inline(always)]
    pub(super) fn matching(&self, tag: u8) -> Slots {
        Slots(equal(&self.0, tag))
    }

    /// Whether a search may end here.
    #[inline(always)]
    pub(super) fn has_empty(&self) -> bool {
        equal(&self.0, EMPTY) != 0
    }

    /// Slots with rows.
    #[inline]
    pub(super) fn used(&self) -> Slots {
        Slots(!(equal(&self.0, EMPTY) | equal(&self.0, GONE)) & 0xFFFF)
    }

    /// The first slot without a row, and whether it is empty: a row in it takes away room.
    #[inline(always)]
    pub(super) fn first_free(&self) -> Option<(usize, bool)> {
        let free = equal(&self.0, EMPTY) | equal(&self.0, GONE);
        let slot = Slots(free).next()?;
        Some((slot, self.0[slot] == EMPTY))
    }

    #[inline(always)]
    pub(super) fn fill(&mut self, slot: usize, tag: u8) {
        self.0[slot] = tag;
    }

    /// Makes slots that were left empty.
    pub(super) fn forget_left(&mut self) {
        for tag in &mut self.0 {
            if *tag == GONE {
                *tag = EMPTY;
            }
        }
    }

    /// Takes a row away; whether its slot is empty now.
    pub(super) fn leave(&mut self, slot: usize) -> bool {
        let empty = self.has_empty();
        self.0[slot] = if empty { EMPTY } else { GONE };
        empty
    }
}

/// The positions of a byte, as bits.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
fn equal(tags: &[u8; WIDTH], tag: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: SSE2 is part of x86-64, and the load reads the sixteen bytes of the array.
    unsafe {
        let tags = _mm_loadu_si128(tags.as_ptr().cast());
        let equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(tag.cast_signed()));
        _mm_movemask_epi8(equal).cast_unsigned()
    }
}

/// The positions of a byte, as bits.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn equal(tags: &[u8; WIDTH], tag: u8) -> u32 {
    let bits = tags.iter().zip(0..);
    bits.fold(0, |found, (other, bit)| {
        found | u32::from(*other == tag) << bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_wherever_they_are() {
        let mut group = Group::EMPTY;
        assert!(group.has_empty() && group.used().next().is_none());
        assert_eq!(group.first_free(), Some((0, true)));
        for slot in 0..WIDTH {
            group.fill(slot, tag_of(slot as u64 / 2));
        }
        assert!(!group.has_empty());
        assert_eq!(group.first_free(), None);
        assert_eq!(group.used().count(), 16);
        // The tags of 0 and 1 are those of 2.
        assert_eq!(group.matching(2).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(group.matching(7).collect::<Vec<_>>(), [14, 15]);
        assert_eq!(group.used().from(14).collect::<Vec<_>>(), [14, 15]);
        assert!(!group.leave(9), "the group was full");
        assert_eq!(group.first_free(), Some((9, false)));
        assert!(!is_of_row(group.0[9]) && is_of_row(group.0[8]));
        assert_eq!(group.used().count(), 15);
    }
}
