//! State that was written as another type: read, or refused before its first row.

use flott_record::hash::stable_hash;
use flott_state::{
    KeyedBackend, KeyedTable, ListStateDescriptor, MapStateDescriptor, OperatorBackend,
    OperatorSnapshot, StateError, ValueStateDescriptor,
};
use serde::{Deserialize, Serialize};

use crate::{Blobs, encode, reopen};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Visit {
    pages: u32,
    from: String,
    gone: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct VisitNow {
    #[serde(default)]
    country: Option<String>,
    #[serde(alias = "from")]
    source: String,
    pages: u64,
}

fn visit(pages: u32) -> Visit {
    Visit {
        pages,
        from: "mail".to_owned(),
        gone: vec![1, 2],
    }
}

fn visit_now(pages: u64) -> VisitNow {
    VisitNow {
        country: None,
        source: "mail".to_owned(),
        pages,
    }
}

/// Keyed by `u32`, and by no key.
fn written() -> Blobs {
    let mut backend = KeyedBackend::<u32>::new();
    let last = ValueStateDescriptor::<Visit>::new("last");
    let last = backend.value_state(last).unwrap();
    let all = ListStateDescriptor::<Visit>::new("all");
    let all = backend.list_state(all).unwrap();
    let by_day = MapStateDescriptor::<u16, Visit>::new("by-day");
    let by_day = backend.map_state(by_day).unwrap();
    backend.set_current_key(stable_hash(&7_u32), &7);
    last.update(&mut backend, visit(1));
    all.add_all(&mut backend, [visit(2), visit(3)]);
    by_day.put(&mut backend, 4, visit(5));
    let mut state = OperatorBackend::new();
    let list = ListStateDescriptor::<Visit>::new("list");
    state.list_state(list).unwrap().add(&mut state, visit(6));
    let rules = MapStateDescriptor::<u8, Visit>::new("rules");
    let rules = state.broadcast_state(rules).unwrap();
    rules.put(&mut state, 9, visit(7));
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.keyed(&mut backend).unwrap();
    snapshot.operator(&mut state).unwrap();
    encode(&snapshot)
}

#[test]
fn every_kind_of_state_follows_its_type() {
    let from = reopen(&written());
    // The key has become wider, too: its hash is what it was.
    let mut backend = KeyedBackend::<i64>::restored(&from).unwrap();
    let last = ValueStateDescriptor::<VisitNow>::new("last");
    let last = backend.value_state(last).unwrap();
    let all = ListStateDescriptor::<VisitNow>::new("all");
    let all = backend.list_state(all).unwrap();
    let by_day = MapStateDescriptor::<u32, VisitNow>::new("by-day");
    let by_day = backend.map_state(by_day).unwrap();
    backend.set_current_key(stable_hash(&7_i64), &7);
    assert_eq!(last.value(&mut backend), Some(&visit_now(1)));
    assert_eq!(all.get(&mut backend), [visit_now(2), visit_now(3)]);
    assert_eq!(by_day.get(&mut backend, &4), Some(&visit_now(5)));
    let mut state = OperatorBackend::restored(&from);
    let list = ListStateDescriptor::<VisitNow>::new("list");
    assert_eq!(state.list_state(list).unwrap().get(&state), [visit_now(6)]);
    let rules = MapStateDescriptor::<u64, VisitNow>::new("rules");
    let rules = state.broadcast_state(rules).unwrap();
    assert_eq!(rules.get(&state, &9), Some(&visit_now(7)));
}

#[test]
fn what_cannot_follow_is_refused_with_state_and_field() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Narrow {
        pages: u8,
    }
    let from = reopen(&written());
    let mut backend = KeyedBackend::<u32>::restored(&from).unwrap();
    let refused = backend.value_state(ValueStateDescriptor::<Narrow>::new("last"));
    assert_eq!(
        refused.map(|_| ()).unwrap_err().to_string(),
        "state \"last\" cannot be restored: Visit.pages was u32 and is u8: it may not fit"
    );
    let refused = backend.list_state(ListStateDescriptor::<Narrow>::new("all"));
    assert_eq!(
        refused.map(|_| ()).unwrap_err().to_string(),
        "state \"all\" cannot be restored: the value[].pages was u32 and is u8: it may not fit"
    );
}

#[test]
fn a_key_that_would_be_found_elsewhere_is_refused() {
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
    struct Key {
        id: u32,
    }
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
    struct KeyNow {
        #[serde(default)]
        shop: u8,
        id: u32,
    }
    let mut table = KeyedTable::<Key, u8>::new();
    table.insert(stable_hash(&Key { id: 1 }), Key { id: 1 }, 1);
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("table", &mut table).unwrap();
    let from = reopen(&encode(&snapshot));
    let refused = from.table::<KeyNow, u8>("table").map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, StateError::Incompatible { place, .. } if place == "its key"),
        "{refused}"
    );
    assert_eq!(from.table::<Key, u64>("table").unwrap().len(), 1);
}
