//! A map that iterates in the order of insertion: small ones are a list, larger ones have an index.

use std::fmt;
use std::marker::PhantomData;

use flott_record::hash::stable_hash;
use hashbrown::HashTable;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::SubKey;

/// Up to so many entries a search through the list is faster than an index, and far smaller.
const INDEXED_FROM: usize = 9;

/// Entries by key, in the order in which their keys came. A key that was removed and comes again
/// is at the end.
#[derive(Debug, Clone)]
pub(crate) struct OrderedMap<K, V> {
    /// With an index: holes where entries were removed, as many as entries at most.
    entries: Vec<Option<(K, V)>>,
    len: usize,
    index: Option<Box<HashTable<u32>>>,
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            len: 0,
            index: None,
        }
    }
}

fn key_at<K, V>(entries: &[Option<(K, V)>], slot: u32) -> Option<&K> {
    entries[slot as usize].as_ref().map(|(key, _)| key)
}

impl<K: SubKey, V> OrderedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn find(&self, key: &K) -> Option<usize> {
        match &self.index {
            None => self
                .entries
                .iter()
                .position(|entry| entry.as_ref().is_some_and(|(known, _)| known == key)),
            Some(index) => index
                .find(stable_hash(key), |slot| {
                    key_at(&self.entries, *slot) == Some(key)
                })
                .map(|slot| *slot as usize),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let slot = self.find(key)?;
        self.entries[slot].as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.find(key)?;
        self.entries[slot].as_mut().map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(present) = self.get_mut(&key) {
            return Some(std::mem::replace(present, value));
        }
        self.push(key, value);
        None
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let slot = match self.find(&key) {
            Some(slot) => slot,
            None => self.push(key, value()),
        };
        let entry = self.entries[slot].as_mut();
        &mut entry
            .expect("a slot that was found or filled has an entry")
            .1
    }

    /// Adds a key that is not there.
    fn push(&mut self, key: K, value: V) -> usize {
        let slot = self.entries.len();
        if let Some(index) = &mut self.index {
            let entries = &self.entries;
            let number = u32::try_from(slot).expect("a map has less than 4 billion slots");
            index.insert_unique(stable_hash(&key), number, |slot| {
                key_at(entries, *slot).map_or(0, stable_hash)
            });
        }
        self.entries.push(Some((key, value)));
        self.len += 1;
        if self.index.is_none() && self.len >= INDEXED_FROM {
            self.rebuild();
            return self.entries.len() - 1;
        }
        slot
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.find(key)?;
        let (_, value) = match &mut self.index {
            None => self.entries.remove(slot),
            Some(index) => {
                let number = u32::try_from(slot).expect("a map has less than 4 billion slots");
                if let Ok(entry) = index.find_entry(stable_hash(key), |other| *other == number) {
                    entry.remove();
                }
                self.entries[slot].take()
            }
        }?;
        self.len -= 1;
        if self.entries.len() > 2 * self.len + INDEXED_FROM {
            self.rebuild();
        }
        Some(value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let before = self.len;
        for entry in &mut self.entries {
            if entry.as_mut().is_some_and(|(key, value)| !keep(key, value)) {
                *entry = None;
                self.len -= 1;
            }
        }
        if self.len < before {
            self.rebuild();
        }
    }

    /// Closes the holes, and makes the index anew if there are enough entries for one.
    fn rebuild(&mut self) {
        self.entries.retain(Option::is_some);
        if self.entries.capacity() > 4 * self.len + INDEXED_FROM {
            self.entries.shrink_to(2 * self.len);
        }
        if self.len < INDEXED_FROM {
            self.index = None;
            return;
        }
        let mut index = HashTable::with_capacity(self.len);
        for (entry, slot) in self.entries.iter().zip(0_u32..) {
            let hash = entry.as_ref().map_or(0, |(key, _)| stable_hash(key));
            index.insert_unique(hash, slot, |slot| {
                key_at(&self.entries, *slot).map_or(0, stable_hash)
            });
        }
        self.index = Some(Box::new(index));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.entries.iter())
    }
}

pub(crate) struct Iter<'a, K, V>(std::slice::Iter<'a, Option<(K, V)>>);

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0
            .find_map(Option::as_ref)
            .map(|(key, value)| (key, value))
    }
}

/// As any map, in the order of the entries.
impl<K: SubKey, V: Serialize> Serialize for OrderedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: SubKey, V: Deserialize<'de>> Deserialize<'de> for OrderedMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<fn() -> (K, V)>);

impl<'de, K: SubKey, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
    type Value = OrderedMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = OrderedMap::default();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u8, u32),
        GetOrInsert(u8, u32),
        Remove(u8),
        RemoveFirst,
        Retain(u8),
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0..40_u8, any::<u32>()).prop_map(|(key, value)| Op::Insert(key, value)),
            2 => (0..40_u8, any::<u32>()).prop_map(|(key, value)| Op::GetOrInsert(key, value)),
            4 => (0..40_u8).prop_map(Op::Remove),
            3 => Just(Op::RemoveFirst),
            1 => (2..5_u8).prop_map(Op::Retain),
            1 => Just(Op::Clear),
        ]
    }

    fn step(map: &mut OrderedMap<u8, u32>, oracle: &mut Vec<(u8, u32)>, op: Op) {
        let known = |oracle: &[(u8, u32)], key| oracle.iter().position(|(k, _)| *k == key);
        match op {
            Op::Insert(key, value) => {
                let before =
                    known(oracle, key).map(|at| std::mem::replace(&mut oracle[at].1, value));
                if before.is_none() {
                    oracle.push((key, value));
                }
                assert_eq!(map.insert(key, value), before);
            }
            Op::GetOrInsert(key, value) => {
                let at = known(oracle, key).unwrap_or_else(|| {
                    oracle.push((key, value));
                    oracle.len() - 1
                });
                assert_eq!(*map.get_or_insert_with(key, || value), oracle[at].1);
            }
            Op::Remove(key) => {
                let before = known(oracle, key).map(|at| oracle.remove(at).1);
                assert_eq!(map.remove(&key), before);
            }
            Op::RemoveFirst => {
                if !oracle.is_empty() {
                    let (key, value) = oracle.remove(0);
                    assert_eq!(map.remove(&key), Some(value));
                }
            }
            Op::Retain(divisor) => {
                oracle.retain(|(key, _)| key % divisor != 0);
                map.retain(|key, _| key % divisor != 0);
            }
            Op::Clear => {
                oracle.clear();
                map.clear();
            }
        }
    }

    #[test]
    fn a_queue_of_keys_does_not_grow() {
        let mut map = OrderedMap::default();
        for key in 0..10_000_u32 {
            map.insert(key, ());
            if key >= 20 {
                assert_eq!(map.remove(&(key - 20)), Some(()));
            }
        }
        assert_eq!(map.len(), 20);
        assert!(map.entries.capacity() < 200, "{}", map.entries.capacity());
    }

    proptest! {
        #[test]
        fn it_is_a_list_of_pairs_in_order_of_insertion(ops in prop::collection::vec(op(), 0..300)) {
            let mut map = OrderedMap::default();
            let mut oracle = Vec::new();
            for op in ops {
                step(&mut map, &mut oracle, op);
                prop_assert_eq!(map.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>(), oracle.clone());
                prop_assert_eq!(map.len(), oracle.len());
                for key in 0..40_u8 {
                    let expected = oracle.iter().find(|(k, _)| *k == key).map(|(_, v)| v);
                    prop_assert_eq!(map.get(&key), expected);
                }
            }
        }
    }
}
