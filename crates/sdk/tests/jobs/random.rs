//! Random pipelines over random records equal a naive computation, whatever the parallelism, the
//! number of containers and the buffer timeout.

use std::collections::BTreeMap;

use flott::prelude::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::child;
use crate::support::{Collected, environment};

type Row = (String, i64);

/// Cases per child, of which there are six; `FLOTT_TEST_CASES` asks for more.
const CASES: u32 = 11;

#[derive(Debug, Clone)]
enum Step {
    /// Adds to the value; perhaps in a task of its own.
    Map(i64, bool),
    /// Drops values with remainder 0.
    Filter(i64),
    /// Copies each record so often, each time under another key.
    FlatMap(u8),
    /// Filter and map fused, in so many subtasks.
    Spread(u32),
    Rebalance,
    Global,
    Broadcast,
    /// Splits in two and merges again.
    Diamond,
    /// A sum in the middle of the pipeline: per key, so order matters to what follows. Only its
    /// number of records is used.
    CountUpdates,
}

#[derive(Debug, Clone)]
struct Case {
    sources: Vec<(Vec<(u8, i16)>, bool)>,
    steps: Vec<Step>,
    parallelism: u32,
    sum_parallelism: u32,
    by_ref: bool,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (-9..9_i64, any::<bool>()).prop_map(|(n, alone)| Step::Map(n, alone)),
        (2..5_i64).prop_map(Step::Filter),
        (0..4_u8).prop_map(Step::FlatMap),
        (1..=8_u32).prop_map(Step::Spread),
        Just(Step::Rebalance),
        Just(Step::Global),
        Just(Step::Broadcast),
        Just(Step::Diamond),
        Just(Step::CountUpdates),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let records = proptest::collection::vec((0..40_u8, any::<i16>()), 0..3_000);
    (
        proptest::collection::vec((records, any::<bool>()), 1..=3),
        proptest::collection::vec(steps(), 0..5),
        1..=8_u32,
        1..=8_u32,
        any::<bool>(),
    )
        .prop_map(
            |(sources, steps, parallelism, sum_parallelism, by_ref)| Case {
                sources,
                steps,
                parallelism,
                sum_parallelism,
                by_ref,
            },
        )
}

fn key(n: u8) -> String {
    // Empty, short, and longer than what fits inline.
    match n {
        0 => String::new(),
        1 => "a key that is long enough to live on the heap".to_owned(),
        n => format!("k{n}"),
    }
}

fn shifted((key, n): Row, by: i64) -> Row {
    (key, n.wrapping_add(by))
}

fn copies((key, n): Row, count: u8) -> Vec<Row> {
    (0..count).map(|copy| (format!("{key}{copy}"), n)).collect()
}

fn spread((key, n): Row) -> Row {
    (key.to_uppercase(), n ^ 1)
}

fn build(
    env: &StreamExecutionEnvironment,
    stream: DataStream<Row>,
    step: &Step,
) -> DataStream<Row> {
    match *step {
        Step::Map(by, alone) => {
            let mapped = stream.map(move |row| shifted(row, by));
            if alone {
                mapped.disable_chaining()
            } else {
                mapped.seal()
            }
        }
        Step::Filter(modulus) => stream.filter(move |(_, n)| n % modulus != 0).seal(),
        Step::FlatMap(count) => stream.flat_map(move |row| copies(row, count)).seal(),
        Step::Spread(parallelism) => stream
            .filter(|(key, _)| key != "k7")
            .map(spread)
            .set_parallelism(parallelism),
        Step::Rebalance => stream.rebalance(),
        Step::Global => stream.global(),
        Step::Broadcast => stream.broadcast().map(|row| row).disable_chaining(),
        Step::Diamond => {
            let left = stream.clone().map(|row| shifted(row, 1)).seal();
            let right = stream
                .filter(|(_, n)| n % 2 == 0)
                .set_parallelism(env.default_parallelism());
            left.union([right])
        }
        Step::CountUpdates if is_batch(env) => stream
            .key_by(|(key, _)| key.len())
            .reduce(|largest, row| largest.0 = row.0.max(std::mem::take(&mut largest.0)))
            .map(|(key, _)| (key, 1))
            .seal(),
        Step::CountUpdates => stream
            .key_by(|(key, _)| key.len())
            .reduce(|last, row| last.0 = row.0)
            .map(|(key, _)| (key, 1))
            .seal(),
    }
}

/// Whether only final results are emitted.
fn is_batch(env: &StreamExecutionEnvironment) -> bool {
    let mode = env
        .configuration()
        .get(&flott_config::options::EXECUTION_RUNTIME_MODE);
    mode == flott_config::RuntimeExecutionMode::Batch
}

