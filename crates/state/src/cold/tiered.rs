//! A table whose rows may be in memory or in a cold store.

use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use flott_record::Record;
use flott_record::codec::{CodecError, decode, encode};
use flott_record::hash::key_group;
use hashbrown::Equivalent;

use super::filter::Filter;
use super::pool::Member;
use super::recent::Recent;
use super::weight::Weight;
use super::{Changes, ColdCounts, ColdSpace, ColdView, Keys, OperatorTiers, cannot, split_group};
use crate::ttl::Live;
use crate::{KeyedTable, StateError};

/// Bytes of rows that are written at once.
const MOST_WRITTEN: usize = 4 << 20;
/// Classes of hashes for each hot row, to tell cold rows from new ones.
const CLASSES_PER_ROW: usize = 8;
/// While rows come in one after the other, room is made after so many.
const ROWS_AT_ONCE: usize = 16;

/// A [`KeyedTable`] of the rows in memory, and where the others are, if there may be others.
///
/// It is used as that table is. Before a batch, rows that it needs are [wanted](Self::want) and
/// [fetched](Self::fetch); behind it, [room is made](Self::make_room). Without a cold tier all rows
/// are in memory, and nothing of that is needed.
///
/// ```
/// use std::sync::Arc;
/// use flott_record::hash::stable_hash;
/// use flott_state::cold::{HotPool, MemoryStores, OperatorTiers};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let tiers = OperatorTiers::new(Arc::new(MemoryStores), "/nowhere".into(), HotPool::new(1000), 128);
/// let mut table = tiers.table::<u64, u64>("sums");
/// for key in 0..1000 {
///     table.insert(stable_hash(&key), key, key * 2);
/// }
/// table.make_room()?;
/// assert!(table.len() < 100 && table.rows() == 1000);
///
/// for key in [3, 500] {
///     table.want(stable_hash(&key), &key)?;
/// }
/// table.fetch()?;
/// assert_eq!(table.get(stable_hash(&500), &500), Some(&1000));
/// # Ok(())
/// # }
/// ```
pub struct TieredTable<K, V> {
    hot: KeyedTable<K, V>,
    tier: Option<Box<Tier<K, V>>>,
}

impl<K, V> Default for TieredTable<K, V> {
    fn default() -> Self {
        KeyedTable::new().into()
    }
}

impl<K, V> From<KeyedTable<K, V>> for TieredTable<K, V> {
    /// All rows are in memory, and stay there.
    fn from(hot: KeyedTable<K, V>) -> Self {
        Self { hot, tier: None }
    }
}

/// The rows in memory.
impl<K, V> Deref for TieredTable<K, V> {
    type Target = KeyedTable<K, V>;

    #[inline(always)]
    fn deref(&self) -> &KeyedTable<K, V> {
        &self.hot
    }
}

impl<K, V> DerefMut for TieredTable<K, V> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut KeyedTable<K, V> {
        &mut self.hot
    }
}

impl<K, V> TieredTable<K, V> {
    pub(super) fn with_tier(tier: Tier<K, V>) -> Self {
        Self {
            hot: KeyedTable::new(),
            tier: Some(Box::new(tier)),
        }
    }

    /// Whether rows may be elsewhere than in memory.
    #[inline(always)]
    pub fn is_tiered(&self) -> bool {
        self.tier.is_some()
    }

    /// The rows in memory alone.
    pub(crate) fn into_hot(self) -> KeyedTable<K, V> {
        self.hot
    }

    /// Whether some rows are not in memory.
    pub fn has_cold(&self) -> bool {
        self.tier.as_ref().is_some_and(|tier| tier.cold > 0)
    }

    /// Number of all rows.
    pub fn rows(&self) -> usize {
        let cold = self.tier.as_ref().map_or(0, |tier| tier.cold);
        self.hot.len() + usize::try_from(cold).unwrap_or(usize::MAX)
    }

