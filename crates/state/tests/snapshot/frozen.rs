//! Snapshots of version 1 as they were written once, restored for ever. The files in
//! `testdata/snapshot-v1` are never written again: what cannot read them is wrong.

use std::path::PathBuf;
use std::time::Duration;

use flott_record::hash::stable_hash;
use flott_state::{
    Compression, KeyedBackend, KeyedTable, ListStateDescriptor, MapStateDescriptor,
    OperatorBackend, OperatorSnapshot, ReducingStateDescriptor, RestorePlace, RestoredOperator,
    StateKind, StateTtlConfig, TimeDomain, Timers, ValueStateDescriptor, describe,
};
use serde::{Deserialize, Serialize};

use crate::{Blobs, encode_with, reopen};

/// Layouts of the types when the files were written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    visits: u32,
    name: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Guest,
    Member { since: i64 },
}

fn profile(number: u32) -> Profile {
    Profile {
        visits: number,
        name: number.is_multiple_of(2).then(|| format!("name-{number}")),
        kind: match number % 3 {
            0 => Kind::Guest,
            since => Kind::Member {
                since: -i64::from(since),
            },
        },
    }
}

fn ttl() -> StateTtlConfig {
    StateTtlConfig::new(Duration::from_secs(60))
}

fn key(number: u32) -> (u64, String) {
    let key = format!("key-{number}");
    (stable_hash(&key), key)
}

/// What the files were written from.
fn snapshot() -> OperatorSnapshot {
    let mut snapshot = OperatorSnapshot::new(128);
    let mut backend = KeyedBackend::<String>::new();
    let value = backend.value_state(ValueStateDescriptor::<Profile>::new("profile"));
    let list = backend.list_state(ListStateDescriptor::<u64>::new("list").with_ttl(ttl()));
    let map = backend.map_state(MapStateDescriptor::<String, i16>::new("map").with_ttl(ttl()));
    let sum = ReducingStateDescriptor::new("sum", |sum: &mut f64, value| *sum += value);
    let sum = backend.reducing_state(sum).unwrap();
    let (value, list, map) = (value.unwrap(), list.unwrap(), map.unwrap());
    backend.set_processing_time(1_000);
    let mut table = KeyedTable::<(u32, char), Vec<u8>>::new();
    let mut panes = [
        (0_i64, KeyedTable::<u64, u64>::new()),
        (60_000, KeyedTable::new()),
    ];
    let mut timers = Timers::<u64, (i64, i64)>::default();
    for number in 0..100_u32 {
        let (hash, key) = key(number);
        backend.set_current_key(hash, &key);
        value.update(&mut backend, profile(number));
        list.add_all(&mut backend, [u64::from(number), 1]);
        map.put(&mut backend, "n".to_owned(), i16::try_from(number).unwrap());
        sum.add(&mut backend, f64::from(number) / 2.0);
        backend.register_timer(TimeDomain::EventTime, i64::from(number % 7));
        let own = (number, 'ß');
        table.insert(stable_hash(&own), own, vec![1, 2, 3]);
        let long = u64::from(number);
        let hash = stable_hash(&long);
        panes[usize::from(number % 4 == 0)]
            .1
            .insert(hash, long, long * long);
        timers
            .processing_time
            .register(9, hash, &long, &(0, 60_000));
    }
    snapshot.keyed(&mut backend).unwrap();
    snapshot.table("own", &mut table).unwrap();
    let panes = panes.iter_mut().map(|(start, pane)| (*start, pane));
    snapshot.tables("panes", panes).unwrap();
    snapshot.timers("timers", &mut timers).unwrap();

    let mut state = OperatorBackend::new();
    let offsets = state.list_state(ListStateDescriptor::<(String, u64)>::new("offsets"));
    offsets.unwrap().add(&mut state, ("file".to_owned(), 42));
    let all = state.union_list_state(ListStateDescriptor::<u8>::new("all"));
    all.unwrap().add_all(&mut state, [1, 2, 3]);
    let rules = state.broadcast_state(MapStateDescriptor::<u32, String>::new("rules"));
    rules.unwrap().put(&mut state, 5, "five".to_owned());
    snapshot.operator(&mut state).unwrap();
    snapshot.value("watermark", &1_700_000_000_000_i64).unwrap();
    snapshot.list("pending", &["a".to_owned()]).unwrap();
    snapshot
}

