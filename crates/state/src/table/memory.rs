//! The memory of a block: tags, rows and hashes in one allocation.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

use hashbrown::Equivalent;

use super::group::{Group, WIDTH, is_of_row, tag_of};

/// The tags of no slots: a search in them ends at once.
static NO_SLOTS: Group = Group::EMPTY;

const TOO_LARGE: &str = "a block is smaller than the address space";

/// Where the tags and rows of a block are, to search in them.
pub(super) struct View<K, V> {
    /// Groups of tags, then rows, then hashes; or `NO_SLOTS`. Tags are always initialised.
    start: NonNull<Group>,
    /// Groups less one: there is always a group to read.
    mask: u32,
    rows: PhantomData<*const (K, V)>,
}

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for View<K, V> {}

impl<K, V> PartialEq for View<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start && self.mask == other.mask
    }
}

// SAFETY: it reaches rows, as a reference to them does, for those who promise that they may.
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
unsafe impl<K: Send + Sync, V: Send + Sync> Send for View<K, V> {}

// SAFETY: as above.
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
unsafe impl<K: Sync, V: Sync> Sync for View<K, V> {}

impl<K, V> View<K, V> {
    /// Of no slots.
    pub(super) fn none() -> Self {
        Self {
            start: NonNull::from(&NO_SLOTS),
            mask: 0,
            rows: PhantomData,
        }
    }

    /// Where rows begin, in bytes.
    #[inline(always)]
    fn rows_at(self) -> usize {
        let groups = self.mask as usize + 1;
        (groups * size_of::<Group>()).next_multiple_of(align_of::<(K, V)>())
    }

    /// The place of a row, which exists if the slot does.
    #[inline(always)]
    pub(super) fn row(self, slot: usize) -> *mut (K, V) {
        let start = self.start.as_ptr().cast::<u8>();
        let rows = start.wrapping_add(self.rows_at());
        rows.cast::<(K, V)>().wrapping_add(slot)
    }

    /// The number of a group, counted round and round.
    #[inline(always)]
    fn wrap(self, group: usize) -> usize {
        group & self.mask as usize
    }

    /// The group where a search begins.
    #[inline(always)]
    fn home(self, hash: u64) -> usize {
        (hash >> 8) as u32 as usize
    }

    /// A group, counted round and round.
    ///
    /// # Safety
    /// As [`find`](Self::find), as long as the reference lives.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    unsafe fn group<'a>(self, at: usize) -> &'a Group {
        // SAFETY: wrapped, it is one of the groups, which are initialised.
        unsafe { self.start.add(self.wrap(at)).as_ref() }
    }

    /// The slot of a key.
    ///
    /// # Safety
    /// The memory lives, rows are initialised where the tags are those of rows, and nothing of it
    /// is being changed.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) unsafe fn find<Q: Equivalent<K> + ?Sized>(
        self,
        hash: u64,
        key: &Q,
    ) -> Option<usize> {
        let tag = tag_of(hash);
        let mut at = self.home(hash);
        loop {
            // SAFETY: promised by the caller.
            let group = unsafe { self.group(at) };
            for slot in group.matching(tag) {
                let slot = self.wrap(at) * WIDTH + slot;
                // SAFETY: the tag is that of a row.
                let row = unsafe { &*self.row(slot) };
                if key.equivalent(&row.0) {
                    return Some(slot);
                }
            }
            if group.has_empty() {
                return None;
            }
            at += 1;
        }
    }

    /// The place of the row that is likely to be that of a hash.
    ///
    /// # Safety
    /// As [`find`](Self::find).
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) unsafe fn likely(self, hash: u64) -> Option<*const (K, V)> {
        let at = self.home(hash);
        // SAFETY: promised by the caller.
        let slot = unsafe { self.group(at) }.matching(tag_of(hash)).next()?;
        Some(self.row(self.wrap(at) * WIDTH + slot))
    }
}

/// Set in the number of a segment that a snapshot may have too.
const SHARED: u32 = 1 << 31;

/// A view, which segment it is of, and whether that is shared: in sixteen bytes.
pub(super) struct Entry<K, V> {
    start: NonNull<Group>,
    mask: u32,
    segment: u32,
    rows: PhantomData<*const (K, V)>,
}

impl<K, V> Entry<K, V> {
    pub(super) fn new(view: View<K, V>, segment: usize, is_shared: bool) -> Self {
        debug_assert!(segment < SHARED as usize, "segments have 2048 slots");
        let View { start, mask, rows } = view;
        let shared = if is_shared { SHARED } else { 0 };
        Self {
            start,
            mask,
            segment: segment as u32 | shared,
            rows,
        }
    }

    #[inline(always)]
    pub(super) fn segment(&self) -> usize {
        (self.segment & !SHARED) as usize
    }

    #[inline(always)]
    pub(super) fn is_shared(&self) -> bool {
        self.segment & SHARED != 0
    }

    #[inline(always)]
    pub(super) fn view(&self) -> View<K, V> {
        View {
            start: self.start,
            mask: self.mask,
            rows: PhantomData,
        }
    }
}

impl<K, V> Clone for Entry<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Entry<K, V> {}

// SAFETY: as `View`.
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Entry<K, V> {}

// SAFETY: as `View`.
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
unsafe impl<K: Sync, V: Sync> Sync for Entry<K, V> {}

/// Which rows are initialised is the business of its owner: dropped, it drops none.
pub(super) struct Memory<K, V> {
    /// What `layout` says, or `NO_SLOTS`.
    start: NonNull<Group>,
    /// Groups less one.
    mask: u32,
    slots: u32,
    owned: PhantomData<(K, V)>,
}

