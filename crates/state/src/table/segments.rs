//! The segments of a table: each has the rows with the hashes of one range, and is found by a
//! directory of views of their memory.

use std::sync::Arc;

use hashbrown::Equivalent;

use super::block::{Block, most_slots};
use super::directory::{Directory, Division, Span};
use super::memory::{Entry, View};
use crate::sharable::Sharable;

/// A table of one segment with up to this many slots keeps its memory when rows go; segments of
/// larger tables a sixteenth of it.
const SMALL: usize = 1024;

/// With fewer rows per segment than this, all rows are put into one segment.
const FEWEST_ROWS: usize = 4;

/// Tables of fewer segments are likely to be in the cache.
const PREFETCHED: usize = 16;

/// Snapshots may share its block.
pub(super) type Segment<K, V> = Sharable<Block<K, V>>;

pub(super) struct Segments<K, V> {
    /// Invariant: the entry of a hash has the number of the segment of that hash, and the view of
    /// its block's present memory. Whatever gives a block other memory, or shares it, calls `note`.
    directory: Directory<Entry<K, V>>,
    segments: Vec<Segment<K, V>>,
    /// What hashes they have; nothing, while there is but one segment and it has never been divided.
    spans: Vec<Span>,
}

/// Blocks that a snapshot shares, in the order of their hashes, with their spans.
pub(super) type SharedBlocks<K, V> = Vec<(Arc<Block<K, V>>, Span)>;

fn no_entry<K, V>() -> Entry<K, V> {
    Entry::new(View::none(), 0, false)
}

impl<K, V> Default for Segments<K, V> {
    fn default() -> Self {
        Self {
            directory: Directory::new(no_entry()),
            segments: Vec::new(),
            spans: Vec::new(),
        }
    }
}

impl<K, V> Segments<K, V> {
    /// Number of segments.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        let inside: usize = self.blocks().map(Block::bytes).sum();
        let segments = self.segments.capacity() * size_of::<Segment<K, V>>();
        let spans = self.spans.capacity() * size_of::<Span>();
        inside + self.directory.bytes() + segments + spans
    }

    /// The block of a segment.
    #[inline(always)]
    pub(super) fn block(&self, at: usize) -> Option<&Block<K, V>> {
        Some(self.segments.get(at)?.get())
    }

    /// All blocks, in order of their numbers.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block<K, V>> {
        self.segments.iter().map(Segment::get)
    }

    #[inline(always)]
    fn entry(&self, hash: u64) -> &Entry<K, V> {
        let entry = self.directory.entry(hash);
        debug_assert!(
            self.segments.get(entry.segment()).is_none_or(|segment| {
                segment.get().view() == entry.view() && segment.is_shared() == entry.is_shared()
            }),
            "entries are true"
        );
        entry
    }

    /// Segment and slot of a key.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn find<Q: Equivalent<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
    ) -> Option<(usize, usize)> {
        let entry = self.entry(hash);
        // SAFETY: the view is that of a block of ours (or of no slots), which is borrowed.
        let slot = unsafe { entry.view().find(hash, key) }?;
        Some((entry.segment(), slot))
    }

    /// Whether rows are likely to be outside of the cache.
    pub(super) fn is_large(&self) -> bool {
        self.len() >= PREFETCHED
    }

    /// Asks for the row that is likely to be that of a hash.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn prefetch(&self, hash: u64) {
        // SAFETY: as in `find`.
        if let Some(row) = unsafe { self.entry(hash).view().likely(hash) } {
            prefetch(row);
        }
    }

    /// Shares all blocks with a snapshot.
    pub(super) fn share(&mut self) -> (Division, SharedBlocks<K, V>) {
        let mut blocks = Vec::with_capacity(self.len());
        let mut last = None;
        for entry in self.directory.iter() {
            let at = entry.segment();
            let span = self.span(at);
            let Some(segment) = self.segments.get_mut(at) else {
                continue;
            };
            if last.replace(at) != Some(at) {
                blocks.push((segment.share(), span));
            }
        }
        self.note_all();
        (self.directory.division(), blocks)
    }

    /// Segments of shared blocks.
    pub(super) fn of(division: Division, blocks: &SharedBlocks<K, V>) -> Self {
        let shared = |(block, _): &(Arc<_>, Span)| Segment::Shared(Arc::clone(block));
        let mut segments = Self {
            directory: Directory::divided(division, no_entry()),
            segments: blocks.iter().map(shared).collect(),
            spans: blocks.iter().map(|(_, span)| *span).collect(),
        };
        segments.note_all();
        segments
    }

    /// A segment has other memory.
    fn note(&mut self, at: usize) {
        let segment = &self.segments[at];
        let entry = Entry::new(segment.get().view(), at, segment.is_shared());
        self.directory.set(self.span(at), entry);
    }

    fn span(&self, at: usize) -> Span {
        self.spans.get(at).copied().unwrap_or_default()
    }

    fn note_all(&mut self) {
        (0..self.segments.len()).for_each(|at| self.note(at));
    }

    /// The first segment, for all hashes.
    fn push_first(&mut self, segment: Segment<K, V>) {
        self.segments.reserve_exact(1);
        self.segments.push(segment);
        self.note(0);
    }

    fn push(&mut self, segment: Segment<K, V>, span: Span) {
        self.segments.push(segment);
        self.spans.push(span);
        self.note(self.segments.len() - 1);
    }

    /// Removes all rows, keeps the slots.
    pub(super) fn clear(&mut self) {
        for at in 0..self.segments.len() {
            match &mut self.segments[at] {
                Segment::Owned(block) => block.clear(),
                Segment::Shared(block) => {
                    let block = Block::with_slots(block.slots());
                    self.segments[at] = Segment::Owned(block);
                    self.note(at);
                }
            }
        }
    }

    /// Takes all segments out.
    pub(super) fn into_segments(self) -> std::vec::IntoIter<Segment<K, V>> {
        self.segments.into_iter()
    }
}

