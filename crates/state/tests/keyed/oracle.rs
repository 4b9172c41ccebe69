//! Random operations on all states, in namespaces, against rows that are kept the slow way.

use std::collections::BTreeMap;
use std::time::Duration;

use flott_record::hash::stable_hash;
use flott_state::{
    AggregatingState, AggregatingStateDescriptor, InNamespace, KeyedBackend, ListState,
    ListStateDescriptor, MapState, MapStateDescriptor, ReducingState, ReducingStateDescriptor,
    StateTtlConfig, StateVisibility, UpdateType, ValueState, ValueStateDescriptor,
};
use proptest::prelude::*;

use crate::Mean;

#[derive(Debug, Clone)]
enum Op {
    Key(u8),
    Window(u8),
    Advance(i64),
    Value,
    ValueMut(u32),
    Update(u32),
    ClearValue,
    Add(u32),
    AddAll(Vec<u32>),
    List,
    SetList(Vec<u32>),
    ClearList,
    Put(u8, u32),
    Get(u8),
    GetMut(u8, u32),
    OrInsert(u8, u32),
    Remove(u8),
    Contains(u8),
    Entries,
    MapIsEmpty,
    ClearMap,
    Reduce(u32),
    Reduced,
    ClearReduced,
    Aggregate(u32),
    Aggregated,
    ClearAggregated,
    ClearAll,
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..1_000_u32;
    let m = 0..14_u8;
    let values = prop::collection::vec(0..1_000_u32, 0..4);
    prop_oneof![
        14 => (0..5_u8).prop_map(Op::Key),
        8 => (0..3_u8).prop_map(Op::Window),
        10 => (0..12_i64).prop_map(Op::Advance),
        4 => Just(Op::Value),
        3 => n.clone().prop_map(Op::ValueMut),
        5 => n.clone().prop_map(Op::Update),
        2 => Just(Op::ClearValue),
        5 => n.clone().prop_map(Op::Add),
        2 => values.clone().prop_map(Op::AddAll),
        5 => Just(Op::List),
        1 => values.prop_map(Op::SetList),
        1 => Just(Op::ClearList),
        8 => (m.clone(), n.clone()).prop_map(|(key, value)| Op::Put(key, value)),
        4 => m.clone().prop_map(Op::Get),
        3 => (m.clone(), n.clone()).prop_map(|(key, value)| Op::GetMut(key, value)),
        3 => (m.clone(), n.clone()).prop_map(|(key, value)| Op::OrInsert(key, value)),
        3 => m.clone().prop_map(Op::Remove),
        2 => m.prop_map(Op::Contains),
        4 => Just(Op::Entries),
        3 => Just(Op::MapIsEmpty),
        1 => Just(Op::ClearMap),
        5 => n.clone().prop_map(Op::Reduce),
        4 => Just(Op::Reduced),
        1 => Just(Op::ClearReduced),
        5 => n.prop_map(Op::Aggregate),
        4 => Just(Op::Aggregated),
        1 => Just(Op::ClearAggregated),
        1 => Just(Op::ClearAll),
    ]
}

/// A value with the time of its last use, as the oracle remembers it.
type Stamped<T> = (i64, T);

/// The rules of time to live, written the slow way.
#[derive(Clone, Copy)]
struct Rules {
    ttl: Option<i64>,
    on_read: bool,
    return_expired: bool,
}

impl Rules {
    fn expired(self, stamp: i64, now: i64) -> bool {
        self.ttl.is_some_and(|ttl| now - stamp >= ttl)
    }

    /// What a reader gets; changes or removes the entry as reading does.
    fn read<T: Clone>(self, entry: &mut Option<Stamped<T>>, now: i64) -> Option<T> {
        let (stamp, value) = entry.as_mut()?;
        if !self.expired(*stamp, now) {
            if self.on_read {
                *stamp = now;
            }
            return Some(value.clone());
        }
        let (_, value) = entry.take()?;
        self.return_expired.then_some(value)
    }
}

