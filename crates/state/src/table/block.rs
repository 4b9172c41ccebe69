//! Rows with hashes of one range, in slots that follow from the hash. All unsafe code of the table
//! that is about memory is in this file and in `memory.rs`.

use super::group::{Group, WIDTH, tag_of};
use super::memory::{Memory, View};

/// Slots of the smallest block with rows.
const FEWEST_SLOTS: usize = 4;

/// The slots of a block in a table of several: as many as can be copied in about ten microseconds,
/// the pause that a change may cost after a snapshot. Rows with pointers are copied one by one.
pub(super) const fn most_slots<K, V>() -> usize {
    let slots = match size_of::<(K, V)>() {
        0..=32 => 2048,
        33..=64 => 1024,
        65..=128 => 512,
        129..=256 => 256,
        257..=512 => 128,
        _ => 64,
    };
    if std::mem::needs_drop::<(K, V)>() && slots > 512 {
        512
    } else {
        slots
    }
}

/// Rows that so many slots may hold: the others end searches.
const fn room_of(slots: usize) -> usize {
    match slots {
        0..WIDTH => slots,
        WIDTH => 14,
        _ => slots / 16 * 13,
    }
}

/// Slots for so many rows.
fn slots_for(rows: usize) -> usize {
    let mut slots = FEWEST_SLOTS;
    while room_of(slots) < rows {
        slots *= 2;
    }
    slots
}

/// A hash table of fixed size, in groups of sixteen slots. A row is in the group that its hash says,
/// or behind it if all groups between were full when it came.
///
/// The bits of a hash, from the low end: eight for the tag, up to 24 for the group. The upper half
/// chooses the block.
pub(super) struct Block<K, V> {
    /// A row is initialised where the tag is that of a row, and only there.
    memory: Memory<K, V>,
    len: u32,
    /// Empty slots that may be filled.
    room: u32,
}

impl<K, V> Default for Block<K, V> {
    /// No rows, no slots, no memory.
    fn default() -> Self {
        Self {
            memory: Memory::default(),
            len: 0,
            room: 0,
        }
    }
}

impl<K, V> Block<K, V> {
    /// No rows; `slots` is a power of two, or 0.
    pub(super) fn with_slots(slots: usize) -> Self {
        Self {
            memory: Memory::new(slots),
            len: 0,
            // Blocks have less than 2^32 slots.
            room: room_of(slots) as u32,
        }
    }

    /// No rows, but room for so many.
    pub(super) fn for_rows(rows: usize) -> Self {
        Self::with_slots(slots_for(rows))
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline(always)]
    pub(super) fn slots(&self) -> usize {
        self.memory.slots()
    }

    /// Whether a row can be added.
    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Bytes it has allocated.
    pub(super) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// To search in it. Good until its memory changes: as long as the block is the same, rows may
    /// come and go.
    #[inline(always)]
    pub(super) fn view(&self) -> View<K, V> {
        self.memory.view()
    }

    /// The row of a slot whose tag is that of a row.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    fn used(&self, slot: usize) -> &(K, V) {
        debug_assert!(self.is_used(slot));
        // SAFETY: callers have seen the tag of a row, so the slot exists and is initialised.
        unsafe { &*self.memory.row(slot) }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    fn used_mut(&mut self, slot: usize) -> &mut (K, V) {
        debug_assert!(self.is_used(slot));
        // SAFETY: callers have seen the tag of a row, so the slot exists and is initialised.
        unsafe { &mut *self.memory.row(slot) }
    }

    /// The hash of the row of a slot whose tag is, or has just been, that of a row.
    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    fn hash(&self, slot: usize) -> u64 {
        // SAFETY: callers have seen the tag of a row, so the slot exists and has been written.
        unsafe { self.memory.hash(slot) }
    }

    /// Whether the slot exists and has a row.
    #[inline(always)]
    fn is_used(&self, slot: usize) -> bool {
        self.memory.is_used(slot)
    }

    /// The row of a slot, if it has one.
    #[inline(always)]
    pub(super) fn get(&self, slot: usize) -> Option<(u64, &K, &V)> {
        if !self.is_used(slot) {
            return None;
        }
        let (key, value) = self.used(slot);
        Some((self.hash(slot), key, value))
    }

