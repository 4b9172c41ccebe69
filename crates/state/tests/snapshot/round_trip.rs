//! What is handed over comes back, whatever kind of state it is.

use std::time::Duration;

use flott_record::hash::stable_hash;
use flott_state::{
    AggregateFunction, AggregatingStateDescriptor, Compression, KeyedBackend, KeyedTable,
    ListStateDescriptor, MapStateDescriptor, OperatorBackend, OperatorSnapshot,
    ReducingStateDescriptor, StateError, StateKind, StateTtlConfig, TimeDomain, Timers,
    ValueStateDescriptor, describe,
};

use crate::{Blobs, encode, encode_with, reopen};

struct Longest;

impl AggregateFunction<String> for Longest {
    type Accumulator = String;
    type Output = usize;

    fn create_accumulator(&self) -> String {
        String::new()
    }
    fn add(&self, longest: &mut String, value: String) {
        if value.len() > longest.len() {
            *longest = value;
        }
    }
    fn get_result(&self, longest: &String) -> usize {
        longest.len()
    }
    fn merge(&self, longest: &mut String, other: String) {
        self.add(longest, other);
    }
}

fn ttl() -> StateTtlConfig {
    StateTtlConfig::new(Duration::from_millis(100))
}

fn of(name: &str) -> (u64, String) {
    (stable_hash(name), name.to_owned())
}

fn snapshot_of(backend: &mut KeyedBackend<String>) -> Blobs {
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.keyed(backend).unwrap();
    encode(&snapshot)
}

/// Registers one state of each kind, with or without time to live, and adds to or reads each.
macro_rules! all_kinds {
    ($backend:expr, $ttl:expr) => {{
        let backend: &mut KeyedBackend<String> = $backend;
        let ttl: Option<StateTtlConfig> = $ttl;
        let mut value = ValueStateDescriptor::<(u32, Option<String>)>::new("value");
        let mut list = ListStateDescriptor::<u64>::new("list");
        let mut map = MapStateDescriptor::<String, i8>::new("map");
        let mut reducing = ReducingStateDescriptor::new("reducing", |a: &mut i64, b| *a += b);
        let mut aggregating = AggregatingStateDescriptor::new("aggregating", Longest);
        if let Some(ttl) = ttl {
            value = value.with_ttl(ttl.clone());
            list = list.with_ttl(ttl.clone());
            map = map.with_ttl(ttl.clone());
            reducing = reducing.with_ttl(ttl.clone());
            aggregating = aggregating.with_ttl(ttl);
        }
        (
            backend.value_state(value).unwrap(),
            backend.list_state(list).unwrap(),
            backend.map_state(map).unwrap(),
            backend.reducing_state(reducing).unwrap(),
            backend.aggregating_state(aggregating).unwrap(),
        )
    }};
}

#[test]
fn every_kind_of_keyed_state_comes_back() {
    for ttl in [None, Some(ttl())] {
        let mut backend = KeyedBackend::new();
        let (value, list, map, reducing, aggregating) = all_kinds!(&mut backend, ttl.clone());
        backend.set_processing_time(1_000);
        for name in ["a", "b"] {
            let (hash, key) = of(name);
            backend.set_current_key(hash, &key);
            value.update(&mut backend, (7, Some(key.clone())));
            list.add_all(&mut backend, [3, 1, 2]);
            map.put(&mut backend, "y".to_owned(), 1);
            map.put(&mut backend, "x".to_owned(), 2);
            reducing.add(&mut backend, 20);
            reducing.add(&mut backend, 22);
            aggregating.add(&mut backend, "four".to_owned());
        }
        let blobs = snapshot_of(&mut backend);

        let from = reopen(&blobs);
        assert_eq!(from.unclaimed().len(), 5);
        let mut backend = KeyedBackend::restored(&from).unwrap();
        let (value, list, map, reducing, aggregating) = all_kinds!(&mut backend, ttl);
        assert_eq!(from.unclaimed(), []);
        backend.set_processing_time(1_099);
        for name in ["a", "b"] {
            let (hash, key) = of(name);
            backend.set_current_key(hash, &key);
            assert_eq!(value.value(&mut backend), Some(&(7, Some(key))));
            assert_eq!(list.get(&mut backend), [3, 1, 2]);
            let entries: Vec<_> = map
                .iter(&mut backend)
                .map(|(k, v)| (k.clone(), *v))
                .collect();
            assert_eq!(entries, [("y".to_owned(), 1), ("x".to_owned(), 2)]);
            assert_eq!(reducing.get(&mut backend), Some(&42));
            assert_eq!(aggregating.get(&mut backend), Some(4));
        }
        assert!(backend.states().all(|(_, rows)| rows == 2));
    }
}

