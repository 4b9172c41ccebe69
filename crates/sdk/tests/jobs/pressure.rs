//! Back pressure: what a slow subtask does not take stays in bounded buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::child;
use crate::support::environment;

const RECORDS: i64 = 3_000_000;
/// In flight, at most: for each of 16 channels the ring and the overdraft locally, the window of
/// credit remotely, and the open batches at both ends.
const MOST_IN_FLIGHT: i64 = 200_000;

/// Waits until `counter` has not moved for a while: everybody upstream is blocked.
fn wait_for_rest(counter: &AtomicI64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut last, mut since) = (-1, Instant::now());
    while Instant::now() < deadline {
        let now = counter.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > Duration::from_millis(300) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the source never came to rest");
}

/// One of four subtasks stops at its first record until nothing moves any more.
pub(crate) fn slow_consumer() {
    let env = environment(4);
    let (produced, consumed) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let stopped_at = Arc::new(AtomicI64::new(-1));
    let source = Arc::clone(&produced);
    let (taken, seen) = (Arc::clone(&consumed), Arc::clone(&stopped_at));
    let upstream = Arc::clone(&produced);
    env.from_sequence(1, RECORDS)
        .map(move |n| {
            source.fetch_add(1, Ordering::Relaxed);
            n
        })
        .key_by(|n| n % 64)
        .reduce(|last, n| *last = n)
        .map(move |n| {
            let is_slow = n % 64 == 0;
            if is_slow
                && seen
                    .compare_exchange(-1, 0, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                wait_for_rest(&upstream);
                let in_flight = upstream.load(Ordering::SeqCst) - taken.load(Ordering::SeqCst);
                seen.store(in_flight, Ordering::SeqCst);
            }
            taken.fetch_add(1, Ordering::Relaxed);
            n
        })
        .discard();
    env.execute("slow consumer").unwrap();
    let in_flight = stopped_at.load(Ordering::SeqCst);
    assert!(in_flight > 0, "the slow subtask saw no record");
    assert!(
        in_flight < MOST_IN_FLIGHT,
        "{in_flight} of {RECORDS} records were in flight"
    );
    assert_eq!(consumed.load(Ordering::SeqCst), RECORDS, "and none is lost");
}

/// Slow code sees its results travel on before its batch is done: `execution.buffer-timeout` holds.
#[test]
fn records_of_slow_code_are_not_held_back() {
    let env = environment(1);
    let (made, seen) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let (arrived, own) = (Arc::clone(&seen), Arc::clone(&made));
    let first_seen_at = Arc::new(AtomicI64::new(0));
    let at = Arc::clone(&first_seen_at);
    env.from_sequence(1, 2_000)
        .map(move |n| {
            // Slow until the first result has arrived.
            let until = Instant::now() + Duration::from_millis(5);
            while arrived.load(Ordering::SeqCst) == 0 && Instant::now() < until {
                std::thread::yield_now();
            }
            own.fetch_add(1, Ordering::SeqCst);
            n
        })
        .rebalance()
        .map(move |n| {
            if seen.fetch_add(1, Ordering::SeqCst) == 0 {
                at.store(made.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            n
        })
        .discard();
    env.execute("slow map").unwrap();
    let made = first_seen_at.load(Ordering::SeqCst);
    assert!(
        (1..1_000).contains(&made),
        "{made} records were made before one arrived"
    );
}

/// One record becomes millions, and what follows stops at the first of them until nothing moves.
pub(crate) fn an_expansion_waits() {
    let env = environment(1);
    let (produced, stopped_at) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(-1)));
    let (consumed, seen) = (Arc::new(AtomicI64::new(0)), Arc::clone(&stopped_at));
    let (upstream, expanded) = (Arc::clone(&produced), Arc::clone(&produced));
    let taken = Arc::clone(&consumed);
    env.from_collection([0_i64])
        .flat_map(move |from| {
            let made = Arc::clone(&expanded);
            (from..RECORDS).inspect(move |_| {
                made.fetch_add(1, Ordering::Relaxed);
            })
        })
        .filter(|_| true)
        .rebalance()
        .map(move |n| {
            if n == 0 {
                wait_for_rest(&upstream);
                seen.store(upstream.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            assert_eq!(taken.fetch_add(1, Ordering::Relaxed), n, "in order");
            n
        })
        .discard();
    env.execute("expansion").unwrap();
    let in_flight = stopped_at.load(Ordering::SeqCst);
    assert!(
        (1..MOST_IN_FLIGHT).contains(&in_flight),
        "{in_flight} of {RECORDS} records were in flight"
    );
    assert_eq!(consumed.load(Ordering::SeqCst), RECORDS, "and none is lost");
}

#[test]
fn an_expansion_waits_for_room_in_one_container() {
    an_expansion_waits();
}

#[test]
fn a_slow_consumer_slows_its_source_in_one_container() {
    slow_consumer();
}

#[test]
fn a_slow_consumer_slows_its_source_across_containers() {
    child::run("slow-consumer", &[("taskmanager.numberOfTaskSlots", "1")]);
}
