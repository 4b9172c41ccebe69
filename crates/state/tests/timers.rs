//! The timer queue against a sorted list, and what a million timers cost in memory and order.

use flott_record::hash::{key_group, stable_hash};
use flott_state::{
    Compression, KeyedBackend, OperatorSnapshot, RestorePlace, RestoredOperator, TimeDomain, Timer,
    TimerQueue, Timers,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Register(i64, u8, u8),
    Delete(i64, u8, u8),
    DeleteNth(usize),
    Pop(i64),
    Advance(i64),
    Clear,
    Snapshot,
}

fn op() -> impl Strategy<Value = Op> {
    let time =
        prop_oneof![6 => 0..30_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => -5..0_i64];
    let timer = (time.clone(), 0..6_u8, 0..3_u8);
    prop_oneof![
        12 => timer.clone().prop_map(|(time, key, namespace)| Op::Register(time, key, namespace)),
        3 => timer.prop_map(|(time, key, namespace)| Op::Delete(time, key, namespace)),
        3 => any::<usize>().prop_map(Op::DeleteNth),
        4 => time.clone().prop_map(Op::Pop),
        1 => time.prop_map(Op::Advance),
        1 => Just(Op::Clear),
        1 => Just(Op::Snapshot),
    ]
}

/// Some keys share a hash.
fn hash_of(key: u8) -> u64 {
    stable_hash(&(key % 4))
}

/// (timestamp, key, namespace) in order of registration.
type Oracle = Vec<(i64, u8, u8)>;

/// The first of the earliest: `min_by_key` returns the first of equal elements.
fn pop(oracle: &mut Oracle, time: i64) -> Option<(i64, u8, u8)> {
    let (at, timer) = oracle.iter().enumerate().min_by_key(|(_, timer)| timer.0)?;
    let due = timer.0 <= time;
    due.then(|| oracle.remove(at))
}

fn step(timers: &mut TimerQueue<u8, u8>, oracle: &mut Oracle, op: Op) {
    let plain = |timer: Timer<u8, u8>| {
        assert_eq!(timer.hash, hash_of(timer.key));
        (timer.timestamp, timer.key, timer.namespace)
    };
    match op {
        Op::Register(time, key, namespace) => {
            let new = !oracle.contains(&(time, key, namespace));
            if new {
                oracle.push((time, key, namespace));
            }
            assert_eq!(timers.register(time, hash_of(key), &key, &namespace), new);
        }
        Op::Delete(time, key, namespace) => delete(timers, oracle, (time, key, namespace)),
        Op::DeleteNth(nth) => {
            if let Some(timer) = oracle.get(nth % oracle.len().max(1)) {
                delete(timers, oracle, *timer);
            }
        }
        Op::Pop(time) => assert_eq!(timers.pop_due(time).map(plain), pop(oracle, time)),
        Op::Advance(time) => loop {
            let expected = pop(oracle, time);
            assert_eq!(timers.pop_due(time).map(plain), expected);
            if expected.is_none() {
                break;
            }
        },
        Op::Clear => {
            timers.clear();
            oracle.clear();
        }
        Op::Snapshot => {}
    }
}

/// Timers under snapshots, each with what it should hold.
type Snapshots = Vec<(OperatorSnapshot, Oracle)>;

/// With one key group, timers come back in the order in which they fire.
fn check_snapshots(snapshots: Snapshots) {
    for (snapshot, mut oracle) in snapshots {
        let mut bytes = Vec::new();
        snapshot
            .encode(Compression::None, &mut bytes, &mut Vec::new())
            .expect("timers can be written");
        let place = RestorePlace::new(0, 1, 1, 1);
        let blobs = RestoredOperator::open(place.clone(), vec![Box::new(bytes)], Vec::new());
        let retained = RestoredOperator::retained(place, &snapshot);
        oracle.sort_by_key(|timer| timer.0);
        for from in [blobs.expect("it is whole"), retained] {
            let timers = from.timers::<u8, u8>("timers").expect("it is there");
            let timers = timers.event_time.iter();
            let listed: Vec<_> = timers.map(|(t, _, k, n)| (t, *k, *n)).collect();
            assert_eq!(listed, oracle);
        }
    }
}