#[test]
fn what_has_expired_is_left_out_and_what_has_not_keeps_its_age() {
    let mut backend = KeyedBackend::new();
    let (value, list, map, reducing, _) =
        all_kinds!(&mut backend, Some(ttl().disable_cleanup_in_background()));
    for (now, name) in [(0, "old"), (50, "mixed"), (60, "new")] {
        backend.set_processing_time(now);
        let (hash, key) = of(name);
        backend.set_current_key(hash, &key);
        value.update(&mut backend, (1, None));
        reducing.add(&mut backend, 1);
        list.add(&mut backend, 1);
        map.put(&mut backend, "1".to_owned(), 1);
        if name == "mixed" {
            backend.set_processing_time(0);
            map.put(&mut backend, "0".to_owned(), 0);
            backend.set_processing_time(now);
        }
    }
    backend.set_processing_time(100);
    let blobs = snapshot_of(&mut backend);
    let described = describe(Box::new(blobs.keyed.clone())).unwrap();
    for state in &described[..4] {
        assert_eq!((state.rows, state.ttl), (2, Some(100)), "{}", state.name);
    }

    let mut backend = KeyedBackend::restored(&reopen(&blobs)).unwrap();
    let (value, list, map, ..) = all_kinds!(&mut backend, Some(ttl()));
    backend.set_processing_time(149);
    let (hash, key) = of("mixed");
    backend.set_current_key(hash, &key);
    assert_eq!(value.value(&mut backend), Some(&(1, None)));
    assert_eq!(list.get(&mut backend), [1]);
    assert_eq!(map.keys(&mut backend).collect::<Vec<_>>(), ["1"]);
    backend.set_processing_time(150);
    assert_eq!(value.value(&mut backend), None);
    assert!(list.get(&mut backend).is_empty());
    assert!(map.is_empty(&mut backend));
}

#[test]
fn timers_come_back_in_the_order_in_which_they_fire() {
    let mut backend = KeyedBackend::new();
    let mut windows = Timers::<String, (i64, i64)>::default();
    for name in ["a", "b", "c"] {
        let (hash, key) = of(name);
        backend.set_current_key(hash, &key);
        backend.register_timer(TimeDomain::EventTime, 20);
        backend.register_timer(TimeDomain::EventTime, 10);
        backend.register_timer(TimeDomain::ProcessingTime, -5);
        windows.event_time.register(9, hash, &key, &(0, 10));
    }
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.keyed(&mut backend).unwrap();
    snapshot.timers("windows", &mut windows).unwrap();
    let from = reopen(&encode(&snapshot));

    let mut backend = KeyedBackend::<String>::restored(&from).unwrap();
    let mut fired = Vec::new();
    while let Some(at) = backend.next_due(TimeDomain::EventTime, 15) {
        assert_eq!(stable_hash(backend.current_key()), backend.current_hash());
        fired.push((at, backend.current_key().clone()));
    }
    fired.sort();
    assert_eq!(fired, ["a", "b", "c"].map(|key| (10, key.to_owned())));
    assert_eq!(backend.timers().event_time.len(), 3);
    assert_eq!(backend.timers().processing_time.next_deadline(), Some(-5));
    let windows = from.timers::<String, (i64, i64)>("windows").unwrap();
    assert_eq!(windows.event_time.len(), 3);
    assert!(
        windows
            .event_time
            .iter()
            .all(|(at, _, _, window)| (at, *window) == (9, (0, 10)))
    );
}