    /// Removes all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.hot.clear();
        if let Some(tier) = &mut self.tier {
            tier.forget();
        }
    }

    /// The rows that are not in memory, as they are now; `None`: there are none.
    pub(crate) fn view(&self) -> Option<Arc<dyn ColdView>> {
        let tier = self.tier.as_ref().filter(|tier| tier.cold > 0)?;
        Some(tier.space.as_ref()?.view())
    }
}

impl<K: Record + Eq, V: Record> TieredTable<K, V> {
    /// The row of that key will be looked for: it is fetched if it is not in memory.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    #[inline]
    pub fn want(&mut self, hash: u64, key: &K) -> Result<(), StateError> {
        self.want_as(hash, key, |out| encode(key, out))
    }

    /// As [`want`](Self::want), for another form of the key, which `write` encodes.
    #[inline]
    pub(crate) fn want_as<Q: Equivalent<K> + ?Sized>(
        &mut self,
        hash: u64,
        key: &Q,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), StateError> {
        match &mut self.tier {
            Some(tier) => tier.want(&self.hot, hash, key, write),
            None => Ok(()),
        }
    }

    /// Fetches what is wanted.
    ///
    /// # Errors
    /// When it cannot be read.
    #[inline]
    pub fn fetch(&mut self) -> Result<(), StateError> {
        match &mut self.tier {
            Some(tier) if !tier.keys.is_empty() => tier.fetch(&mut self.hot),
            _ => Ok(()),
        }
    }

    /// Brings one row into memory.
    ///
    /// # Errors
    /// As [`want`](Self::want) and [`fetch`](Self::fetch).
    #[inline]
    pub fn load(&mut self, hash: u64, key: &K) -> Result<(), StateError> {
        self.want(hash, key)?;
        self.fetch()
    }

    /// Calls `each` with the rows of those key groups that are not in memory. They stay where they
    /// are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn each_cold_row(
        &self,
        groups: Range<u32>,
        mut each: impl FnMut(K, V),
    ) -> Result<(), StateError> {
        let (Some(tier), Some(view)) = (&self.tier, self.view()) else {
            return Ok(());
        };
        let scanned = view.scan(groups, &mut |_, key, value| {
            let (key, value) = decoded(&tier.name, key, value)?;
            each(key, value);
            Ok(())
        });
        scanned.map_err(|error| error.of(&tier.name))
    }

    /// Writes rows that were not used lately to the cold store, if those in memory take more than
    /// they may. Rows move: positions are no longer good.
    ///
    /// # Errors
    /// When they cannot be written; then they stay.
    #[inline]
    pub fn make_room(&mut self) -> Result<(), StateError> {
        self.make_room_with(&|_| Live::Whole)
    }

    /// As [`make_room`](Self::make_room); of what goes only that is written which is `live`.
    #[inline]
    pub(crate) fn make_room_with(
        &mut self,
        live: &dyn Fn(&V) -> Live<V>,
    ) -> Result<(), StateError> {
        match &mut self.tier {
            Some(tier) => tier.make_room(&mut self.hot, live),
            None => Ok(()),
        }
    }

    /// Calls `each` with the keys of all rows that are not in memory.
    pub(crate) fn each_cold_key(&self, mut each: impl FnMut(K)) -> Result<(), StateError> {
        let (Some(tier), Some(view)) = (&self.tier, self.view()) else {
            return Ok(());
        };
        let scanned = view.scan(0..tier.max_parallelism, &mut |_, mut key, _| {
            let key = decode(&mut key);
            let failed = |error| cannot(&tier.name, "decoded", io::Error::other(error));
            each(key.map_err(failed)?);
            Ok(())
        });
        scanned.map_err(|error| error.of(&tier.name))
    }

    /// Adds a row while many come in; `false` if its key is there already, as far as that is seen in
    /// memory.
    pub(crate) fn fill(&mut self, hash: u64, key: K, value: V) -> Result<bool, StateError> {
        let is_new = self.hot.insert(hash, key, value).is_none();
        if self.is_tiered() && self.hot.len().is_multiple_of(ROWS_AT_ONCE) {
            self.make_room()?;
        }
        Ok(is_new)
    }
}