impl<K: Clone, V: Clone> Segments<K, V> {
    /// The block of a segment, to change rows; not to give it other memory.
    #[inline(always)]
    pub(super) fn own(&mut self, at: usize) -> &mut Block<K, V> {
        if self.segments[at].is_shared() {
            self.take_back(at);
        }
        self.segments[at].own()
    }

    /// The value of a key, to be changed; what `add` adds if it is not there.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn find_or_add<Q: Equivalent<K> + ?Sized>(
        &mut self,
        hash: u64,
        key: &Q,
        add: impl FnOnce(&mut Self) -> Option<&mut V>,
    ) -> Option<&mut V> {
        let entry = *self.entry(hash);
        let at = entry.segment();
        // SAFETY: the view is that of a block of ours (or of no slots), which is borrowed.
        let Some(slot) = (unsafe { entry.view().find(hash, key) }) else {
            return add(self);
        };
        if entry.is_shared() {
            self.take_back(at);
            return self.segments[at].own().value_mut(slot);
        }
        // SAFETY: the row has just been found in a block that nobody else has, and is borrowed as
        // long as the segments are.
        Some(unsafe { &mut (*entry.view().row(slot)).1 })
    }

    /// The value of a slot, to be changed, if there is one.
    #[inline(always)]
    pub(super) fn value_mut(&mut self, at: usize, slot: usize) -> Option<&mut V> {
        if let Segment::Shared(block) = self.segments.get(at)? {
            block.value(slot)?;
            self.take_back(at);
        }
        match self.segments.get_mut(at)? {
            Segment::Owned(block) => block.value_mut(slot),
            Segment::Shared(_) => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn take_back(&mut self, at: usize) {
        self.segments[at].own();
        self.note(at);
    }

    /// The segment for a row with that hash, which may be a new one: there is room.
    #[inline(always)]
    fn roomy(&mut self, hash: u64) -> usize {
        if self.directory.covers(hash) {
            let at = self.directory.entry(hash).segment();
            if self.block(at).is_some_and(Block::has_room) {
                return at;
            }
        }
        self.make_room(hash)
    }

    /// Adds a row whose key is not there.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, row: (K, V)) -> &mut V {
        let at = self.roomy(hash);
        self.own(at).insert_mut(hash, row)
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, hash: u64) -> usize {
        if self.segments.is_empty() {
            self.push_first(Segment::default());
        }
        if !self.directory.covers(hash) {
            self.widen(hash);
        }
        loop {
            let at = self.entry(hash).segment();
            if self.segments[at].get().has_room() {
                return at;
            }
            self.grow(at, hash);
        }
    }

    fn widen(&mut self, hash: u64) {
        let Some((deeper, new)) = self.directory.widen(hash, self.segments.len()) else {
            self.collapse();
            return;
        };
        for span in &mut self.spans {
            span.depth += deeper;
        }
        for span in new {
            self.push(Segment::default(), span);
        }
    }

    /// Makes more room in the segment of a hash: more slots, or half as many rows.
    fn grow(&mut self, at: usize, hash: u64) {
        let block = self.segments[at].get();
        let slots = block.slots();
        let slots = if block.is_mostly_left() {
            slots
        } else if slots < most_slots::<K, V>() || !self.divide(at, hash) {
            Block::<K, V>::more_slots(slots)
        } else {
            return;
        };
        self.segments[at].own().resize(slots);
        self.note(at);
    }

    /// Moves half of the rows of a segment into a new one; `false`: that would not help.
    fn divide(&mut self, at: usize, hash: u64) -> bool {
        let segments = self.segments.len();
        if segments == 1 {
            let block = self.segments[at].get();
            // The hash that is going to be added may be another one.
            let other = block.iter().next().map_or(hash, |(other, _, _)| other);
            let bits = block.differing_bits() | (hash ^ other);
            let Some(span) = self.directory.begin(hash, bits) else {
                return false;
            };
            self.spans = vec![span];
        }
        let Some((low, high)) = self.directory.divide(self.spans[at], segments) else {
            return false;
        };
        self.spans[at] = low;
        let other = self.segments[at].own().split_off(low.prefix ^ high.prefix);
        self.push(Segment::Owned(other), high);
        self.note(at);
        true
    }

    /// Gives memory back after rows of a segment have gone.
    #[inline]
    pub(super) fn shrink(&mut self, at: usize, rows: usize) {
        let block = self.segments[at].get();
        let is_single = self.segments.len() == 1;
        let is_small = block.slots() <= if is_single { SMALL } else { SMALL / 16 };
        if !is_small && block.len() * 8 < block.slots() {
            let slots = block.roomy_slots();
            if slots < block.slots() {
                self.segments[at].own().resize(slots);
                self.note(at);
            }
        }
        if !is_single && rows < self.segments.len() * FEWEST_ROWS {
            self.collapse();
        }
    }

    /// Puts all rows into one segment.
    #[cold]
    #[inline(never)]
    fn collapse(&mut self) {
        let rows = self.blocks().map(Block::len).sum::<usize>();
        let mut all = Block::for_rows(rows + 1);
        for mut segment in std::mem::take(self).segments {
            segment.own().move_into(&mut all);
        }
        self.push_first(Segment::Owned(all));
    }
}

/// Shared segments stay shared, all others are copied.
impl<K: Clone, V: Clone> Clone for Segments<K, V> {
    fn clone(&self) -> Self {
        let mut clone = Self {
            directory: Directory::divided(self.directory.division(), no_entry()),
            segments: self.segments.clone(),
            spans: self.spans.clone(),
        };
        clone.note_all();
        clone
    }
}

/// Asks for a cache line.
#[inline(always)]
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing: any address is good.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
impl<K, V> Segments<K, V> {
    pub(super) fn directory_bytes(&self) -> usize {
        self.directory.bytes()
    }

    /// How many segments snapshots may share.
    pub(super) fn shared(&self) -> usize {
        let shared = self.segments.iter();
        shared.filter(|segment| segment.is_shared()).count()
    }
}
