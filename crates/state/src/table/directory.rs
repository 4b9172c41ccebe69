//! Which segment of a table has the rows of a hash: extendible hashing over the top bits.
//!
//! Top bits, so that a segment has the hashes of one range, and a range is a range of key groups.
//! The keys of a subtask have their very first bits in common, because those decide about the
//! subtask: they are skipped.

use std::ops::Range;

/// Most bits that are skipped: if rows come that do not have them, the directory grows as much.
const MOST_SKIPPED: u32 = 16;
/// Hashes are divided by their upper half only: the lower one chooses the slot.
const DIVIDING_BITS: u32 = 32;
/// A directory may have this many entries, and more only for so many segments each.
const SMALL: usize = 64;
const MOST_PER_SEGMENT: usize = 16;

/// The hashes of a segment: those that begin as `prefix` does, for the skipped bits and `depth` more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) prefix: u64,
    pub(super) depth: u32,
}

/// How a directory divides the hashes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Division {
    /// How many bits choose an entry.
    depth: u32,
    /// Bits before those, which all hashes have in common.
    skip: u32,
    /// A hash, and the mask of the bits that all others have too.
    prefix: u64,
    mask: u64,
}

/// Finds an entry for each hash; what entries are is its owner's business. Those of one segment are
/// equal and stand together, in the order of the hashes.
#[derive(Debug, Clone)]
pub(super) struct Directory<E> {
    /// The only entry, while `entries` is empty.
    only: E,
    /// Two to the power of the depth.
    entries: Vec<E>,
    /// How far the bits of an index are to be moved.
    shift: u32,
    division: Division,
}

impl<E: Copy> Directory<E> {
    /// One entry for all hashes.
    pub(super) fn new(only: E) -> Self {
        Self {
            only,
            entries: Vec::new(),
            shift: 0,
            division: Division::default(),
        }
    }

    /// As another one was divided. All entries are to be set.
    pub(super) fn divided(division: Division, any: E) -> Self {
        let mut directory = Self {
            division,
            ..Self::new(any)
        };
        if division.depth > 0 {
            directory.entries = vec![any; 1 << division.depth];
        }
        directory.note_shift();
        directory
    }

    pub(super) fn division(&self) -> Division {
        self.division
    }

    /// The entry of a hash. Of one that is not covered, that of another hash.
    #[inline(always)]
    pub(super) fn entry(&self, hash: u64) -> &E {
        let index = (hash >> self.shift) as usize & self.entries.len().wrapping_sub(1);
        self.entries.get(index).unwrap_or(&self.only)
    }

    fn note_shift(&mut self) {
        // Less than 64 where there are several entries.
        self.shift = (64 - self.division.skip - self.division.depth) % 64;
    }

    /// Whether rows with this hash may be added.
    #[inline(always)]
    pub(super) fn covers(&self, hash: u64) -> bool {
        (hash ^ self.division.prefix) & self.division.mask == 0
    }

