//! The keyed state of one operator's subtask: its current key, its registered states, its timers.

use std::any::{Any, type_name};
use std::sync::Arc;

use flott_record::{Key, Record};

use crate::aggregating::{AggregatingState, AggregatingTable};
use crate::cold::{OperatorTiers, TieredTable};
use crate::list::{ListState, ListTable};
use crate::map::{MapState, MapTable};
use crate::reducing::{ReducingState, ReducingTable};
use crate::scope::At;
use crate::snapshot::{Part, TimersPart};
use crate::ttl::Ttl;
use crate::value::{ValueState, ValueTable};
use crate::{
    AggregatingStateDescriptor, KeyedStateAccess, ListStateDescriptor, MapStateDescriptor,
    ReducingStateDescriptor, RestoredOperator, StateError, StateKind, StateTtlConfig, SubKey,
    TimeDomain, Timers, ValueStateDescriptor,
};

/// A state's rows, whatever its type.
pub(crate) trait StateTable<K>: Any + Send {
    fn rows(&self) -> usize;
    fn clear(&mut self);
    /// All keys that have a row; meant for states without namespace.
    fn keys(&self) -> Result<Vec<(u64, K)>, StateError>;
    fn snapshot(&mut self, name: &str, now: i64) -> Arc<dyn Part>;
    /// Takes the rows of the state of that name.
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError>;
    /// Moves rows that do not fit into memory to where there is room for them.
    fn make_room(&mut self, now: i64) -> Result<(), StateError>;
}

/// The rows of a state per key and namespace.
pub(crate) trait StateRows<K, N>: StateTable<K> {
    /// Brings the row into memory, if there is one elsewhere.
    fn load(&mut self, at: At<'_, K, N>) -> Result<(), StateError>;
}

/// Where the rows of a new state are kept.
pub(crate) struct Home<'a> {
    tiers: Option<&'a OperatorTiers>,
    name: &'a str,
}

impl Home<'_> {
    pub(crate) fn table<R: Record + Eq, V: Record>(&self) -> TieredTable<R, V> {
        let tiers = self.tiers.map(|tiers| tiers.table(self.name));
        tiers.unwrap_or_default()
    }
}

struct Registered<K> {
    name: String,
    description: String,
    ttl: Option<StateTtlConfig>,
    table: Box<dyn StateTable<K>>,
}

/// The keyed state of one operator's subtask.
///
/// The operator sets the current key before user code runs, and says what time it is; handles then
/// open the state of that key. It is its own context ([`KeyedStateAccess`]).
///
/// ```
/// use flott_record::hash::stable_hash;
/// use flott_state::{KeyedBackend, ValueStateDescriptor};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut state = KeyedBackend::<String>::new();
/// let count = state.value_state(ValueStateDescriptor::<u64>::new("count"))?;
/// for name in ["a", "b", "a"] {
///     state.set_current_key(stable_hash(name), &name.to_owned());
///     let seen = count.value(&mut state).copied().unwrap_or(0);
///     count.update(&mut state, seen + 1);
/// }
/// assert_eq!(count.value(&mut state), Some(&2));
/// # Ok(())
/// # }
/// ```
pub struct KeyedBackend<K: Key> {
    hash: u64,
    key: Option<K>,
    now: i64,
    states: Vec<Registered<K>>,
    timers: Timers<K>,
    restored: Option<RestoredOperator>,
    /// Where rows are kept that do not fit into memory; `None`: all do.
    tiers: Option<OperatorTiers>,
    /// What went wrong while user code had the state.
    failed: Option<StateError>,
}

impl<K: Key> Default for KeyedBackend<K> {
    fn default() -> Self {
        Self {
            hash: 0,
            key: None,
            now: 0,
            states: Vec::new(),
            timers: Timers::default(),
            restored: None,
            tiers: None,
            failed: None,
        }
    }
}

impl<K: Key> KeyedStateAccess for KeyedBackend<K> {
    type Key = K;

    #[inline(always)]
    fn keyed_state(&mut self) -> &mut Self {
        self
    }
}

const NO_KEY: &str = "an operator sets the current key before it opens keyed state";

