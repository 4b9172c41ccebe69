//! Asynchronous functions in whole jobs: nothing is lost or doubled, and order is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flott::prelude::*;
use proptest::prelude::*;

use crate::child;
use crate::support::{Collected, environment, failure};

const LONG: Duration = Duration::from_secs(60);

/// Ends later or earlier, as the record says.
async fn dawdle(n: i64) {
    for _ in 0..n * 7919 % 13 {
        tokio::task::yield_now().await;
    }
}

fn check(records: i64, parallelism: u32, capacity: usize, ordered: bool) {
    let env = environment(parallelism);
    let under_way = Arc::new(AtomicU32::new(0));
    let function = move |n: i64| {
        let under_way = Arc::clone(&under_way);
        async move {
            let most = capacity as u32 * parallelism;
            if under_way.fetch_add(1, Ordering::SeqCst) >= most {
                return Err("too many calls are under way");
            }
            dawdle(n).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            Ok((n, n * n))
        }
    };
    let options = AsyncOptions::new(LONG).capacity(capacity);
    let numbers = env.from_sequence(0, records - 1).map(|n| n + 1);
    let squares = match ordered {
        true => numbers.async_map_ordered(function, options),
        false => numbers.async_map_unordered(function, options),
    };
    let numbers = squares.map(move |row| (row.0 * i64::from(parallelism), row));
    let out = Collected::from(numbers.seal());
    env.execute("async").unwrap();
    let mut rows: Vec<(i64, i64)> = out.take().into_iter().map(|(_, row)| row).collect();
    if ordered && parallelism == 1 {
        assert!(rows.is_sorted());
    }
    rows.sort_unstable();
    assert_eq!(rows, (1..=records).map(|n| (n, n * n)).collect::<Vec<_>>());
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let shape = (1..=8_u32, 1..50_usize, any::<bool>());
    child::runner()
        .run(&(0..2_000_i64, shape), |(records, shape)| {
            check(records, shape.0, shape.1, shape.2);
            Ok(())
        })
        .unwrap();
}

#[test]
fn nothing_is_lost_in_any_order() {
    child::run_everywhere("async");
}

#[test]
fn what_fails_now_and_then_is_tried_again() {
    let env = environment(2);
    let failures = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&failures);
    let function = move |n: i64| {
        let failures = Arc::clone(&count);
        async move {
            if n % 10 == 0 && failures.fetch_add(1, Ordering::SeqCst) < 20 {
                return Err(std::io::Error::other("not now"));
            }
            Ok(n)
        }
    };
    let retry = AsyncRetryStrategy::fixed_delay(50, Duration::from_millis(1));
    let options = AsyncOptions::new(LONG).retry(retry);
    let numbers = env
        .from_sequence(1, 100)
        .async_map_unordered(function, options);
    let out = Collected::from(numbers);
    env.execute("retries").unwrap();
    assert!(failures.load(Ordering::SeqCst) > 20);
    assert_eq!(out.sorted(), (1..=100).collect::<Vec<i64>>());
}

#[test]
fn a_call_that_never_ends_fails_the_job_when_its_time_is_over() {
    let env = environment(1);
    env.from_collection([1_i64, 2])
        .async_map_ordered(
            |n| async move {
                if n == 2 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::io::Error>(n)
            },
            AsyncOptions::new(Duration::from_millis(20)),
        )
        .discard();
    let failure = failure(env.execute("never"));
    let text = "operator 'Async Wait', record 2: the asynchronous call did not finish within its \
                timeout (20ms)";
    assert!(failure.to_string().contains(text), "{failure}");
}
