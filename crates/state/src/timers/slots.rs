//! The slots of a timer queue, in parts that snapshots share.

use std::sync::Arc;

use crate::sharable::Sharable;

/// Slots of a part: as many as are copied in a few microseconds.
const PART: usize = 256;

/// A list by number that is copied part by part, where it changes after a snapshot.
#[derive(Debug, Clone)]
pub(super) struct Slots<S> {
    /// All but the last are full.
    parts: Vec<Sharable<Vec<S>>>,
    len: usize,
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            len: 0,
        }
    }
}

impl<S: Clone> Slots<S> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &S {
        let number = number as usize;
        &self.parts[number / PART].get()[number % PART]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut S {
        let number = number as usize;
        &mut self.parts[number / PART].own()[number % PART]
    }

    pub(super) fn push(&mut self, slot: S) {
        let at = self.len / PART;
        if at == self.parts.len() {
            let room = if at == 0 { 0 } else { PART };
            self.parts.push(Sharable::Owned(Vec::with_capacity(room)));
        }
        self.parts[at].own().push(slot);
        self.len += 1;
    }

    /// Removes all, keeps the memory of the first part.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.parts.truncate(1);
        self.parts.shrink_to(1);
        match self.parts.first_mut() {
            Some(Sharable::Owned(part)) => part.clear(),
            Some(shared) => *shared = Sharable::default(),
            None => {}
        }
    }

    /// Shares all parts.
    pub(super) fn share(&mut self) -> Vec<Arc<Vec<S>>> {
        self.parts.iter_mut().map(Sharable::share).collect()
    }
}

/// A slot of shared parts.
pub(super) fn shared_slot<S>(parts: &[Arc<Vec<S>>], number: u32) -> Option<&S> {
    let number = number as usize;
    parts.get(number / PART)?.get(number % PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_copied_where_they_change() {
        let mut slots = Slots::default();
        for number in 0..1_000 {
            slots.push(number);
        }
        let parts = slots.share();
        *slots.get_mut(300) = 0;
        slots.push(1_000);
        assert_eq!(
            (*slots.get(300), *slots.get(1_000), slots.len()),
            (0, 1_000, 1_001)
        );
        assert!((0..1_000).all(|number| shared_slot(&parts, number) == Some(&number)));
        assert_eq!(shared_slot(&parts, 1_000), None);
        let shared = slots.parts.iter().filter(|part| part.is_shared()).count();
        assert_eq!(shared, 2);
        slots.clear();
        slots.push(7);
        assert_eq!((*slots.get(0), slots.len()), (7, 1));
        slots.share();
        slots.clear();
        slots.push(8);
        assert_eq!((*slots.get(0), slots.len()), (8, 1));
    }
}