fn check(from: &RestoredOperator) {
    let mut backend = KeyedBackend::<String>::restored(from).unwrap();
    let value = backend.value_state(ValueStateDescriptor::<Profile>::new("profile"));
    let list = backend.list_state(ListStateDescriptor::<u64>::new("list").with_ttl(ttl()));
    let map = backend.map_state(MapStateDescriptor::<String, i16>::new("map").with_ttl(ttl()));
    let sum = ReducingStateDescriptor::new("sum", |sum: &mut f64, value| *sum += value);
    let sum = backend.reducing_state(sum).unwrap();
    let (value, list, map) = (value.unwrap(), list.unwrap(), map.unwrap());
    backend.set_processing_time(60_999);
    let table = from.table::<(u32, char), Vec<u8>>("own").unwrap();
    let panes = from.tables::<u64, i64, u64>("panes").unwrap();
    let timers = from.timers::<u64, (i64, i64)>("timers").unwrap();
    assert_eq!((table.len(), panes.len()), (100, 2));
    assert_eq!(timers.processing_time.len(), 100);
    for number in 0..100_u32 {
        let (hash, key) = key(number);
        backend.set_current_key(hash, &key);
        assert_eq!(value.value(&mut backend), Some(&profile(number)));
        assert_eq!(list.get(&mut backend), [u64::from(number), 1]);
        let entry = map.get(&mut backend, &"n".to_owned()).copied();
        assert_eq!(entry, i16::try_from(number).ok());
        assert_eq!(sum.get(&mut backend), Some(&(f64::from(number) / 2.0)));
        assert!(backend.delete_timer(TimeDomain::EventTime, i64::from(number % 7)));
        let own = (number, 'ß');
        assert_eq!(table.get(stable_hash(&own), &own), Some(&vec![1, 2, 3]));
        let start = if number % 4 == 0 { 60_000 } else { 0 };
        let pane = panes.iter().find(|(known, _)| *known == start);
        let long = u64::from(number);
        let square = pane.and_then(|(_, pane)| pane.get(stable_hash(&long), &long));
        assert_eq!(square, Some(&(long * long)));
    }
    backend.set_processing_time(61_000);
    assert!(list.get(&mut backend).is_empty(), "the age of rows is kept");

    let mut state = OperatorBackend::restored(from);
    let offsets = state.list_state(ListStateDescriptor::<(String, u64)>::new("offsets"));
    assert_eq!(offsets.unwrap().get(&state), [("file".to_owned(), 42)]);
    let all = state.union_list_state(ListStateDescriptor::<u8>::new("all"));
    assert_eq!(all.unwrap().get(&state), [1, 2, 3]);
    let rules = state.broadcast_state(MapStateDescriptor::<u32, String>::new("rules"));
    let five = rules.unwrap().get(&state, &5).cloned();
    assert_eq!(five.as_deref(), Some("five"));
    let watermark = from.value::<i64>("watermark").unwrap();
    assert_eq!(watermark, [(0, 1_700_000_000_000)]);
    assert_eq!(from.list::<String>("pending").unwrap(), ["a"]);
    assert_eq!(from.unclaimed(), []);
}

fn file(name: &str) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(directory.join("testdata/snapshot-v1").join(name)).unwrap()
}

#[test]
fn snapshots_of_version_1_are_restored() {
    for compression in ["plain", "lz4"] {
        check(&reopen(&Blobs {
            keyed: file(&format!("keyed-{compression}")),
            operator: file("operator-plain"),
        }));
    }
}

#[test]
fn files_are_read_as_well_as_bytes() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = directory.join("testdata/snapshot-v1/keyed-plain");
    let states = describe(Box::new(std::fs::File::open(path).unwrap())).unwrap();
    let table = states.iter().find(|state| state.name == "own").unwrap();
    assert_eq!((table.kind, table.rows), (StateKind::Table, 100));
    assert_eq!(table.value.to_string(), "[u8]");
    assert_eq!(states.iter().map(|state| state.rows).sum::<u64>(), 800);
}

#[test]
fn snapshots_of_today_are_restored() {
    for compression in [Compression::None, Compression::Lz4] {
        check(&reopen(&encode_with(&snapshot(), compression)));
    }
}

#[test]
fn a_subtask_rolls_back_to_what_it_has_kept() {
    let place = RestorePlace::new(0, 1, 128, 1);
    let snapshot = snapshot();
    let from = RestoredOperator::retained(place.clone(), &snapshot);
    assert_eq!(from.unclaimed().len(), 13);
    check(&from);
    // Again: what was restored has changed, the snapshot has not.
    check(&RestoredOperator::retained(place, &snapshot));
}
