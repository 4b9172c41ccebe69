//! Whose state a handle opens: the current key's, and inside a namespace that namespace's.

use std::hash::Hash;

use flott_record::codec::{CodecError, encode};
use flott_record::hash::stable_hash;
use flott_record::{Key, Record};
use hashbrown::Equivalent;
use serde::{Deserialize, Serialize};

use crate::KeyedBackend;

/// The second part of a row's address: a namespace such as a window, or the key of a map state.
/// Values that are equal must serialise equally.
pub trait SubKey: Record + Hash + Eq {}

impl<T: Record + Hash + Eq> SubKey for T {}

/// A context through which the keyed state of the current key can be opened.
pub trait KeyedStateAccess {
    /// The key of the stream.
    type Key: Key;

    /// The state of the operator, with its current key.
    fn keyed_state(&mut self) -> &mut KeyedBackend<Self::Key>;
}

/// What handles open their state with. Every [`KeyedStateAccess`] is one, for state that belongs to
/// the key alone; [`InNamespace`] is one for state that belongs to a key and a namespace.
pub trait StateScope {
    /// The key of the stream.
    type Key: Key;
    /// The namespace; `()` if there is none.
    type Namespace: SubKey;

    /// The state of the operator and the namespace.
    fn scope(&mut self) -> InNamespace<'_, Self::Key, Self::Namespace>;
}

impl<C: KeyedStateAccess + ?Sized> StateScope for C {
    type Key = C::Key;
    type Namespace = ();

    #[inline(always)]
    fn scope(&mut self) -> InNamespace<'_, C::Key, ()> {
        InNamespace {
            backend: self.keyed_state(),
            namespace: &(),
        }
    }
}

/// The state of the current key inside a namespace: of a window, of a trigger.
///
/// ```
/// use flott_state::{InNamespace, KeyedBackend, ValueState, ValueStateDescriptor};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut state = KeyedBackend::<String>::new();
/// let count: ValueState<u64, i64> = state.value_state_in(ValueStateDescriptor::new("count"))?;
/// state.set_current_key(1, &"a".to_owned());
///
/// count.update(&mut InNamespace::new(&mut state, &10), 5);
/// assert_eq!(count.value(&mut InNamespace::new(&mut state, &10)), Some(&5));
/// assert_eq!(count.value(&mut InNamespace::new(&mut state, &20)), None);
/// # Ok(())
/// # }
/// ```
pub struct InNamespace<'a, K: Key, N> {
    pub(crate) backend: &'a mut KeyedBackend<K>,
    pub(crate) namespace: &'a N,
}

impl<'a, K: Key, N: SubKey> InNamespace<'a, K, N> {
    /// The backend's current key inside `namespace`.
    pub fn new(backend: &'a mut KeyedBackend<K>, namespace: &'a N) -> Self {
        Self { backend, namespace }
    }
}

impl<K: Key, N: SubKey> StateScope for InNamespace<'_, K, N> {
    type Key = K;
    type Namespace = N;

    #[inline(always)]
    fn scope(&mut self) -> InNamespace<'_, K, N> {
        InNamespace {
            backend: self.backend,
            namespace: self.namespace,
        }
    }
}

/// A key with its namespace, as rows own it. Without namespace it is as small as the key. Its layout
/// is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scoped<K, N> {
    pub(crate) key: K,
    namespace: N,
}

impl<K: Key, N: SubKey> Scoped<K, N> {
    /// The hash that its row is kept under.
    pub(crate) fn hash(&self) -> u64 {
        with_namespace(stable_hash(&self.key), &self.namespace)
    }
}

/// The address of a row: what is looked for, without owning it.
pub(crate) struct At<'a, K, N> {
    pub(crate) hash: u64,
    key: &'a K,
    namespace: &'a N,
}

impl<K, N> Clone for At<'_, K, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, N> Copy for At<'_, K, N> {}

impl<'a, K: Key, N: SubKey> At<'a, K, N> {
    #[inline(always)]
    pub(crate) fn new(hash: u64, key: &'a K, namespace: &'a N) -> Self {
        Self {
            hash: with_namespace(hash, namespace),
            key,
            namespace,
        }
    }

    /// The same key, whose own hash is `hash`, in another namespace.
    pub(crate) fn sibling(&self, hash: u64, namespace: &'a N) -> Self {
        Self::new(hash, self.key, namespace)
    }

    /// Appends the bytes that its row's key has.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode(self.key, out)?;
        encode(self.namespace, out)
    }

    pub(crate) fn own(&self) -> Scoped<K, N> {
        Scoped {
            key: self.key.clone(),
            namespace: self.namespace.clone(),
        }
    }
}

impl<K: Eq, N: Eq> Equivalent<Scoped<K, N>> for At<'_, K, N> {
    #[inline(always)]
    fn equivalent(&self, row: &Scoped<K, N>) -> bool {
        *self.key == row.key && *self.namespace == row.namespace
    }
}

/// The namespace moves a row within its key group only: the top half of the hash, which decides the
/// group, stays.
#[inline(always)]
pub(crate) fn with_namespace<N: SubKey>(hash: u64, namespace: &N) -> u64 {
    if const { size_of::<N>() == 0 } {
        hash
    } else {
        hash ^ (stable_hash(namespace) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flott_record::hash::key_group;

    #[test]
    fn an_address_has_the_bytes_of_its_row() {
        let (key, namespace) = ("key".to_owned(), (7_i64, Some(300_u32)));
        let at = At::new(stable_hash(&key), &key, &namespace);
        let (mut address, mut row) = (Vec::new(), Vec::new());
        at.encode(&mut address).unwrap();
        encode(&at.own(), &mut row).unwrap();
        assert_eq!(address, row);
    }

    #[test]
    fn a_namespace_costs_nothing_when_there_is_none_and_keeps_the_key_group() {
        assert_eq!(size_of::<Scoped<u64, ()>>(), size_of::<u64>());
        assert_eq!(with_namespace(42, &()), 42);
        for window in 0..1_000_i64 {
            let hash = stable_hash(&window);
            let inside = with_namespace(hash, &(window * 7, 1));
            assert_eq!(key_group(inside, 32_768), key_group(hash, 32_768));
        }
    }
}
