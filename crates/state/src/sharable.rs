//! Something that snapshots may share: it is copied before it changes, if they still have it.

use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Sharable<T> {
    Owned(T),
    /// Snapshots have it, or had it.
    Shared(Arc<T>),
}

impl<T: Default> Default for Sharable<T> {
    fn default() -> Self {
        Self::Owned(T::default())
    }
}

impl<T: Default> Sharable<T> {
    #[inline(always)]
    pub(crate) fn get(&self) -> &T {
        match self {
            Self::Owned(value) => value,
            Self::Shared(value) => value,
        }
    }

    #[inline(always)]
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// For a snapshot. What the value points to stays where it is.
    pub(crate) fn share(&mut self) -> Arc<T> {
        let shared = match std::mem::take(self) {
            Self::Owned(value) => Arc::new(value),
            Self::Shared(value) => value,
        };
        *self = Self::Shared(Arc::clone(&shared));
        shared
    }
}

impl<T: Default + Clone> Sharable<T> {
    /// To be changed; if it was shared, it is another one perhaps.
    #[inline(always)]
    pub(crate) fn own(&mut self) -> &mut T {
        if self.is_shared() {
            self.take_back();
        }
        match self {
            Self::Owned(value) => value,
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
        let value = match Arc::get_mut(shared) {
            Some(value) => std::mem::take(value),
            None => T::clone(shared),
        };
        *self = Self::Owned(value);
    }

    pub(crate) fn into_owned(mut self) -> T {
        std::mem::take(self.own())
    }
}

/// What is shared stays shared.
impl<T: Clone> Clone for Sharable<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Owned(value) => Self::Owned(value.clone()),
            Self::Shared(value) => Self::Shared(Arc::clone(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_copied_only_if_somebody_has_it() {
        let mut list = Sharable::Owned(vec![1]);
        let place = list.get().as_ptr();
        let snapshot = list.share();
        assert!(list.is_shared() && std::ptr::eq(snapshot.as_ptr(), place));
        list.own().push(2);
        assert_eq!((list.get().len(), snapshot.len()), (2, 1));

        let place = list.get().as_ptr();
        drop(list.share());
        assert!(std::ptr::eq(list.own().as_ptr(), place));
        assert_eq!(list.into_owned(), [1, 2]);
    }
}
