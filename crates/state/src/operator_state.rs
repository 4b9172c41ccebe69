//! Operator state: lists and maps of a subtask that belong to no key.

use std::any::{Any, type_name};
use std::marker::PhantomData;
use std::sync::Arc;

use flott_record::Record;

use crate::ordered_map::OrderedMap;
use crate::snapshot::{BroadcastPart, ListPart, Part};
use crate::unregistered::UNREGISTERED;
use crate::{
    ListStateDescriptor, MapStateDescriptor, RestoredOperator, StateError, StateKind,
    StateTtlConfig, SubKey,
};

/// How the elements of a list find subtasks again after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redistribution {
    /// Each element goes to one subtask.
    Split,
    /// Every subtask gets all elements of all subtasks.
    Union,
}

impl Redistribution {
    fn kind(self) -> StateKind {
        match self {
            Self::Split => StateKind::OperatorList,
            Self::Union => StateKind::UnionList,
        }
    }
}

/// A state, whatever its type.
trait OperatorState: Any + Send {
    fn snapshot(&self, name: &str) -> Arc<dyn Part>;
    /// Takes this subtask's share of the state of that name.
    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError>;
}

/// Shared with snapshots: copied by the first change after one, if the snapshot still lives.
struct List<T> {
    values: Arc<Vec<T>>,
    redistribution: Redistribution,
}

impl<T: Record> OperatorState for List<T> {
    fn snapshot(&self, name: &str) -> Arc<dyn Part> {
        Arc::new(ListPart {
            name: name.to_owned(),
            kind: self.redistribution.kind(),
            items: Arc::clone(&self.values),
        })
    }

    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        self.values = Arc::new(from.list_of(self.redistribution.kind(), name)?);
        Ok(())
    }
}

/// Shared with snapshots as a [`List`] is.
struct Broadcast<MK, MV>(Arc<OrderedMap<MK, MV>>);

impl<MK: SubKey, MV: Record> OperatorState for Broadcast<MK, MV> {
    fn snapshot(&self, name: &str) -> Arc<dyn Part> {
        Arc::new(BroadcastPart {
            name: name.to_owned(),
            map: Arc::clone(&self.0),
        })
    }

    fn restore(&mut self, from: &RestoredOperator, name: &str) -> Result<(), StateError> {
        let mut map = OrderedMap::default();
        for (key, value) in from.broadcast(name)? {
            map.insert(key, value);
        }
        self.0 = Arc::new(map);
        Ok(())
    }
}

struct Registered {
    name: String,
    description: String,
    state: Box<dyn OperatorState>,
}

/// A context that may read operator state.
pub trait OperatorStateRead {
    /// The state of the operator.
    fn operator_state(&self) -> &OperatorBackend;
}

/// A context that may also change operator state. The side of a broadcast stream that must not, is
/// an [`OperatorStateRead`] only.
pub trait OperatorStateAccess: OperatorStateRead {
    /// The state of the operator, to be changed.
    fn operator_state_mut(&mut self) -> &mut OperatorBackend;
}

/// The operator state of one subtask: lists, union lists and broadcast maps, by name.
///
/// ```
/// use flott_state::{ListStateDescriptor, OperatorBackend};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut state = OperatorBackend::new();
/// let offsets = state.list_state(ListStateDescriptor::<u64>::new("offsets"))?;
/// offsets.add(&mut state, 42);
/// assert_eq!(offsets.get(&state), [42]);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct OperatorBackend {
    states: Vec<Registered>,
    restored: Option<RestoredOperator>,
}

impl OperatorStateRead for OperatorBackend {
    fn operator_state(&self) -> &OperatorBackend {
        self
    }
}

impl OperatorStateAccess for OperatorBackend {
    fn operator_state_mut(&mut self) -> &mut OperatorBackend {
        self
    }
}

pub(crate) const FOREIGN: &str =
    "a handle of state is used with the operator that registered it: register it in `open`";

impl OperatorBackend {
    /// No states.
    pub fn new() -> Self {
        Self::default()
    }

    /// A backend in which each state has its share of the snapshot as soon as it is registered: lists
    /// their elements as [`RestoredOperator::list`] says, union lists all elements, broadcast states
    /// the entries of one old subtask.
    pub fn restored(from: &RestoredOperator) -> Self {
        Self {
            states: Vec::new(),
            restored: Some(from.clone()),
        }
    }

    /// The states as they are now, in order of registration.
    pub(crate) fn snapshot(&mut self) -> Vec<Arc<dyn Part>> {
        let states = self.states.iter();
        states
            .map(|state| state.state.snapshot(&state.name))
            .collect()
    }

    /// Registers a list whose elements are split among the subtasks after a change of parallelism,
    /// or finds the one that is registered.
    ///
    /// # Errors
    /// When the name is taken by a state of another kind or type, the descriptor has a time to live
    /// (operator state does not expire), or the state cannot be restored.
    pub fn list_state<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<OperatorListState<T>, StateError> {
        self.any_list(descriptor, Redistribution::Split)
    }