/// The same, one after the other.
fn oracle(rows: Vec<Row>, step: &Step, parallelism: u32, batch: bool) -> Vec<Row> {
    let rows = rows.into_iter();
    match *step {
        Step::Map(by, _) => rows.map(|row| shifted(row, by)).collect(),
        Step::Filter(modulus) => rows.filter(|(_, n)| n % modulus != 0).collect(),
        Step::FlatMap(count) => rows.flat_map(|row| copies(row, count)).collect(),
        Step::Spread(_) => rows.filter(|(key, _)| key != "k7").map(spread).collect(),
        Step::Rebalance | Step::Global => rows.collect(),
        Step::Broadcast => rows
            .flat_map(|row| std::iter::repeat_n(row, parallelism as usize))
            .collect(),
        Step::Diamond => rows
            .flat_map(|row| {
                let right = (row.1 % 2 == 0).then(|| row.clone());
                std::iter::once(shifted(row, 1)).chain(right)
            })
            .collect(),
        Step::CountUpdates if batch => {
            let mut largest: BTreeMap<usize, String> = BTreeMap::new();
            for (key, _) in rows {
                let known = largest.entry(key.len()).or_default();
                *known = key.max(std::mem::take(known));
            }
            largest.into_values().map(|key| (key, 1)).collect()
        }
        Step::CountUpdates => rows.map(|(key, _)| (key, 1)).collect(),
    }
}

/// Final sum and number of updates per key.
type Sums = BTreeMap<String, (i64, usize)>;

fn run(case: &Case) -> Sums {
    let env = environment(case.parallelism);
    let mut streams: Vec<DataStream<Row>> = case
        .sources
        .iter()
        .map(|(records, parallel)| source(&env, records, *parallel))
        .collect();
    let first = streams.remove(0);
    let mut stream = if streams.is_empty() {
        first
    } else {
        first.union(streams)
    };
    for step in &case.steps {
        stream = build(&env, stream, step);
    }
    // The last map is fused into the exchange.
    let last = stream.map(|row| shifted(row, 0));
    let sums = if case.by_ref {
        last.key_by_ref(|(key, _)| key).sum(|(_, n)| n)
    } else {
        last.key_by(|(key, _)| key.clone()).sum(|(_, n)| n)
    };
    let updates = Collected::from(sums.set_parallelism(case.sum_parallelism));
    env.execute("random").unwrap();
    let mut sums = Sums::new();
    // Updates of a key come from one subtask, in order: the last one is its sum.
    for (key, sum) in updates.take() {
        let entry = sums.entry(key).or_default();
        *entry = (sum, entry.1 + 1);
    }
    sums
}

/// From one subtask, or each record from the subtask that has its number.
fn source(
    env: &StreamExecutionEnvironment,
    records: &[(u8, i16)],
    parallel: bool,
) -> DataStream<Row> {
    let records: Vec<Row> = records
        .iter()
        .map(|(n, value)| (key(*n), i64::from(*value)))
        .collect();
    if parallel {
        env.from_sequence(0, records.len() as i64 - 1)
            .map(move |index| records[index as usize].clone())
            .seal()
    } else {
        env.from_collection(records)
    }
}

fn expected(case: &Case) -> Sums {
    let batch = is_batch(&environment(1));
    let records = case.sources.iter().flat_map(|(records, _)| records);
    let mut rows: Vec<Row> = records
        .map(|(n, value)| (key(*n), i64::from(*value)))
        .collect();
    for step in &case.steps {
        rows = oracle(rows, step, case.parallelism, batch);
    }
    let mut sums = Sums::new();
    for (key, n) in rows {
        let (sum, updates) = sums.entry(key).or_default();
        *sum += n;
        *updates = if batch { 1 } else { *updates + 1 };
    }
    sums
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_pipelines() {
    let cases_wanted = std::env::var("FLOTT_TEST_CASES");
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::with_cases(cases_wanted.map_or(CASES, |cases| cases.parse().unwrap()))
    };
    TestRunner::new(config)
        .run(&cases(), |case| {
            prop_assert_eq!(run(&case), expected(&case));
            Ok(())
        })
        .unwrap();
}

fn under(slots: Option<&str>, timeout: &str) {
    with(slots, timeout, &[]);
}

fn in_batch(slots: Option<&str>, shuffle: &str) {
    let mode = ("execution.runtime-mode", "BATCH");
    with(
        slots,
        "1 ms",
        &[mode, ("execution.batch-shuffle-mode", shuffle)],
    );
}

fn with(slots: Option<&str>, timeout: &str, more: &[(&str, &str)]) {
    let mut settings = match timeout {
        "never" => vec![("execution.buffer-timeout.enabled", "false")],
        interval => vec![("execution.buffer-timeout.interval", interval)],
    };
    settings.extend(more);
    settings.extend(slots.map(|slots| ("taskmanager.numberOfTaskSlots", slots)));
    child::run("random-pipelines", &settings);
}

#[test]
fn random_pipelines_in_one_container() {
    under(None, "0 ms");
    under(None, "never");
}

#[test]
fn random_pipelines_with_a_slot_per_container() {
    under(Some("1"), "1 ms");
    under(Some("1"), "never");
}

#[test]
fn random_pipelines_in_a_few_containers() {
    under(Some("2"), "0 ms");
    under(Some("3"), "1 ms");
}

#[test]
fn random_pipelines_in_stages() {
    in_batch(None, "ALL_EXCHANGES_BLOCKING");
    in_batch(Some("1"), "ALL_EXCHANGES_BLOCKING");
    in_batch(Some("2"), "ALL_EXCHANGES_PIPELINED");
}
