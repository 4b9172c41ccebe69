//! Calls that end in any order: each waits for a gate that the test opens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flott_network::{Batch, Control, Wake, Waker};
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::chain::testing::{Keep, Narrow};
use crate::process::FunctionResult;
use crate::{BatchSink, Output, SubtaskContext, TaskClock};

type Gate = oneshot::Sender<FunctionResult<Vec<u64>>>;

/// Calls under way, by record.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<BTreeMap<u64, Gate>>>);

impl AsyncFunction<u64> for Gates {
    type Out = u64;

    async fn async_invoke(&self, input: u64) -> FunctionResult<Vec<u64>> {
        let (open, opened) = oneshot::channel();
        self.0.lock().unwrap().insert(input, open);
        opened.await?
    }

    fn timeout(&self, input: u64) -> FunctionResult<Vec<u64>> {
        match input % 2 {
            0 => Ok(vec![input + 1_000_000]),
            _ => Err("too slow".into()),
        }
    }
}

impl Gates {
    fn waiting(&self) -> Vec<u64> {
        self.0.lock().unwrap().keys().copied().collect()
    }

    fn wait_for(&self, calls: usize) {
        wait(|| self.waiting().len() == calls);
    }

    fn open(&self, record: u64, rows: Vec<u64>) {
        let gate = self.0.lock().unwrap().remove(&record).unwrap();
        gate.send(Ok(rows)).unwrap();
    }
}

fn wait(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "nothing happens");
        std::thread::yield_now();
    }
}

#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn context() -> (SubtaskContext, Arc<Woken>) {
    let (waker, woken) = (Waker::default(), Arc::new(Woken::default()));
    waker.bind(Arc::clone(&woken) as Arc<dyn Wake>);
    let context = SubtaskContext {
        waker,
        clock: TaskClock::manual(0),
        ..SubtaskContext::for_tests("Async Wait")
    };
    (context, woken)
}

fn options(capacity: usize) -> AsyncOptions<u64> {
    AsyncOptions::new(Duration::from_secs(60)).capacity(capacity)
}

/// `true`: a record, else a watermark; and which of the calls under way ends next.
type Script = Vec<(bool, usize)>;

/// Feeds record after record, opens gates whenever no more is taken and now and then before, and
/// makes room only when needed.
fn run(script: &Script, order: AsyncOrder, capacity: usize) {
    let (gates, narrow) = (Gates::default(), Narrow::<u64>::default());
    let (context, woken) = context();
    let output = Output::to(Box::new(narrow.clone()));
    let mut sink = async_wait(gates.clone(), order, options(capacity), &context, output);
    let (mut records, mut under_way, mut fences) = (0, 0, Vec::new());
    let open = |under_way: &mut usize, choice: usize| {
        gates.wait_for(*under_way);
        let waiting = gates.waiting();
        assert!(waiting.len() <= capacity);
        let record = waiting[choice % waiting.len()];
        let before = woken.0.load(Ordering::SeqCst);
        // Every third record gives nothing, every fifth two rows.
        gates.open(record, rows_of(record));
        wait(|| woken.0.load(Ordering::SeqCst) > before);
        *under_way -= 1;
    };
    for (is_record, choice) in script {
        while !sink.settle().unwrap() {
            narrow.make_room();
            if !sink.settle().unwrap() && under_way > 0 {
                open(&mut under_way, *choice);
            }
        }
        if *is_record {
            let mut batch = Batch::default();
            batch.push(records, records as i64);
            sink.batch(&mut batch).unwrap();
            records += 1;
            under_way += 1;
            if choice % 3 == 0 {
                open(&mut under_way, *choice);
            }
        } else {
            sink.control(Control::Watermark(records as i64)).unwrap();
            fences.push((0..records).flat_map(rows_of).count() as u64);
        }
    }
    while !sink.settle().unwrap() {
        narrow.make_room();
        if !sink.settle().unwrap() && under_way > 0 {
            open(&mut under_way, 1);
        }
    }
    sink.control(Control::End).unwrap();
    while !sink.settle().unwrap() {
        narrow.make_room();
        if under_way > 0 {
            let choice = under_way / 2;
            open(&mut under_way, choice);
        }
    }
    let expected: Vec<u64> = (0..records).flat_map(rows_of).collect();
    fences.push(expected.len() as u64);
    let mut rows = narrow.rows();
    assert_eq!(narrow.rows_before_control(), fences);
    match order {
        AsyncOrder::Ordered => assert_eq!(rows, expected),
        AsyncOrder::Unordered => {
            // Between two watermarks any order will do.
            let mut from = 0;
            for fence in fences {
                rows[from..fence as usize].sort_unstable();
                from = fence as usize;
            }
            assert_eq!(rows, expected);
        }
    }
}