    /// Registers a list of which every subtask gets all elements after a restore, or finds the one
    /// that is registered.
    ///
    /// # Errors
    /// As [`list_state`](Self::list_state).
    pub fn union_list_state<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
    ) -> Result<OperatorListState<T>, StateError> {
        self.any_list(descriptor, Redistribution::Union)
    }

    fn any_list<T: Record>(
        &mut self,
        descriptor: ListStateDescriptor<T>,
        redistribution: Redistribution,
    ) -> Result<OperatorListState<T>, StateError> {
        let ListStateDescriptor { name, ttl, .. } = descriptor;
        let kind = match redistribution {
            Redistribution::Split => "list",
            Redistribution::Union => "union list",
        };
        let description = format!("operator {kind} of {}", type_name::<T>());
        let list = List::<T> {
            values: Arc::default(),
            redistribution,
        };
        let same = |known: &List<T>| known.redistribution == redistribution;
        let index = self.register(name, description, ttl, list, same)?;
        Ok(OperatorListState {
            index,
            kind: PhantomData,
        })
    }

    /// Registers a broadcast state, or finds the one that is registered. It is the operator's duty
    /// that all subtasks make the same changes in the same order.
    ///
    /// # Errors
    /// As [`list_state`](Self::list_state).
    pub fn broadcast_state<MK: SubKey, MV: Record>(
        &mut self,
        descriptor: MapStateDescriptor<MK, MV>,
    ) -> Result<BroadcastState<MK, MV>, StateError> {
        let MapStateDescriptor { name, ttl, .. } = descriptor;
        let types = format!("{}, {}", type_name::<MK>(), type_name::<MV>());
        let description = format!("BroadcastState<{types}>");
        let map = Broadcast::<MK, MV>(Arc::default());
        let index = self.register(name, description, ttl, map, |_| true)?;
        Ok(BroadcastState {
            index,
            kind: PhantomData,
        })
    }

    fn register<S: OperatorState>(
        &mut self,
        name: String,
        description: String,
        ttl: Option<StateTtlConfig>,
        mut state: S,
        same: impl FnOnce(&S) -> bool,
    ) -> Result<u32, StateError> {
        if ttl.is_some() {
            return Err(StateError::TtlOfOperatorState { name });
        }
        if let Some((known, index)) = self.states.iter().zip(0..).find(|(s, _)| s.name == name) {
            let state: &dyn Any = &*known.state;
            if state.downcast_ref::<S>().is_some_and(same) {
                return Ok(index);
            }
            return Err(StateError::AlreadyRegistered {
                name,
                first: known.description.clone(),
                second: description,
            });
        }
        let index = u32::try_from(self.states.len()).expect("a program names fewer states");
        if let Some(restored) = &self.restored {
            state.restore(restored, &name)?;
        }
        self.states.push(Registered {
            name,
            description,
            state: Box::new(state),
        });
        Ok(index)
    }

    fn get<S: Any>(&self, index: u32) -> &S {
        self.states
            .get(index as usize)
            .and_then(|registered| {
                let state: &dyn Any = &*registered.state;
                state.downcast_ref()
            })
            .expect(FOREIGN)
    }

    fn get_mut<S: Any>(&mut self, index: u32) -> &mut S {
        self.states
            .get_mut(index as usize)
            .and_then(|registered| {
                let state: &mut dyn Any = &mut *registered.state;
                state.downcast_mut()
            })
            .expect(FOREIGN)
    }

    /// Names of the registered states, in order of registration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|state| state.name.as_str())
    }
}

/// The handle of a list of operator state.
pub struct OperatorListState<T> {
    index: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for OperatorListState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OperatorListState<T> {}

impl<T> Default for OperatorListState<T> {
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self {
            index: UNREGISTERED,
            kind: PhantomData,
        }
    }
}

impl<T: Record> OperatorListState<T> {
    fn list<C: OperatorStateAccess + ?Sized>(self, cx: &mut C) -> &mut Vec<T> {
        let state = cx.operator_state_mut();
        Arc::make_mut(&mut state.get_mut::<List<T>>(self.index).values)
    }

    /// The elements, in the order of addition.
    pub fn get<'c, C: OperatorStateRead + ?Sized>(&self, cx: &'c C) -> &'c [T] {
        &cx.operator_state().get::<List<T>>(self.index).values
    }

    /// Appends an element.
    pub fn add<C: OperatorStateAccess + ?Sized>(&self, cx: &mut C, value: T) {
        self.list(cx).push(value);
    }

    /// Appends several elements.
    pub fn add_all<C>(&self, cx: &mut C, values: impl IntoIterator<Item = T>)
    where
        C: OperatorStateAccess + ?Sized,
    {
        self.list(cx).extend(values);
    }

    /// Replaces the elements.
    pub fn update<C: OperatorStateAccess + ?Sized>(&self, cx: &mut C, values: Vec<T>) {
        *self.list(cx) = values;
    }

    /// Removes all elements.
    pub fn clear<C: OperatorStateAccess + ?Sized>(&self, cx: &mut C) {
        self.list(cx).clear();
    }
}