impl<K: Key> KeyedBackend<K> {
    /// No states, no timers, no current key.
    pub fn new() -> Self {
        Self::default()
    }

    /// A backend that begins with the timers of a snapshot, and in which each state has the rows of
    /// the snapshot as soon as it is registered.
    ///
    /// # Errors
    /// When the timers cannot be restored.
    pub fn restored(from: &RestoredOperator) -> Result<Self, StateError> {
        Ok(Self {
            timers: from.timers_of(StateKind::UserTimers, "")?,
            restored: Some(from.clone()),
            ..Self::default()
        })
    }

    /// Rows of states that are registered from now on may be elsewhere than in memory. The operator
    /// then [makes room](Self::make_room) between batches.
    #[must_use]
    pub fn with_tiers(mut self, tiers: Option<OperatorTiers>) -> Self {
        self.tiers = tiers;
        self
    }

    /// Moves rows that were not used lately out of memory, if those in memory take more than they
    /// may. Called between batches, and before anything is handed on that state has gone into.
    ///
    /// # Errors
    /// When rows cannot be moved, or could not be read since the last call.
    #[inline]
    pub fn make_room(&mut self) -> Result<(), StateError> {
        if self.tiers.is_none() {
            return Ok(());
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let now = self.now;
        let mut states = self.states.iter_mut();
        states.try_for_each(|state| state.table.make_room(now))
    }

    /// The states and timers as they are now, in order of registration.
    pub(crate) fn snapshot(&mut self) -> Result<Vec<Arc<dyn Part>>, StateError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let now = self.now;
        let states = self.states.iter_mut();
        let mut parts: Vec<_> = states
            .map(|state| state.table.snapshot(&state.name, now))
            .collect();
        parts.push(Arc::new(TimersPart {
            name: String::new(),
            kind: StateKind::UserTimers,
            timers: self.timers.snapshot(),
        }));
        Ok(parts)
    }

    /// Whose state handles open from now on. `hash` is the stable hash of the key. The memory of the
    /// key before is used again.
    #[inline]
    pub fn set_current_key(&mut self, hash: u64, key: &K) {
        match &mut self.key {
            Some(current) if self.hash == hash && *current == *key => {}
            Some(current) => {
                current.clone_from(key);
                self.hash = hash;
            }
            None => {
                self.key = Some(key.clone());
                self.hash = hash;
            }
        }
    }

    /// The current key.
    ///
    /// # Panics
    /// When none has been set: an error of the operator, not of the data.
    #[inline]
    pub fn current_key(&self) -> &K {
        self.key.as_ref().expect(NO_KEY)
    }

    /// The stable hash of the current key.
    #[inline]
    pub fn current_hash(&self) -> u64 {
        self.hash
    }

    /// What time it is, in milliseconds since the epoch: decides what has expired. Operators set it
    /// once per batch; it begins at 0.
    #[inline]
    pub fn set_processing_time(&mut self, now: i64) {
        self.now = now;
    }

    /// The processing time as last set.
    #[inline]
    pub fn processing_time(&self) -> i64 {
        self.now
    }

    /// Registers a value state, or finds the one that is registered.
    ///
    /// # Errors
    /// When the name is taken by a state of another kind or type, the time to live cannot be, or the
    /// state cannot be restored.
    pub fn value_state<T: Record>(
        &mut self,
        descriptor: ValueStateDescriptor<T>,
    ) -> Result<ValueState<T>, StateError> {
        self.value_state_in(descriptor)
    }

