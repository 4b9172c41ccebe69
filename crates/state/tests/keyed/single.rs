//! Single properties of keyed states: registration, sweeps, merging, listing of keys.

use std::time::Duration;

use flott_record::hash::stable_hash;
use flott_state::{
    AggregatingStateDescriptor, InNamespace, KeyedBackend, ListStateDescriptor, MapStateDescriptor,
    ReducingStateDescriptor, StateError, StateTtlConfig, ValueStateDescriptor,
};

use crate::Mean;

#[test]
fn the_sweep_removes_what_nobody_reads() {
    let mut state = KeyedBackend::<u64>::new();
    let ttl = StateTtlConfig::new(Duration::from_secs(1)).cleanup_incrementally(10);
    let value = state
        .value_state(ValueStateDescriptor::<u64>::new("value").with_ttl(ttl.clone()))
        .unwrap();
    let list = state
        .list_state(ListStateDescriptor::<u64>::new("list").with_ttl(ttl.clone()))
        .unwrap();
    let map = state
        .map_state(MapStateDescriptor::<u64, u64>::new("map").with_ttl(ttl))
        .unwrap();
    for key in 0..10_000_u64 {
        state.set_current_key(stable_hash(&key), &key);
        value.update(&mut state, key);
        list.add(&mut state, key);
        map.put(&mut state, key, key);
    }
    assert!(state.states().all(|(_, rows)| rows == 10_000));
    state.set_processing_time(1_000);
    for key in 0..3_000_u64 {
        state.set_current_key(stable_hash(&key), &key);
        value.update(&mut state, key);
        list.add(&mut state, key);
        map.put(&mut state, key, key);
    }
    let left: Vec<_> = state.states().collect();
    assert_eq!(left, [("value", 3_000), ("list", 3_000), ("map", 3_000)]);
}

#[test]
fn a_name_has_one_kind_type_and_life() {
    let mut state = KeyedBackend::<u64>::new();
    let count = || ValueStateDescriptor::<u64>::new("count");
    let first = state.value_state(count()).unwrap();
    let second = state.value_state(count()).unwrap();
    state.set_current_key(1, &1);
    first.update(&mut state, 5);
    assert_eq!(second.value(&mut state), Some(&5));

    let other_type = state.value_state(ValueStateDescriptor::<u32>::new("count"));
    let error = other_type.map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "state \"count\" is registered as ValueState<u64> and cannot be ValueState<u32> too; \
         give one of them another name"
    );
    let other_kind = state.list_state(ListStateDescriptor::<u64>::new("count"));
    assert!(matches!(
        other_kind.map(|_| ()),
        Err(StateError::AlreadyRegistered { .. })
    ));
    let windowed = state.value_state_in::<u64, u8>(count()).map(|_| ());
    assert!(windowed.unwrap_err().to_string().contains("per u8"));
    let sum = |sum: &mut u64, n| *sum += n;
    let reducing = state.reducing_state(ReducingStateDescriptor::new("count", sum));
    assert!(reducing.is_err());
    let ttl = StateTtlConfig::new(Duration::from_secs(1));
    let other_life = state.value_state(count().with_ttl(ttl)).map(|_| ());
    assert!(matches!(other_life, Err(StateError::DifferentTtl { .. })));
    let never = StateTtlConfig::new(Duration::ZERO);
    let refused = state.value_state(ValueStateDescriptor::<u64>::new("b").with_ttl(never));
    assert!(matches!(
        refused.map(|_| ()),
        Err(StateError::InvalidTtl { .. })
    ));
}

#[test]
fn namespaces_merge() {
    let mut state = KeyedBackend::<u64>::new();
    let list = state
        .list_state_in::<u32, u8>(ListStateDescriptor::new("list"))
        .unwrap();
    let sum = ReducingStateDescriptor::new("sum", |sum: &mut u32, n| *sum += n);
    let sum = state.reducing_state_in::<u32, u8>(sum).unwrap();
    let mean = AggregatingStateDescriptor::new("mean", Mean);
    let mean = state.aggregating_state_in::<_, _, _, u8>(mean).unwrap();
    for key in [1, 2] {
        state.set_current_key(stable_hash(&key), &key);
        for window in 0..4_u8 {
            let cx = &mut InNamespace::new(&mut state, &window);
            list.add(cx, window.into());
            sum.add(cx, window.into());
            mean.add(cx, window.into());
        }
    }
    for (target, sources) in [(3, [0, 3, 1]), (9, [3, 2, 7])] {
        list.merge_namespaces(&mut state, &target, &sources);
        sum.merge_namespaces(&mut state, &target, &sources);
        mean.merge_namespaces(&mut state, &target, &sources);
    }
    let merged = &mut InNamespace::new(&mut state, &9);
    assert_eq!(list.get(merged), [3, 0, 1, 2]);
    assert_eq!(sum.get(merged), Some(&6));
    assert_eq!(mean.get(merged), Some(1));
    for empty in 0..4_u8 {
        let cx = &mut InNamespace::new(&mut state, &empty);
        assert!(list.get(cx).is_empty() && sum.get(cx).is_none() && mean.get(cx).is_none());
    }
    state.set_current_key(stable_hash(&1), &1);
    let other_key = &mut InNamespace::new(&mut state, &2);
    assert_eq!(list.get(other_key), [2]);
}

#[test]
fn the_keys_of_a_state_can_be_listed() {
    let mut state = KeyedBackend::<u64>::new();
    let value = state
        .value_state(ValueStateDescriptor::<u64>::new("value"))
        .unwrap();
    for key in 0..100 {
        state.set_current_key(stable_hash(&key), &key);
        value.update(&mut state, key * 2);
    }
    for (hash, key) in value.keys(&mut state) {
        assert_eq!(hash, stable_hash(&key));
        state.set_current_key(hash, &key);
        if let Some(doubled) = value.value_mut(&mut state) {
            *doubled /= 2;
        }
    }
    let mut seen: Vec<_> = value
        .keys(&mut state)
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    for key in 0..100 {
        state.set_current_key(stable_hash(&key), &key);
        assert_eq!(value.take(&mut state), Some(key));
    }
    assert_eq!(state.states().collect::<Vec<_>>(), [("value", 0)]);
}

#[test]
fn a_subtask_may_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    movable(&KeyedBackend::<String>::new());
    movable(&flott_state::OperatorBackend::new());
    movable(&flott_state::Timers::<String, (i64, i64)>::default());
}