/// The handle of a broadcast state: a map that is the same in all subtasks. Iteration is in the
/// order in which keys were put first.
///
/// ```
/// use flott_state::{MapStateDescriptor, OperatorBackend};
///
/// # fn main() -> Result<(), flott_state::StateError> {
/// let mut state = OperatorBackend::new();
/// let rules = state.broadcast_state(MapStateDescriptor::<u32, String>::new("rules"))?;
/// rules.put(&mut state, 2, "n > 10".to_owned());
/// rules.put(&mut state, 1, "n < 0".to_owned());
/// assert_eq!(rules.get(&state, &1).map(String::as_str), Some("n < 0"));
/// let order: Vec<u32> = rules.iter(&state).map(|(id, _)| *id).collect();
/// assert_eq!(order, [2, 1]);
/// # Ok(())
/// # }
/// ```
pub struct BroadcastState<MK, MV> {
    index: u32,
    kind: PhantomData<fn() -> (MK, MV)>,
}

impl<MK, MV> Clone for BroadcastState<MK, MV> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<MK, MV> Copy for BroadcastState<MK, MV> {}

impl<MK, MV> Default for BroadcastState<MK, MV> {
    /// A handle to be replaced by a registered one in `open`.
    fn default() -> Self {
        Self {
            index: UNREGISTERED,
            kind: PhantomData,
        }
    }
}

impl<MK: SubKey, MV: Record> BroadcastState<MK, MV> {
    fn map<C: OperatorStateRead + ?Sized>(self, cx: &C) -> &OrderedMap<MK, MV> {
        &cx.operator_state().get::<Broadcast<MK, MV>>(self.index).0
    }

    fn map_mut<C: OperatorStateAccess + ?Sized>(self, cx: &mut C) -> &mut OrderedMap<MK, MV> {
        let state = cx.operator_state_mut();
        Arc::make_mut(&mut state.get_mut::<Broadcast<MK, MV>>(self.index).0)
    }

    /// The value of the key.
    pub fn get<'c, C: OperatorStateRead + ?Sized>(&self, cx: &'c C, key: &MK) -> Option<&'c MV> {
        self.map(cx).get(key)
    }

    /// Whether the key has a value.
    pub fn contains<C: OperatorStateRead + ?Sized>(&self, cx: &C, key: &MK) -> bool {
        self.map(cx).get(key).is_some()
    }

    /// All entries.
    pub fn iter<'c, C: OperatorStateRead + ?Sized>(
        &self,
        cx: &'c C,
    ) -> impl Iterator<Item = (&'c MK, &'c MV)> + use<'c, C, MK, MV> {
        self.map(cx).iter()
    }

    /// Whether there are no entries.
    pub fn is_empty<C: OperatorStateRead + ?Sized>(&self, cx: &C) -> bool {
        self.map(cx).is_empty()
    }

    /// Sets the value of the key.
    pub fn put<C: OperatorStateAccess + ?Sized>(&self, cx: &mut C, key: MK, value: MV) {
        self.map_mut(cx).insert(key, value);
    }

    /// Removes the key, and returns its value.
    pub fn remove<C: OperatorStateAccess + ?Sized>(&self, cx: &mut C, key: &MK) -> Option<MV> {
        self.map_mut(cx).remove(key)
    }

    /// Removes all entries.
    pub fn clear<C: OperatorStateAccess + ?Sized>(&self, cx: &mut C) {
        self.map_mut(cx).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_name_has_one_kind_and_type() {
        let mut state = OperatorBackend::new();
        let list = state
            .list_state(ListStateDescriptor::<u64>::new("a"))
            .unwrap();
        list.add_all(&mut state, [1, 2]);
        let again = state
            .list_state(ListStateDescriptor::<u64>::new("a"))
            .unwrap();
        assert_eq!(again.get(&state), [1, 2]);
        let union = state.union_list_state(ListStateDescriptor::<u64>::new("a"));
        assert!(matches!(union, Err(StateError::AlreadyRegistered { .. })));
        let other = state.list_state(ListStateDescriptor::<u32>::new("a"));
        assert!(matches!(other, Err(StateError::AlreadyRegistered { .. })));
        let map = state.broadcast_state(MapStateDescriptor::<u64, u64>::new("a"));
        assert!(matches!(map, Err(StateError::AlreadyRegistered { .. })));
        assert_eq!(state.names().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn operator_state_does_not_expire() {
        let ttl = StateTtlConfig::new(Duration::from_secs(1));
        let descriptor = MapStateDescriptor::<u32, u32>::new("rules").with_ttl(ttl);
        let refused = OperatorBackend::new().broadcast_state(descriptor);
        assert!(matches!(
            refused.map(|_| ()),
            Err(StateError::TtlOfOperatorState { .. })
        ));
    }
}