    /// As [`value_state`](Self::value_state), one per key and namespace.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn value_state_in<T: Record, N: SubKey>(
        &mut self,
        descriptor: ValueStateDescriptor<T>,
    ) -> Result<ValueState<T, N>, StateError> {
        let ValueStateDescriptor { name, ttl, .. } = descriptor;
        let description = describe::<N>("ValueState", type_name::<T>());
        self.register(name, description, ttl, ValueTable::<K, N, T>::new)
            .map(ValueState::at)
    }

    /// Registers a list state, or finds the one that is registered.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn list_state<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<ListState<T>, StateError> {
        self.list_state_in(descriptor)
    }

    /// As [`list_state`](Self::list_state), one per key and namespace.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn list_state_in<T: Record, N: SubKey>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<ListState<T, N>, StateError> {
        let ListStateDescriptor { name, ttl, .. } = descriptor;
        let description = describe::<N>("ListState", type_name::<T>());
        self.register(name, description, ttl, ListTable::<K, N, T>::new)
            .map(ListState::at)
    }

    /// Registers a map state, or finds the one that is registered.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn map_state<MK: SubKey, MV: Record>(
        &mut self,
        descriptor: MapStateDescriptor<MK, MV>,
    ) -> Result<MapState<MK, MV>, StateError> {
        self.map_state_in(descriptor)
    }

    /// As [`map_state`](Self::map_state), one per key and namespace.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn map_state_in<MK: SubKey, MV: Record, N: SubKey>(
        &mut self,
        descriptor: MapStateDescriptor<MK, MV>,
    ) -> Result<MapState<MK, MV, N>, StateError> {
        let MapStateDescriptor { name, ttl, .. } = descriptor;
        let types = format!("{}, {}", type_name::<MK>(), type_name::<MV>());
        let description = describe::<N>("MapState", &types);
        self.register(name, description, ttl, MapTable::<K, N, MK, MV>::new)
            .map(MapState::at)
    }

    /// Registers a reducing state, or finds the one that is registered, with its function.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn reducing_state<T: Record>(
        &mut self,
        descriptor: ReducingStateDescriptor<T>,
    ) -> Result<ReducingState<T>, StateError> {
        self.reducing_state_in(descriptor)
    }

    /// As [`reducing_state`](Self::reducing_state), one per key and namespace.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn reducing_state_in<T: Record, N: SubKey>(
        &mut self,
        descriptor: ReducingStateDescriptor<T>,
    ) -> Result<ReducingState<T, N>, StateError> {
        let ReducingStateDescriptor {
            name,
            ttl,
            function,
        } = descriptor;
        let description = describe::<N>("ReducingState", type_name::<T>());
        self.register(name, description, ttl, |ttl, home| {
            ReducingTable::<K, N, T>::new(function, ttl, home)
        })
        .map(ReducingState::at)
    }

    /// Registers an aggregating state, or finds the one that is registered, with its function.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn aggregating_state<In: 'static, Acc: Record, Out: 'static>(
        &mut self,
        descriptor: AggregatingStateDescriptor<In, Acc, Out>,
    ) -> Result<AggregatingState<In, Acc, Out>, StateError> {
        self.aggregating_state_in(descriptor)
    }

    /// As [`aggregating_state`](Self::aggregating_state), one per key and namespace.
    ///
    /// # Errors
    /// As [`value_state`](Self::value_state).
    pub fn aggregating_state_in<In: 'static, Acc: Record, Out: 'static, N: SubKey>(
        &mut self,
        descriptor: AggregatingStateDescriptor<In, Acc, Out>,
    ) -> Result<AggregatingState<In, Acc, Out, N>, StateError> {
        let AggregatingStateDescriptor {
            name,
            ttl,
            function,
        } = descriptor;
        let types = format!(
            "{}, {}, {}",
            type_name::<In>(),
            type_name::<Acc>(),
            type_name::<Out>()
        );
        let description = describe::<N>("AggregatingState", &types);
        self.register(name, description, ttl, |ttl, home| {
            AggregatingTable::<K, N, In, Acc, Out>::new(function, ttl, home)
        })
        .map(AggregatingState::at)
    }

    fn register<S: StateTable<K>>(
        &mut self,
        name: String,
        description: String,
        ttl: Option<StateTtlConfig>,
        make: impl FnOnce(Option<Ttl>, &Home<'_>) -> S,
    ) -> Result<u32, StateError> {
        if let Some((known, index)) = self.states.iter().zip(0..).find(|(s, _)| s.name == name) {
            let table: &dyn Any = known.table.as_ref();
            if !table.is::<S>() {
                return Err(StateError::AlreadyRegistered {
                    name,
                    first: known.description.clone(),
                    second: description,
                });
            }
            if known.ttl != ttl {
                return Err(StateError::DifferentTtl { name });
            }
            return Ok(index);
        }
        let resolved = ttl.as_ref().map(|ttl| ttl.resolve(&name)).transpose()?;
        let index = u32::try_from(self.states.len()).expect("a program names fewer states");
        let home = Home {
            tiers: self.tiers.as_ref(),
            name: &name,
        };
        let mut table = make(resolved, &home);
        if let Some(restored) = &self.restored {
            table.restore(restored, &name)?;
        }
        self.states.push(Registered {
            name,
            description,
            ttl,
            table: Box::new(table),
        });
        Ok(index)
    }

    /// The table of a handle, the address of the current key's row in it, and the time. The row is in
    /// memory.
    #[inline]
    pub(crate) fn open<'b, S: StateRows<K, N>, N: SubKey>(
        &'b mut self,
        index: u32,
        namespace: &'b N,
    ) -> (&'b mut S, At<'b, K, N>, i64) {
        let key = self.key.as_ref().expect(NO_KEY);
        let at = At::new(self.hash, key, namespace);
        let table: &mut S = table(&mut self.states, index);
        if self.tiers.is_some()
            && let Err(error) = table.load(at)
        {
            self.failed.get_or_insert(error);
        }
        (table, at, self.now)
    }

    pub(crate) fn keys_of(&mut self, index: u32) -> Vec<(u64, K)> {
        let Some(state) = self.states.get(index as usize) else {
            return Vec::new();
        };
        match state.table.keys() {
            Ok(keys) => keys,
            Err(error) => {
                self.failed.get_or_insert(error);
                Vec::new()
            }
        }
    }

    /// Names of the registered states with the number of their rows, in order of registration. Rows
    /// that have expired and not been removed yet count.
    pub fn states(&self) -> impl Iterator<Item = (&str, usize)> {
        self.states
            .iter()
            .map(|state| (state.name.as_str(), state.table.rows()))
    }

    /// The timers of keys without namespace.
    pub fn timers(&mut self) -> &mut Timers<K> {
        &mut self.timers
    }

    /// Registers a timer of the current key, in milliseconds since the epoch. `false` if it is
    /// registered already: there is one timer per key and time.
    #[inline]
    pub fn register_timer(&mut self, domain: TimeDomain, timestamp: i64) -> bool {
        let key = self.key.as_ref().expect(NO_KEY);
        self.timers
            .of(domain)
            .register(timestamp, self.hash, key, &())
    }

    /// Deletes a timer of the current key. `false` if there is none.
    #[inline]
    pub fn delete_timer(&mut self, domain: TimeDomain, timestamp: i64) -> bool {
        let key = self.key.as_ref().expect(NO_KEY);
        self.timers
            .of(domain)
            .delete(timestamp, self.hash, key, &())
    }

    /// Takes out the next timer that is due at `time`, makes its key the current one, and returns
    /// its timestamp. Called until it returns `None`, it also returns timers that were registered
    /// meanwhile and are due too.
    #[inline]
    pub fn next_due(&mut self, domain: TimeDomain, time: i64) -> Option<i64> {
        let timer = self.timers.of(domain).pop_due(time)?;
        self.hash = timer.hash;
        self.key = Some(timer.key);
        Some(timer.timestamp)
    }

    /// Removes all rows of all states and all timers, and forgets the current key. States stay
    /// registered. What BATCH does between ranges of keys.
    pub fn clear_all(&mut self) {
        self.key = None;
        for state in &mut self.states {
            state.table.clear();
        }
        self.timers.clear();
    }
}

fn describe<N>(kind: &str, types: &str) -> String {
    if size_of::<N>() == 0 {
        format!("{kind}<{types}>")
    } else {
        format!("{kind}<{types}> per {}", type_name::<N>())
    }
}

#[inline]
fn table<K: Key, S: StateTable<K>>(states: &mut [Registered<K>], index: u32) -> &mut S {
    let table: Option<&mut dyn Any> = states
        .get_mut(index as usize)
        .map(|state| state.table.as_mut() as &mut dyn Any);
    table
        .and_then(|table| table.downcast_mut())
        .expect(crate::operator_state::FOREIGN)
}