#[test]
fn what_an_operator_keeps_itself_comes_back() {
    let mut table = KeyedTable::<u64, Vec<String>>::new();
    let mut panes = [
        (10_i64, KeyedTable::<u64, u32>::new()),
        (20, KeyedTable::new()),
    ];
    for key in 0..1_000_u64 {
        table.insert(stable_hash(&key), key, vec![key.to_string()]);
        let pane = &mut panes[usize::from(key % 3 == 0)];
        pane.1.insert(stable_hash(&key), key, 1);
    }
    let mut snapshot = OperatorSnapshot::new(128);
    assert!(snapshot.is_empty());
    snapshot.table("table", &mut table).unwrap();
    let tables = panes.iter_mut().map(|(start, pane)| (*start, pane));
    snapshot.tables("panes", tables).unwrap();
    snapshot.value("watermark", &Some(5_i64)).unwrap();
    snapshot
        .list("splits", &["a".to_owned(), "b".to_owned()])
        .unwrap();
    assert!(!snapshot.is_empty());
    let again = snapshot.value("watermark", &0_u8);
    assert!(matches!(again, Err(StateError::AlreadyRegistered { .. })));
    table.clear();

    let blobs = encode_with(&snapshot, Compression::Lz4);
    assert!(blobs.keyed.len() < encode(&snapshot).keyed.len());
    let from = reopen(&blobs);
    let table = from.table::<u64, Vec<String>>("table").unwrap();
    assert_eq!(table.len(), 1_000);
    assert!(
        table
            .iter()
            .all(|(_, key, value)| *value == [key.to_string()])
    );
    let panes = from.tables::<u64, i64, u32>("panes").unwrap();
    let mut sizes: Vec<_> = panes
        .iter()
        .map(|(start, pane)| (*start, pane.len()))
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(10, 666), (20, 334)]);
    assert_eq!(
        from.value::<Option<i64>>("watermark").unwrap(),
        [(0, Some(5))]
    );
    assert_eq!(from.list::<String>("splits").unwrap(), ["a", "b"]);
    assert_eq!(from.unclaimed(), []);
    assert!(from.table::<u64, u64>("not there").unwrap().is_empty());
    assert_eq!(from.value::<u64>("not there").unwrap(), []);
}

#[test]
fn operator_state_comes_back() {
    let mut state = OperatorBackend::new();
    let list = state
        .list_state(ListStateDescriptor::<u64>::new("list"))
        .unwrap();
    let union = state
        .union_list_state(ListStateDescriptor::<u64>::new("union"))
        .unwrap();
    let rules = MapStateDescriptor::<u32, String>::new("rules");
    let broadcast = state.broadcast_state(rules.clone()).unwrap();
    list.add_all(&mut state, [1, 2]);
    union.add(&mut state, 3);
    broadcast.put(&mut state, 9, "nine".to_owned());
    broadcast.put(&mut state, 1, "one".to_owned());
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.operator(&mut state).unwrap();
    list.clear(&mut state);
    broadcast.clear(&mut state);
    let blobs = encode(&snapshot);
    assert_eq!(blobs.keyed, []);

    let from = reopen(&blobs);
    let mut state = OperatorBackend::restored(&from);
    let list = state
        .list_state(ListStateDescriptor::<u64>::new("list"))
        .unwrap();
    let union = state
        .union_list_state(ListStateDescriptor::<u64>::new("union"))
        .unwrap();
    assert_eq!(from.unclaimed().len(), 1);
    let broadcast = state.broadcast_state(rules).unwrap();
    assert_eq!(list.get(&state), [1, 2]);
    assert_eq!(union.get(&state), [3]);
    let order: Vec<_> = broadcast.iter(&state).map(|(id, _)| *id).collect();
    assert_eq!(order, [9, 1]);
}

#[test]
fn what_has_become_something_else_is_refused_by_name() {
    let mut backend = KeyedBackend::<u32>::new();
    let count = ValueStateDescriptor::<u64>::new("count");
    backend.value_state(count.clone()).unwrap();
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.keyed(&mut backend).unwrap();
    let from = reopen(&encode(&snapshot));

    assert_eq!(from.unclaimed()[0].kind, StateKind::Value);
    let refused = |message: &str, result: Result<(), StateError>| {
        assert_eq!(result.unwrap_err().to_string(), message);
    };
    let backend = || KeyedBackend::<u32>::restored(&from).unwrap();
    refused(
        "state \"count\" is a value state in the snapshot and cannot be restored as a list state; \
         give the new state another name",
        backend()
            .list_state(ListStateDescriptor::<u64>::new("count"))
            .map(|_| ()),
    );
    refused(
        "state \"count\" was kept without time to live and cannot be restored with one; leave \
         its descriptor as it was, or give the new state another name",
        backend().value_state(count.with_ttl(ttl())).map(|_| ()),
    );
    let other = backend().value_state(ValueStateDescriptor::<String>::new("count"));
    assert!(matches!(
        other.map(|_| ()),
        Err(StateError::Incompatible { .. })
    ));
    // The operator's own names are apart from those of its function.
    assert!(from.table::<u32, u64>("count").unwrap().is_empty());
}

#[test]
fn a_table_under_other_hashes_is_refused() {
    let mut table = KeyedTable::<u64, u64>::new();
    table.insert(1, 1, 1);
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("table", &mut table).unwrap();
    let refused = snapshot.encode(Compression::None, &mut Vec::new(), &mut Vec::new());
    assert!(matches!(refused, Err(StateError::Hash { .. })));
}