    /// Bytes it has allocated.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<E>()
    }

    /// The entries in the order of hashes; the same one comes several times.
    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        let only = self.entries.is_empty().then_some(&self.only);
        only.into_iter().chain(&self.entries)
    }

    /// Sets the entries of a segment.
    pub(super) fn set(&mut self, span: Span, entry: E) {
        if self.entries.is_empty() {
            self.only = entry;
            return;
        }
        let range = self.range(span);
        self.entries[range].fill(entry);
    }

    fn range(&self, span: Span) -> Range<usize> {
        let length = 1 << (self.division.depth - span.depth);
        let first = (span.prefix >> self.shift) as usize & (self.entries.len() - 1);
        let first = first & !(length - 1);
        first..first + length
    }

    /// Before the only segment is divided for the first time: skips the bits that all its hashes
    /// have in common. Returns its span; `None`: dividing cannot help.
    pub(super) fn begin(&mut self, hash: u64, differing_bits: u64) -> Option<Span> {
        let common = differing_bits.leading_zeros();
        if common >= DIVIDING_BITS {
            return None;
        }
        let skip = common.min(MOST_SKIPPED);
        let mask = !(u64::MAX >> skip);
        self.division = Division {
            depth: 0,
            skip,
            prefix: hash,
            mask,
        };
        Some(Span {
            prefix: hash & mask,
            depth: 0,
        })
    }

    /// Divides the segment of a span into two: returns their spans. Entries are still those of the
    /// old segment. `None`: the directory would become too large for so many segments.
    pub(super) fn divide(&mut self, span: Span, segments: usize) -> Option<(Span, Span)> {
        let Division { skip, depth, .. } = self.division;
        if skip + span.depth >= DIVIDING_BITS {
            return None;
        }
        if span.depth == depth {
            let length = self.entries.len().max(1) * 2;
            if length > Self::most(segments) {
                return None;
            }
            self.entries = if depth == 0 {
                vec![self.only; 2]
            } else {
                self.entries.iter().flat_map(|entry| [*entry; 2]).collect()
            };
            self.division.depth += 1;
            self.note_shift();
        }
        let low = Span {
            prefix: span.prefix,
            depth: span.depth + 1,
        };
        let high = Span {
            prefix: span.prefix | 1 << (63 - skip - span.depth),
            ..low
        };
        Some((low, high))
    }

    fn most(segments: usize) -> usize {
        SMALL.max(segments * MOST_PER_SEGMENT)
    }

    /// Makes room for a hash that is not covered: returns by how much segments are deeper now, and
    /// the spans of the new ones, whose entries are to be set. `None`: the directory would become
    /// too large for so many segments.
    pub(super) fn widen(&mut self, hash: u64, segments: usize) -> Option<(u32, Vec<Span>)> {
        let old = self.division;
        let skip = (hash ^ old.prefix).leading_zeros();
        let deeper = old.skip - skip;
        let old_length = self.entries.len().max(1);
        let length = old_length << deeper;
        if length > Self::most(segments) {
            return None;
        }
        // What the bits that are no longer skipped are for the segments so far.
        let place = ((old.prefix << skip) >> (64 - deeper)) as usize;
        let mut entries = vec![self.only; length];
        let inside = &mut entries[place * old_length..][..old_length];
        if !self.entries.is_empty() {
            inside.copy_from_slice(&self.entries);
        }
        self.entries = entries;
        self.division = Division {
            depth: old.depth + deeper,
            skip,
            prefix: old.prefix,
            mask: !(u64::MAX >> skip),
        };
        self.note_shift();
        let new = (0..deeper).map(|level| {
            // The other half where the old segments took one.
            let bit = 1 << (63 - skip - level);
            let kept = !(bit - 1);
            Span {
                prefix: (old.prefix & kept) ^ bit,
                depth: level + 1,
            }
        });
        Some((deeper, new.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(directory: &Directory<u32>, tops: &[u64]) -> Vec<u32> {
        let hashes = tops.iter().map(|top| top << 56);
        hashes.map(|hash| *directory.entry(hash)).collect()
    }

    /// Divides a segment, the new one gets that number.
    fn divide(directory: &mut Directory<u32>, span: Span, new: u32) -> (Span, Span) {
        let (low, high) = directory.divide(span, 8).unwrap();
        directory.set(high, new);
        (low, high)
    }

    #[test]
    fn segments_are_ranges_of_hashes() {
        let mut directory = Directory::new(0);
        let tops = [0x12, 0x15, 0x18, 0x1F];
        let all = directory.begin(0x12 << 56, 0x0D << 56).unwrap();
        assert_eq!(entries(&directory, &tops), [0; 4]);
        let (low, high) = divide(&mut directory, all, 1);
        assert_eq!(entries(&directory, &tops), [0, 0, 1, 1]);
        assert_eq!(high.prefix, 0x18 << 56);
        divide(&mut directory, high, 2);
        let (low, high) = divide(&mut directory, low, 3);
        assert_eq!(entries(&directory, &tops), [0, 3, 1, 2]);
        assert_eq!(directory.iter().copied().collect::<Vec<_>>(), [0, 3, 1, 2]);
        divide(&mut directory, low, 4);
        directory.set(high, 5);
        let all = directory.iter().copied().collect::<Vec<_>>();
        assert_eq!(all, [0, 4, 5, 5, 1, 1, 2, 2]);
        assert!(directory.covers(0x10 << 56) && !directory.covers(0x20 << 56));
    }

    #[test]
    fn what_was_skipped_can_be_taken_back() {
        let mut directory = Directory::new(0);
        let all = directory.begin(0x12 << 56, 0x0D << 56).unwrap();
        divide(&mut directory, all, 1);
        let (deeper, new) = directory.widen(0x70 << 56, 2).unwrap();
        assert_eq!(deeper, 3);
        // The first bit is still skipped; then 1, 01, and 000 are new.
        let spans = [(0x40_u64, 1), (0x20, 2), (0x00, 3)];
        let spans = spans.map(|(top, depth)| Span {
            prefix: top << 56,
            depth,
        });
        assert_eq!(new, spans);
        for (span, entry) in new.into_iter().zip(2..) {
            directory.set(span, entry);
        }
        let tops = [0x12, 0x1F, 0x20, 0x3F, 0x40, 0x70, 0x0F];
        assert_eq!(entries(&directory, &tops), [0, 1, 3, 3, 2, 2, 4]);
        assert!(!directory.covers(0x80 << 56));
    }

    #[test]
    fn it_stays_in_proportion() {
        let mut directory = Directory::new(0);
        let lower = directory.begin(0, u64::from(u32::MAX));
        assert_eq!(lower, None, "the lower half does not divide");
        let mut span = directory.begin(0, 1 << 32).unwrap();
        let mut divisions = 0;
        while let Some((low, _)) = directory.divide(span, 1) {
            span = low;
            divisions += 1;
        }
        assert_eq!(divisions, 6);
        assert!(directory.widen(u64::MAX, 2).is_none());
    }
}