#[derive(Default)]
struct Row {
    value: Option<Stamped<u32>>,
    list: Vec<Stamped<u32>>,
    map: Vec<(u8, Stamped<u32>)>,
    reduced: Option<Stamped<u32>>,
    aggregated: Option<Stamped<(u64, u64)>>,
}

impl Row {
    fn read_list(&mut self, rules: Rules, now: i64) -> Vec<u32> {
        let all: Vec<u32> = self.list.iter().map(|(_, value)| *value).collect();
        let live: Vec<_> = self
            .list
            .iter()
            .filter(|(stamp, _)| !rules.expired(*stamp, now))
            .copied()
            .collect();
        if live.is_empty() {
            self.list.clear();
            return if rules.return_expired {
                all
            } else {
                Vec::new()
            };
        }
        if rules.on_read {
            self.list = live.iter().map(|(_, value)| (now, *value)).collect();
        } else if !rules.return_expired {
            self.list = live;
        }
        self.list.iter().map(|(_, value)| *value).collect()
    }

    /// The entry of the map, taken out: whoever calls puts it back with [`put_back`](Self::put_back).
    fn map_entry(&mut self, key: u8) -> (usize, Option<Stamped<u32>>) {
        match self.map.iter().position(|(known, _)| *known == key) {
            Some(at) => (at, Some(self.map.remove(at).1)),
            None => (self.map.len(), None),
        }
    }

    fn put_back(&mut self, at: usize, key: u8, entry: Option<Stamped<u32>>) {
        if let Some(entry) = entry {
            self.map.insert(at, (key, entry));
        }
    }

    fn read_map(&mut self, rules: Rules, now: i64) -> Vec<(u8, u32)> {
        let mut seen = Vec::new();
        for (key, entry) in std::mem::take(&mut self.map) {
            let mut entry = Some(entry);
            if let Some(value) = rules.read(&mut entry, now) {
                seen.push((key, value));
            }
            self.map.extend(entry.map(|entry| (key, entry)));
        }
        seen
    }
}

struct Handles {
    value: ValueState<u32, u8>,
    list: ListState<u32, u8>,
    map: MapState<u8, u32, u8>,
    reduced: ReducingState<u32, u8>,
    aggregated: AggregatingState<u32, (u64, u64), u64, u8>,
}

struct Pair {
    state: KeyedBackend<String>,
    handles: Handles,
    rows: BTreeMap<(u8, u8), Row>,
    rules: Rules,
    key: u8,
    window: u8,
    now: i64,
}

impl Pair {
    fn new(ttl: Option<StateTtlConfig>, rules: Rules) -> Self {
        let mut state = KeyedBackend::new();
        let mut value = ValueStateDescriptor::new("value");
        let mut list = ListStateDescriptor::new("list");
        let mut map = MapStateDescriptor::new("map");
        let mut reduced = ReducingStateDescriptor::new("reduced", |sum: &mut u32, n| *sum += n);
        let mut aggregated = AggregatingStateDescriptor::new("aggregated", Mean);
        if let Some(ttl) = ttl {
            value = value.with_ttl(ttl.clone());
            list = list.with_ttl(ttl.clone());
            map = map.with_ttl(ttl.clone());
            reduced = reduced.with_ttl(ttl.clone());
            aggregated = aggregated.with_ttl(ttl);
        }
        let handles = Handles {
            value: state.value_state_in(value).expect("the names are free"),
            list: state.list_state_in(list).expect("the names are free"),
            map: state.map_state_in(map).expect("the names are free"),
            reduced: state
                .reducing_state_in(reduced)
                .expect("the names are free"),
            aggregated: state
                .aggregating_state_in(aggregated)
                .expect("the names are free"),
        };
        let mut pair = Self {
            state,
            handles,
            rows: BTreeMap::new(),
            rules,
            key: 0,
            window: 0,
            now: 0,
        };
        pair.set_key(0);
        pair
    }