/// The cold rows of a table, and what is known of the hot ones.
pub(super) struct Tier<K, V> {
    name: String,
    tiers: OperatorTiers,
    /// Made when the first row goes.
    space: Option<Arc<dyn ColdSpace>>,
    max_parallelism: u32,
    /// Rows in the space.
    cold: u64,
    filter: Filter,
    recent: Recent,
    /// How many hot rows both were made for.
    prepared_for: usize,
    /// Where the search for rows that may go continues.
    hand: usize,
    weight: Weight<K, V>,
    member: Member,
    /// What is wanted, with the hashes.
    keys: Keys,
    hashes: Vec<u64>,
    changes: Changes,
}

impl<K, V> Tier<K, V> {
    pub(super) fn new(
        tiers: OperatorTiers,
        name: &str,
        member: Member,
        max_parallelism: u32,
    ) -> Self {
        Self {
            name: name.to_owned(),
            tiers,
            space: None,
            max_parallelism,
            cold: 0,
            filter: Filter::default(),
            recent: Recent::default(),
            prepared_for: 0,
            hand: 0,
            weight: Weight::default(),
            member,
            keys: Keys::default(),
            hashes: Vec::new(),
            changes: Changes::default(),
        }
    }

    fn forget(&mut self) {
        self.space = None;
        ColdCounts::sub(&self.tiers.counts().cold, self.cold);
        self.cold = 0;
        self.filter.clear();
        self.keys.clear();
        self.hashes.clear();
        self.hand = 0;
        self.member.takes(0);
    }
}

impl<K, V> Drop for Tier<K, V> {
    fn drop(&mut self) {
        ColdCounts::sub(&self.tiers.counts().cold, self.cold);
    }
}