fn delete(timers: &mut TimerQueue<u8, u8>, oracle: &mut Oracle, timer: (i64, u8, u8)) {
    let known = oracle.contains(&timer);
    oracle.retain(|other| *other != timer);
    let (time, key, namespace) = timer;
    assert_eq!(timers.delete(time, hash_of(key), &key, &namespace), known);
}

proptest! {
    #[test]
    fn it_is_a_list_sorted_by_time_and_registration(ops in prop::collection::vec(op(), 0..400)) {
        let mut both = Timers::<u8, u8>::default();
        let mut oracle = Oracle::new();
        let mut snapshots = Snapshots::new();
        for op in ops {
            if matches!(op, Op::Snapshot) {
                let mut snapshot = OperatorSnapshot::new(1);
                snapshot.timers("timers", &mut both).expect("the name is free");
                snapshots.push((snapshot, oracle.clone()));
            }
            let timers = &mut both.event_time;
            step(timers, &mut oracle, op);
            prop_assert_eq!(timers.len(), oracle.len());
            prop_assert_eq!(timers.is_empty(), oracle.is_empty());
            prop_assert_eq!(timers.next_deadline(), oracle.iter().map(|timer| timer.0).min());
            let mut sorted = oracle.clone();
            sorted.sort_by_key(|timer| timer.0);
            let listed: Vec<_> = timers.iter().map(|(t, _, k, n)| (t, *k, *n)).collect();
            prop_assert_eq!(listed, sorted);
        }
        check_snapshots(snapshots);
    }
}

#[test]
fn a_hundred_thousand_timers_at_few_and_at_many_times() {
    for times in [3, 100_000] {
        let mut timers = TimerQueue::<u64>::default();
        for key in 0..100_000_u64 {
            let time = (key.wrapping_mul(7_919) % times).cast_signed();
            assert!(timers.register(time, stable_hash(&key), &key, &()));
        }
        for key in (0..100_000_u64).step_by(2) {
            let time = (key.wrapping_mul(7_919) % times).cast_signed();
            assert!(timers.delete(time, stable_hash(&key), &key, &()));
        }
        let mut before = (i64::MIN, 0);
        let mut fired = 0;
        while let Some(timer) = timers.pop_due(i64::MAX) {
            assert_eq!(timer.key % 2, 1);
            // Keys were registered in ascending order.
            assert!((timer.timestamp, timer.key) > before);
            before = (timer.timestamp, timer.key);
            fired += 1;
        }
        assert_eq!(fired, 50_000);
    }
}

#[test]
fn timers_can_be_told_by_key_group() {
    let mut timers = TimerQueue::<String>::default();
    for number in 0..500 {
        let key = format!("key-{number}");
        timers.register(number % 7, stable_hash(&key), &key, &());
    }
    let mut seen = 0;
    for group in 0..128 {
        for (_, _, key, ()) in timers
            .iter()
            .filter(|(_, hash, _, ())| key_group(*hash, 128) == group)
        {
            assert_eq!(key_group(stable_hash(key), 128), group);
            seen += 1;
        }
    }
    assert_eq!(seen, 500);
}

#[test]
fn a_timer_that_is_registered_while_timers_fire_fires_too() {
    let mut state = KeyedBackend::<u32>::new();
    for key in [5, 6] {
        state.set_current_key(stable_hash(&key), &key);
        assert!(state.register_timer(TimeDomain::EventTime, 10));
        assert!(!state.register_timer(TimeDomain::EventTime, 10));
        assert!(state.register_timer(TimeDomain::ProcessingTime, 10));
    }
    let mut fired = Vec::new();
    while let Some(timestamp) = state.next_due(TimeDomain::EventTime, 12) {
        fired.push((timestamp, *state.current_key()));
        assert_eq!(state.current_hash(), stable_hash(state.current_key()));
        state.register_timer(TimeDomain::EventTime, timestamp + 1);
    }
    assert_eq!(
        fired,
        [(10, 5), (10, 6), (11, 5), (11, 6), (12, 5), (12, 6)]
    );
    assert_eq!(state.timers().event_time.next_deadline(), Some(13));
    assert_eq!(state.timers().processing_time.len(), 2);
    state.set_current_key(stable_hash(&5), &5);
    assert!(state.delete_timer(TimeDomain::ProcessingTime, 10));
    assert!(!state.delete_timer(TimeDomain::ProcessingTime, 10));
    state.clear_all();
    assert!(state.timers().event_time.is_empty() && state.timers().processing_time.is_empty());
}