    /// The value of a slot, if it has one.
    #[inline(always)]
    pub(super) fn value(&self, slot: usize) -> Option<&V> {
        self.is_used(slot).then(|| &self.used(slot).1)
    }

    /// The value of a slot, to be changed.
    #[inline(always)]
    pub(super) fn value_mut(&mut self, slot: usize) -> Option<&mut V> {
        if self.is_used(slot) {
            Some(&mut self.used_mut(slot).1)
        } else {
            None
        }
    }

    /// The row of a slot, its value to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<(u64, &K, &mut V)> {
        if !self.is_used(slot) {
            return None;
        }
        let hash = self.hash(slot);
        let (key, value) = self.used_mut(slot);
        Some((hash, key, value))
    }

    /// Adds a row whose key is not there, and returns its slot. There is room.
    #[inline(always)]
    pub(super) fn insert(&mut self, hash: u64, row: (K, V)) -> usize {
        assert!(self.has_room(), "room is made before a row is added");
        let mut at = self.memory.home(hash);
        let (slot, was_empty) = loop {
            // There is a free slot somewhere, as there is room.
            if let Some(free) = self.memory.group(at).first_free() {
                break free;
            }
            at = self.memory.wrap(at + 1);
        };
        let place = at * WIDTH + slot;
        self.memory.write(place, hash, row);
        self.memory.group_mut(at).fill(slot, tag_of(hash));
        self.len += 1;
        self.room -= u32::from(was_empty);
        place
    }

    /// The value of a row that has just been added.
    #[inline(always)]
    pub(super) fn insert_mut(&mut self, hash: u64, row: (K, V)) -> &mut V {
        let slot = self.insert(hash, row);
        &mut self.used_mut(slot).1
    }

    /// Takes out the row of a slot, if it has one.
    #[expect(unsafe_code, reason = "see SAFETY; ENGINE.md 4.1")]
    pub(super) fn take(&mut self, slot: usize) -> Option<(u64, K, V)> {
        if !self.is_used(slot) {
            return None;
        }
        let is_empty = self.memory.group_mut(slot / WIDTH).leave(slot % WIDTH);
        self.len -= 1;
        self.room += u32::from(is_empty);
        // SAFETY: the tag was that of a row, and has just been taken away: the row is read once.
        let (key, value) = unsafe { self.memory.row(slot).read() };
        Some((self.hash(slot), key, value))
    }

    /// The first slot with a row, from `first` on.
    #[inline]
    pub(super) fn next_used(&self, first: usize) -> Option<usize> {
        let mut at = first / WIDTH;
        let mut within = first % WIDTH;
        while at < self.memory.groups() {
            if let Some(slot) = self.memory.group(at).used().from(within).next() {
                return Some(at * WIDTH + slot);
            }
            at += 1;
            within = 0;
        }
        None
    }

    /// Slots with rows.
    fn used_slots(&self) -> impl Iterator<Item = usize> + use<'_, K, V> {
        let groups = 0..self.memory.groups();
        groups.flat_map(|at| {
            let used = self.memory.group(at).used();
            used.map(move |slot| at * WIDTH + slot)
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        self.used_slots().map(|slot| {
            let (key, value) = self.used(slot);
            (self.hash(slot), key, value)
        })
    }

    /// Removes the rows for which `keep` does not say so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u64, &K, &mut V) -> bool) {
        let mut at = 0;
        while let Some(slot) = self.next_used(at) {
            let hash = self.hash(slot);
            let (key, value) = self.used_mut(slot);
            if !keep(hash, key, value) {
                self.take(slot);
            }
            at = slot + 1;
        }
    }

    /// Removes all rows, keeps the slots.
    pub(super) fn clear(&mut self) {
        if std::mem::needs_drop::<(K, V)>() {
            self.retain(|_, _, _| false);
        }
        for at in 0..self.memory.groups() {
            *self.memory.group_mut(at) = Group::EMPTY;
        }
        self.len = 0;
        self.room = room_of(self.slots()) as u32;
    }

    /// Moves all rows into a block of so many slots, which is enough.
    pub(super) fn resize(&mut self, slots: usize) {
        let mut new = Self::with_slots(slots);
        self.move_into(&mut new);
        *self = new;
    }

    /// Moves all rows into another block, which has room.
    pub(super) fn move_into(&mut self, other: &mut Self) {
        let mut at = 0;
        while let Some(slot) = self.next_used(at) {
            if let Some((hash, key, value)) = self.take(slot) {
                other.insert(hash, (key, value));
            }
            at = slot + 1;
        }
    }

    /// How many slots a block gets that has no room in so many.
    pub(super) fn more_slots(slots: usize) -> usize {
        FEWEST_SLOTS.max(slots * 2)
    }

    /// The slots that the rows would fit into with as much again to spare.
    pub(super) fn roomy_slots(&self) -> usize {
        match self.len() {
            0 => 0,
            rows => slots_for(rows * 2),
        }
    }

    /// Whether most of the slots that were filled have been left again.
    pub(super) fn is_mostly_left(&self) -> bool {
        self.len() * 2 < room_of(self.slots())
    }

    /// Moves the rows whose hashes have this bit into a block of their own.
    pub(super) fn split_off(&mut self, bit: u64) -> Self {
        let has_bit = |hash: u64| hash & bit != 0;
        let hashes = self.used_slots().map(|slot| self.hash(slot));
        let moving = hashes.filter(|hash| has_bit(*hash)).count();
        if moving == 0 {
            return Self::default();
        }
        if moving == self.len() {
            return std::mem::take(self);
        }
        let mut other = Self::with_slots(self.slots());
        // Rows that are not where their hash says must be put anew: groups before them have room
        // now. They wait here, so that no group gets room again while they are put.
        let mut displaced = Vec::new();
        let mut at = 0;
        while let Some(slot) = self.next_used(at) {
            at = slot + 1;
            let hash = self.hash(slot);
            let stays = !has_bit(hash);
            if stays && self.memory.home(hash) == slot / WIDTH {
                continue;
            }
            if let Some((hash, key, value)) = self.take(slot) {
                if stays {
                    displaced.push((hash, (key, value)));
                } else {
                    other.insert(hash, (key, value));
                }
            }
        }
        self.forget_left();
        for (hash, row) in displaced {
            self.insert(hash, row);
        }
        other
    }

    /// Makes all slots that were left empty. No row may be outside the group that its hash says.
    fn forget_left(&mut self) {
        for at in 0..self.memory.groups() {
            self.memory.group_mut(at).forget_left();
        }
        self.room = (room_of(self.slots()) - self.len()) as u32;
    }

    /// All bits in which two of the hashes differ.
    pub(super) fn differing_bits(&self) -> u64 {
        let mut hashes = self.used_slots().map(|slot| self.hash(slot));
        let Some(first) = hashes.next() else {
            return 0;
        };
        hashes.fold(0, |bits, hash| bits | (hash ^ first))
    }

    /// Slots with rows, by a key of their hashes.
    pub(super) fn sorted_slots(&self, key: impl Fn(u64) -> u32) -> Vec<(u32, u32)> {
        let slots = self.used_slots();
        let mut slots: Vec<_> = slots
            .map(|slot| (key(self.hash(slot)), slot as u32))
            .collect();
        let first = slots.first().map(|(key, _)| *key);
        if slots.iter().any(|(key, _)| Some(*key) != first) {
            slots.sort_unstable();
        }
        slots
    }
}

/// The same rows in the same slots.
impl<K: Clone, V: Clone> Clone for Block<K, V> {
    fn clone(&self) -> Self {
        let mut copy = Self::with_slots(self.slots());
        for at in 0..self.memory.groups() {
            let group = self.memory.group(at);
            for slot in group.used() {
                // The copy has no tag of a row before it has the row: a clone may panic.
                let place = at * WIDTH + slot;
                let hash = self.hash(place);
                copy.memory.write(place, hash, self.used(place).clone());
                copy.memory.group_mut(at).fill(slot, tag_of(hash));
            }
            if group.used().next().is_some() || !group.has_empty() {
                *copy.memory.group_mut(at) = *group;
            }
        }
        copy.len = self.len;
        copy.room = self.room;
        copy
    }
}

impl<K, V> Drop for Block<K, V> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<(K, V)>() {
            let mut at = 0;
            while let Some(slot) = self.next_used(at) {
                self.take(slot);
                at = slot + 1;
            }
        }
    }
}
