//! A block that snapshots may share.

use std::sync::Arc;

use super::block::Block;

pub(super) enum Segment<K, V> {
    Owned(Block<K, V>),
    /// Snapshots hold it, or held it: copied before the next change, or taken back.
    Shared(Arc<Block<K, V>>),
}

impl<K, V> Default for Segment<K, V> {
    fn default() -> Self {
        Self::Owned(Block::default())
    }
}

impl<K, V> Segment<K, V> {
    #[inline(always)]
    pub(super) fn block(&self) -> &Block<K, V> {
        match self {
            Self::Owned(block) => block,
            Self::Shared(block) => block,
        }
    }

    #[inline(always)]
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// The block, for a snapshot. Its memory stays where it is.
    pub(super) fn share(&mut self) -> Arc<Block<K, V>> {
        let shared = match std::mem::take(self) {
            Self::Owned(block) => Arc::new(block),
            Self::Shared(block) => block,
        };
        *self = Self::Shared(Arc::clone(&shared));
        shared
    }

    /// Removes all rows, keeps the slots; whether they are in other memory now.
    pub(super) fn clear(&mut self) -> bool {
        match self {
            Self::Owned(block) => block.clear(),
            Self::Shared(block) => {
                *self = Self::Owned(Block::with_slots(block.slots()));
                return true;
            }
        }
        false
    }
}

impl<K: Clone, V: Clone> Segment<K, V> {
    /// The block, to be changed; if it is shared, in other memory perhaps.
    #[inline(always)]
    pub(super) fn own(&mut self) -> &mut Block<K, V> {
        if self.is_shared() {
            self.take_back();
        }
        match self {
            Self::Owned(block) => block,
            Self::Shared(_) => unreachable!("it has just been taken back"),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_back(&mut self) {
        let Self::Shared(shared) = self else {
            return;
        };
        // A clone that panics leaves everything as it was.
        let block = match Arc::get_mut(shared) {
            Some(block) => std::mem::take(block),
            None => Block::clone(shared),
        };
        *self = Self::Owned(block);
    }

    pub(super) fn into_block(mut self) -> Block<K, V> {
        std::mem::take(self.own())
    }
}

impl<K: Clone, V: Clone> Clone for Segment<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Owned(block) => Self::Owned(block.clone()),
            Self::Shared(block) => Self::Shared(Arc::clone(block)),
        }
    }
}
