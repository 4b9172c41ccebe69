//! How the key of a row is found: computed, or borrowed from the row.

use flott_record::{Data, Key};

/// Finds the key of a row.
pub trait KeySelector<T>: Clone + Send + Sync + 'static {
    /// The key.
    type Key: Key;

    /// Calls `use_key` with the key of the row.
    fn with<R>(&self, row: &T, use_key: impl FnOnce(&Self::Key) -> R) -> R;
}

/// The key is computed: `|row| row.name.clone()`.
pub struct ByValue<F, K>(F, std::marker::PhantomData<fn() -> K>);

impl<F: Clone, K> Clone for ByValue<F, K> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1)
    }
}

impl<F, K> ByValue<F, K> {
    /// Keys computed by that function.
    pub fn new<T>(function: F) -> Self
    where
        F: Fn(&T) -> K,
    {
        Self(function, std::marker::PhantomData)
    }
}

impl<T: Data, K: Key, F: Fn(&T) -> K + Clone + Send + Sync + 'static> KeySelector<T>
    for ByValue<F, K>
{
    type Key = K;

    #[inline(always)]
    fn with<R>(&self, row: &T, use_key: impl FnOnce(&K) -> R) -> R {
        use_key(&(self.0)(row))
    }
}

/// The key is a part of the row: `|row| &row.name`. Nothing is copied until it is stored.
pub struct ByRef<F, K>(F, std::marker::PhantomData<fn() -> K>);

impl<F: Clone, K> Clone for ByRef<F, K> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1)
    }
}

impl<F, K> ByRef<F, K> {
    /// Keys borrowed by that function.
    pub fn new<T>(function: F) -> Self
    where
        F: Fn(&T) -> &K,
    {
        Self(function, std::marker::PhantomData)
    }
}

impl<T: Data, K: Key, F: Fn(&T) -> &K + Clone + Send + Sync + 'static> KeySelector<T>
    for ByRef<F, K>
{
    type Key = K;

    #[inline(always)]
    fn with<R>(&self, row: &T, use_key: impl FnOnce(&K) -> R) -> R {
        use_key((self.0)(row))
    }
}