// SAFETY: it owns its rows, as a `Vec` does; the tags of `NO_SLOTS` are never written.
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
unsafe impl<K: Send, V: Send> Send for Memory<K, V> {}

// SAFETY: shared, it gives out references and pointers to be read only.
#[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
unsafe impl<K: Sync, V: Sync> Sync for Memory<K, V> {}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self {
            start: NonNull::from(&NO_SLOTS),
            mask: 0,
            slots: 0,
            owned: PhantomData,
        }
    }
}

impl<K, V> Memory<K, V> {
    /// All slots empty; there is a power of two of them, or none.
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn new(slots: usize) -> Self {
        if slots == 0 {
            return Self::default();
        }
        assert!(slots.is_power_of_two(), "slots are chosen by masks");
        let groups = slots.div_ceil(WIDTH);
        let mut memory = Self {
            start: NonNull::from(&NO_SLOTS),
            // Less than `slots`.
            mask: (groups - 1) as u32,
            slots: u32::try_from(slots).expect(TOO_LARGE),
            owned: PhantomData,
        };
        let layout = memory.layout();
        // SAFETY: the layout has a size, that of a group at least.
        let start = unsafe { alloc(layout) }.cast::<Group>();
        let Some(start) = NonNull::new(start) else {
            // Nothing is to be given back.
            memory.slots = 0;
            handle_alloc_error(layout);
        };
        for at in 0..groups {
            // SAFETY: the groups are the first part of the layout.
            unsafe { start.add(at).write(Group::EMPTY) };
        }
        memory.start = start;
        memory
    }

    /// Where hashes begin, in bytes.
    #[inline(always)]
    fn hashes_at(&self) -> usize {
        let behind = self.view().rows_at() + self.slots() * size_of::<(K, V)>();
        behind.next_multiple_of(align_of::<u64>())
    }

    fn layout(&self) -> Layout {
        let align = align_of::<Group>()
            .max(align_of::<(K, V)>())
            .max(align_of::<u64>());
        let rows = self
            .slots()
            .checked_mul(size_of::<(K, V)>() + size_of::<u64>());
        // Tags and gaps take less than this.
        let fits = rows.and_then(|rows| rows.checked_add(self.slots() * 2 + 4 * align));
        fits.expect(TOO_LARGE);
        let size = self.hashes_at() + self.slots() * size_of::<u64>();
        Layout::from_size_align(size, align).expect(TOO_LARGE)
    }

    /// To search in it.
    #[inline(always)]
    pub(super) fn view(&self) -> View<K, V> {
        View {
            start: self.start,
            mask: self.mask,
            rows: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// How many groups there are; none, if there are no slots.
    #[inline(always)]
    pub(super) fn groups(&self) -> usize {
        self.slots().div_ceil(WIDTH)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        match self.slots {
            0 => 0,
            _ => self.layout().size(),
        }
    }

    /// The group where a search begins.
    #[inline(always)]
    pub(super) fn home(&self, hash: u64) -> usize {
        self.wrap(self.view().home(hash))
    }

    /// The number of a group, counted round and round.
    #[inline(always)]
    pub(super) fn wrap(&self, group: usize) -> usize {
        self.view().wrap(group)
    }

    /// A group, counted round and round.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn group(&self, at: usize) -> &Group {
        // SAFETY: the memory is borrowed.
        unsafe { self.view().group(at) }
    }

    /// Whether the slot exists and has the tag of a row.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn is_used(&self, slot: usize) -> bool {
        // Small blocks have more tags than slots, but none of a row there.
        slot < (self.mask as usize + 1) * WIDTH && {
            // SAFETY: groups follow each other without gaps, so this is the tag of the slot.
            let tag = unsafe { self.start.cast::<u8>().add(slot).read() };
            is_of_row(tag)
        }
    }

    /// A group, to be changed. There are slots.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn group_mut(&mut self, at: usize) -> &mut Group {
        assert!(self.slots > 0, "nobody changes the tags of no slots");
        // SAFETY: wrapped, it is one of the groups, which are initialised and not `NO_SLOTS`.
        unsafe { self.start.add(self.wrap(at)).as_mut() }
    }

    /// The place of a row, which exists if the slot does.
    #[inline(always)]
    pub(super) fn row(&self, slot: usize) -> *mut (K, V) {
        debug_assert!(slot < self.slots());
        self.view().row(slot)
    }

    #[inline(always)]
    fn hash_at(&self, slot: usize) -> *mut u64 {
        let start = self.start.as_ptr().cast::<u8>();
        let hashes = start.wrapping_add(self.hashes_at());
        hashes.cast::<u64>().wrapping_add(slot)
    }

    /// The hash of a row.
    ///
    /// # Safety
    /// The slot exists, and a row has been [written](Self::write) into it.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) unsafe fn hash(&self, slot: usize) -> u64 {
        debug_assert!(slot < self.slots());
        // SAFETY: the hash has been written with the row.
        unsafe { self.hash_at(slot).read() }
    }

    /// Puts a row and its hash into a slot, without dropping what is there.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn write(&mut self, slot: usize, hash: u64, row: (K, V)) {
        assert!(slot < self.slots(), "a row has a slot");
        // SAFETY: the slot exists.
        unsafe {
            self.row(slot).write(row);
            self.hash_at(slot).write(hash);
        }
    }
}

impl<K, V> Drop for Memory<K, V> {
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    fn drop(&mut self) {
        if self.slots > 0 {
            let layout = self.layout();
            // SAFETY: it has been allocated with this layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}