fn rows_of(record: u64) -> Vec<u64> {
    match record % 15 {
        3 | 6 | 9 | 12 => vec![],
        5 | 10 => vec![2 * record, 2 * record + 1],
        _ => vec![2 * record],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn calls_end_in_any_order(
        script in proptest::collection::vec((prop::bool::weighted(0.8), 0..100_usize), 0..60),
        capacity in 1..8_usize,
        ordered in any::<bool>(),
    ) {
        let order = if ordered { AsyncOrder::Ordered } else { AsyncOrder::Unordered };
        run(&script, order, capacity);
    }
}

/// Settles until so many rows have come.
fn settle_until<T: flott_record::Data>(sink: &mut dyn BatchSink<u64>, keep: &Keep<T>, rows: usize) {
    wait(|| {
        sink.settle().unwrap();
        keep.rows().len() >= rows
    });
}

fn batch(rows: impl IntoIterator<Item = u64>) -> Batch<u64> {
    let mut batch = Batch::default();
    rows.into_iter().for_each(|row| batch.push(row, 7));
    batch
}

#[test]
fn unordered_results_do_not_wait_for_each_other_and_keep_their_time() {
    let (gates, keep) = (Gates::default(), Keep::default());
    let (context, _) = context();
    let output = Output::to(Box::new(keep.clone()));
    let order = AsyncOrder::Unordered;
    let mut sink = async_wait(gates.clone(), order, options(10), &context, output);
    sink.batch(&mut batch(0..3)).unwrap();
    gates.wait_for(3);
    gates.open(2, vec![20, 21]);
    settle_until(&mut *sink, &keep, 2);
    gates.open(0, vec![1]);
    settle_until(&mut *sink, &keep, 3);
    assert_eq!(*keep.0.lock().unwrap(), [(20, 7), (21, 7), (1, 7)]);
    // What came in made the task look at its clock, and so flush in time.
    assert!(context.clock.next_wake().is_some());
}

#[test]
fn a_batch_beyond_the_capacity_waits() {
    let (gates, keep) = (Gates::default(), Keep::default());
    let (context, _) = context();
    let output = Output::to(Box::new(keep.clone()));
    let order = AsyncOrder::Ordered;
    let mut sink = async_wait(gates.clone(), order, options(4), &context, output);
    sink.batch(&mut batch(0..100)).unwrap();
    for record in 0..100 {
        gates.wait_for(4.min(100 - record as usize));
        assert_eq!(sink.settle().unwrap(), record > 96);
        gates.open(record, vec![record]);
        settle_until(&mut *sink, &keep, record as usize + 1);
    }
    assert!(sink.settle().unwrap());
    assert_eq!(keep.rows(), (0..100).collect::<Vec<_>>());
}

#[test]
fn calls_that_take_too_long_are_given_up_and_free_their_place() {
    let (gates, keep) = (Gates::default(), Keep::default());
    let output = Output::to(Box::new(keep.clone()));
    let options = AsyncOptions::new(Duration::from_millis(5)).capacity(1);
    let order = AsyncOrder::Ordered;
    let mut sink = async_wait(gates.clone(), order, options, &context().0, output);
    sink.batch(&mut batch([2, 4, 5])).unwrap();
    let mut failed = None;
    wait(|| {
        failed = sink.settle().err();
        failed.is_some()
    });
    assert_eq!(keep.rows(), [1_000_002, 1_000_004]);
    let text = "operator 'Async Wait', record 3: too slow (5ms)";
    assert_eq!(failed.unwrap().message, text);
    // Their futures are gone.
    assert!(gates.0.lock().unwrap().values().all(Gate::is_closed));
}

#[test]
fn calls_of_a_task_that_ends_are_given_up() {
    let gates = Gates::default();
    let output = Output::to(Box::new(Keep::default()));
    let order = AsyncOrder::Ordered;
    let mut sink = async_wait(gates.clone(), order, options(2), &context().0, output);
    sink.batch(&mut batch([1, 2])).unwrap();
    gates.wait_for(2);
    drop(sink);
    wait(|| gates.0.lock().unwrap().values().all(Gate::is_closed));
}

/// Fails so often per record before it works.
#[derive(Clone, Default)]
struct Flaky(Arc<Mutex<BTreeMap<u64, u32>>>);

impl AsyncFunction<u64> for Flaky {
    type Out = (u64, u32);

    async fn async_invoke(&self, input: u64) -> FunctionResult<Vec<(u64, u32)>> {
        let tries = {
            let mut tries = self.0.lock().unwrap();
            let tries = tries.entry(input).or_default();
            *tries += 1;
            *tries
        };
        match u64::from(tries) > input {
            true => Ok(vec![(input, tries)]),
            false => Err(format!("try {tries} of {input} fails").into()),
        }
    }
}

fn flaky(attempts: u32) -> (Box<dyn BatchSink<u64>>, Keep<(u64, u32)>) {
    let keep = Keep::default();
    let output = Output::to(Box::new(keep.clone()));
    let retry = AsyncRetryStrategy::fixed_delay(attempts, Duration::from_micros(10));
    let options = AsyncOptions::new(Duration::MAX).retry(retry);
    let order = AsyncOrder::Ordered;
    let sink = async_wait(Flaky::default(), order, options, &context().0, output);
    (sink, keep)
}

#[test]
fn failures_are_tried_again_until_the_strategy_ends() {
    let (mut sink, keep) = flaky(4);
    sink.batch(&mut batch([0, 3, 1])).unwrap();
    settle_until(&mut *sink, &keep, 3);
    assert_eq!(keep.rows(), [(0, 1), (3, 4), (1, 2)]);
    let (mut sink, _) = flaky(3);
    sink.batch(&mut batch([0, 3, 1])).unwrap();
    let mut failed = None;
    wait(|| {
        failed = sink.settle().err();
        failed.is_some()
    });
    let text = "operator 'Async Wait', record 2: try 3 of 3 fails";
    assert_eq!(failed.unwrap().message, text);
}

#[test]
fn a_panic_of_a_call_fails_the_task() {
    let output = Output::to(Box::new(Keep::<u64>::default()));
    let function = AsyncFn::new(|n: u64| async move {
        assert!(n != 2, "no twos");
        Ok::<_, std::io::Error>(n)
    });
    let order = AsyncOrder::Unordered;
    let mut sink = async_wait(function, order, options(10), &context().0, output);
    sink.batch(&mut batch([1, 2])).unwrap();
    let mut failed = None;
    wait(|| {
        failed = sink.settle().err();
        failed.is_some()
    });
    let text = "operator 'Async Wait', record 2: the asynchronous call panicked: no twos";
    assert_eq!(failed.unwrap().message, text);
}