impl<K: Record + Eq, V: Record> Tier<K, V> {
    #[inline]
    fn want<Q: Equivalent<K> + ?Sized>(
        &mut self,
        hot: &KeyedTable<K, V>,
        hash: u64,
        key: &Q,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), StateError> {
        self.recent.mark(hash);
        if self.cold == 0 || !self.filter.may_have(hash) || hot.find(hash, key).is_some() {
            return Ok(());
        }
        let group = key_group(hash, self.max_parallelism);
        let pushed = self.keys.push(group, write);
        pushed.map_err(|error| encoding(&self.name, error))?;
        self.hashes.push(hash);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn fetch(&mut self, hot: &mut KeyedTable<K, V>) -> Result<(), StateError> {
        let Self {
            name,
            space,
            keys,
            hashes,
            changes,
            filter,
            ..
        } = self;
        changes.clear();
        if let Some(space) = space {
            ColdCounts::add(&self.tiers.counts().asked, keys.len() as u64);
            let got = space.get(keys, &mut |at, value| {
                let (Some(stored), Some(hash)) = (keys.get(at), hashes.get(at)) else {
                    return Ok(());
                };
                let (key, value) = row::<K, V>(name, stored, value)?;
                // One key may be wanted twice.
                if hot.find(*hash, &key).is_none() {
                    hot.insert_new(*hash, key, value);
                    filter.remove(*hash);
                    changes.delete(stored);
                }
                Ok(())
            });
            got.map_err(|error| error.of(name))?;
            if !changes.is_empty() {
                let written = space.write(changes);
                written.map_err(|error| cannot(name, "deleted", error))?;
            }
        }
        let loaded = changes.len() as u64;
        self.cold = self.cold.saturating_sub(loaded);
        ColdCounts::sub(&self.tiers.counts().cold, loaded);
        ColdCounts::add(&self.tiers.counts().loaded, loaded);
        self.keys.clear();
        self.hashes.clear();
        Ok(())
    }

    #[inline]
    fn make_room(
        &mut self,
        hot: &mut KeyedTable<K, V>,
        live: &dyn Fn(&V) -> Live<V>,
    ) -> Result<(), StateError> {
        let bytes = self.weight.of(hot);
        let excess = self.member.takes(bytes);
        if excess == 0 {
            return Ok(());
        }
        let rows = excess.div_ceil(self.weight.row());
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        // A little more than must be, so that not every batch writes.
        let more = hot.len() / 64;
        self.evict(hot, rows.saturating_add(more).min(hot.len()), live)?;
        let bytes = self.weight.of(hot);
        self.member.takes(bytes);
        Ok(())
    }

    /// Writes so many rows to the cold store and takes them out of memory.
    #[cold]
    #[inline(never)]
    fn evict(
        &mut self,
        hot: &mut KeyedTable<K, V>,
        rows: usize,
        live: &dyn Fn(&V) -> Live<V>,
    ) -> Result<(), StateError> {
        if self.prepared_for < hot.len() / 4 || !self.recent.is_made() {
            self.prepared_for = hot.len();
            self.recent = Recent::for_rows(hot.len() * 2);
            self.filter.grow(hot.len() * CLASSES_PER_ROW);
        }
        let mut left = rows;
        while left > 0 && !hot.is_empty() {
            let gone = self.evict_some(hot, left, live)?;
            left = left.saturating_sub(gone.max(1));
        }
        Ok(())
    }

    /// As many as are written at once. How many have gone.
    fn evict_some(
        &mut self,
        hot: &mut KeyedTable<K, V>,
        rows: usize,
        live: &dyn Fn(&V) -> Live<V>,
    ) -> Result<usize, StateError> {
        self.changes.clear();
        let (mut slots, mut hashes) = (Vec::new(), Vec::new());
        // After two turns nothing is recent any more.
        let mut turns = 0;
        while slots.len() < rows && turns <= 3 && self.changes.bytes() < MOST_WRITTEN {
            let Some((at, hash, key, value)) = hot.row_from(self.hand) else {
                self.hand = 0;
                self.recent.turn();
                turns += 1;
                if !slots.is_empty() {
                    break; // Those of the turn that begins may be among them.
                }
                continue;
            };
            self.hand = at + 1;
            if self.recent.has(hash) {
                continue;
            }
            slots.push(at);
            let live = live(value);
            let value = match &live {
                Live::Whole => value,
                Live::Part(rest) => rest,
                Live::Gone => continue,
            };
            let group = key_group(hash, self.max_parallelism);
            let put = self
                .changes
                .put(group, |out| encode(key, out), |out| encode(value, out));
            put.map_err(|error| encoding(&self.name, error))?;
            hashes.push(hash);
        }
        self.write(&hashes)?;
        hot.remove_slots(&slots);
        Ok(slots.len())
    }

    /// Writes the changes, which are rows with those hashes.
    fn write(&mut self, hashes: &[u64]) -> Result<(), StateError> {
        if hashes.is_empty() {
            return Ok(());
        }
        let failed = |error: io::Error| cannot(&self.name, "written", error);
        let space = match &mut self.space {
            Some(space) => space,
            space => space.insert(self.tiers.space(&self.name).map_err(failed)?),
        };
        self.weight.weigh(self.changes.bytes(), self.changes.len());
        self.changes.sort();
        space.write(&self.changes).map_err(failed)?;
        for hash in hashes {
            self.filter.add(*hash);
        }
        let gone = hashes.len() as u64;
        self.cold += gone;
        self.tiers.counts().evicted(gone);
        Ok(())
    }
}

/// A stored row.
fn row<K: Record, V: Record>(
    state: &str,
    stored: &[u8],
    value: &[u8],
) -> Result<(K, V), StateError> {
    let (_, key) = split_group(stored).unwrap_or_default();
    decoded(state, key, value)
}

fn decoded<K: Record, V: Record>(
    state: &str,
    mut key: &[u8],
    mut value: &[u8],
) -> Result<(K, V), StateError> {
    let decoded = decode(&mut key).and_then(|key| Ok((key, decode(&mut value)?)));
    decoded.map_err(|error| cannot(state, "decoded", io::Error::other(error)))
}

fn encoding(state: &str, source: CodecError) -> StateError {
    StateError::Encode {
        state: state.to_owned(),
        source,
    }
}