    fn set_key(&mut self, key: u8) {
        self.key = key;
        let name = format!("key-{key}");
        // Some keys share a hash.
        self.state.set_current_key(stable_hash(&(key % 3)), &name);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Key(key) => self.set_key(key),
            Op::Window(window) => self.window = window,
            Op::Advance(by) => {
                self.now += by;
                self.state.set_processing_time(self.now);
            }
            Op::ClearAll => {
                self.state.clear_all();
                self.rows.clear();
                assert!(self.state.states().all(|(_, rows)| rows == 0));
                self.set_key(self.key);
            }
            Op::Value | Op::ValueMut(_) | Op::Update(_) | Op::ClearValue => self.value(&op),
            Op::Add(_) | Op::AddAll(_) | Op::List | Op::SetList(_) | Op::ClearList => {
                self.list(op);
            }
            Op::Reduce(_) | Op::Reduced | Op::ClearReduced => self.reduce(&op),
            Op::Aggregate(_) | Op::Aggregated | Op::ClearAggregated => self.aggregate(&op),
            _ => self.map(&op),
        }
    }

    fn value(&mut self, op: &Op) {
        let (rules, now, state) = (self.rules, self.now, self.handles.value);
        let row = self.rows.entry((self.key, self.window)).or_default();
        let cx = &mut InNamespace::new(&mut self.state, &self.window);
        match op {
            Op::Value => {
                let expected = rules.read(&mut row.value, now);
                assert_eq!(state.value(cx).copied(), expected);
            }
            Op::ValueMut(new) => {
                let expected = rules.read(&mut row.value, now);
                let found = state.value_mut(cx);
                assert_eq!(found.as_deref().copied(), expected);
                if let Some(value) = found {
                    *value = *new;
                    row.value = Some((now, *new));
                }
            }
            Op::Update(new) => {
                state.update(cx, *new);
                row.value = Some((now, *new));
            }
            _ => {
                assert_eq!(state.take(cx), rules.read(&mut row.value, now));
                row.value = None;
            }
        }
    }

    fn list(&mut self, op: Op) {
        let (rules, now, state) = (self.rules, self.now, self.handles.list);
        let row = self.rows.entry((self.key, self.window)).or_default();
        let cx = &mut InNamespace::new(&mut self.state, &self.window);
        match op {
            Op::Add(value) => {
                state.add(cx, value);
                row.list.push((now, value));
            }
            Op::AddAll(values) => {
                row.list.extend(values.iter().map(|value| (now, *value)));
                state.add_all(cx, values);
            }
            Op::List => assert_eq!(state.get(cx), row.read_list(rules, now)),
            Op::SetList(values) => {
                row.list = values.iter().map(|value| (now, *value)).collect();
                state.update(cx, values);
            }
            _ => {
                state.clear(cx);
                row.list.clear();
            }
        }
    }

    fn map(&mut self, op: &Op) {
        let (rules, now, state) = (self.rules, self.now, self.handles.map);
        let row = self.rows.entry((self.key, self.window)).or_default();
        let cx = &mut InNamespace::new(&mut self.state, &self.window);
        match *op {
            Op::Put(key, value) => {
                state.put(cx, key, value);
                let (at, entry) = row.map_entry(key);
                let live = entry.is_some_and(|(stamp, _)| !rules.expired(stamp, now));
                let at = if live { at } else { row.map.len() };
                row.put_back(at, key, Some((now, value)));
            }
            Op::Get(key) | Op::Contains(key) => {
                let (at, mut entry) = row.map_entry(key);
                let expected = rules.read(&mut entry, now);
                row.put_back(at, key, entry);
                if matches!(op, Op::Get(_)) {
                    assert_eq!(state.get(cx, &key).copied(), expected);
                } else {
                    assert_eq!(state.contains(cx, &key), expected.is_some());
                }
            }
            Op::GetMut(key, new) => {
                let (at, mut entry) = row.map_entry(key);
                let expected = rules.read(&mut entry, now);
                row.put_back(at, key, expected.map(|_| (now, new)));
                let found = state.get_mut(cx, &key);
                assert_eq!(found.as_deref().copied(), expected);
                if let Some(value) = found {
                    *value = new;
                }
            }
            Op::OrInsert(key, new) => {
                let (at, mut entry) = row.map_entry(key);
                let expected = rules.read(&mut entry, now);
                // What has expired and is not returned goes, and the key comes again at the end.
                let at = if expected.is_some() {
                    at
                } else {
                    row.map.len()
                };
                let value = expected.unwrap_or(new);
                row.put_back(at, key, Some((now, value)));
                assert_eq!(*state.get_or_insert_with(cx, key, || new), value);
            }
            Op::Remove(key) => {
                let (_, mut entry) = row.map_entry(key);
                assert_eq!(state.remove(cx, &key), rules.read(&mut entry, now));
            }
            Op::Entries => {
                let entries: Vec<_> = state.iter(cx).map(|(key, value)| (*key, *value)).collect();
                assert_eq!(entries, row.read_map(rules, now));
            }
            Op::MapIsEmpty => {
                let visible = |stamp: i64| rules.return_expired || !rules.expired(stamp, now);
                let empty = !row.map.iter().any(|(_, (stamp, _))| visible(*stamp));
                assert_eq!(state.is_empty(cx), empty);
            }
            _ => {
                state.clear(cx);
                row.map.clear();
            }
        }
    }

    fn reduce(&mut self, op: &Op) {
        let (rules, now, state) = (self.rules, self.now, self.handles.reduced);
        let row = self.rows.entry((self.key, self.window)).or_default();
        let cx = &mut InNamespace::new(&mut self.state, &self.window);
        match op {
            Op::Reduce(value) => {
                state.add(cx, *value);
                let sum = rules.read(&mut row.reduced, now).unwrap_or(0) + value;
                row.reduced = Some((now, sum));
            }
            Op::Reduced => {
                let expected = rules.read(&mut row.reduced, now);
                assert_eq!(state.get(cx).copied(), expected);
            }
            _ => {
                state.clear(cx);
                row.reduced = None;
            }
        }
    }

    fn aggregate(&mut self, op: &Op) {
        let (rules, now, state) = (self.rules, self.now, self.handles.aggregated);
        let row = self.rows.entry((self.key, self.window)).or_default();
        let cx = &mut InNamespace::new(&mut self.state, &self.window);
        match op {
            Op::Aggregate(value) => {
                state.add(cx, *value);
                let (count, sum) = rules.read(&mut row.aggregated, now).unwrap_or((0, 0));
                row.aggregated = Some((now, (count + 1, sum + u64::from(*value))));
            }
            Op::Aggregated => {
                let expected = rules.read(&mut row.aggregated, now);
                assert_eq!(state.get(cx), expected.map(|(count, sum)| sum / count));
            }
            _ => {
                state.clear(cx);
                row.aggregated = None;
            }
        }
    }
}

const TTL: i64 = 20;

proptest! {
    #[test]
    fn states_are_maps_by_key_and_namespace(ops in prop::collection::vec(op(), 0..400)) {
        let rules = Rules { ttl: None, on_read: false, return_expired: false };
        let mut pair = Pair::new(None, rules);
        for op in ops {
            pair.step(op);
        }
    }

    #[test]
    fn states_expire(
        ops in prop::collection::vec(op(), 0..400),
        on_read in any::<bool>(),
        return_expired in any::<bool>(),
        sweep in 0..6_usize,
    ) {
        // What is returned once more depends on whether the sweep came first.
        let sweep = if return_expired { 0 } else { sweep };
        let mut ttl = StateTtlConfig::new(Duration::from_millis(TTL.unsigned_abs()))
            .cleanup_incrementally(sweep);
        if on_read {
            ttl = ttl.with_update_type(UpdateType::OnReadAndWrite);
        }
        if return_expired {
            ttl = ttl.with_state_visibility(StateVisibility::ReturnExpiredIfNotCleanedUp);
        }
        let rules = Rules { ttl: Some(TTL), on_read, return_expired };
        let mut pair = Pair::new(Some(ttl), rules);
        for op in ops {
            pair.step(op);
        }
    }
}
