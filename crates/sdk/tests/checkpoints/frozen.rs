//! Savepoints of each version of the format, as they were written: jobs go on from them for ever.
//!
//! A new version gets a directory of its own: change `VERSION`, then
//! `FLOTT_FREEZE=1 cargo test -p flott --test checkpoints frozen`. Directories of older ones stay as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flott::prelude::*;
use flott::source::DataGeneratorSource;
use flott::window::TumblingEventTimeWindows;
use serde::{Deserialize, Serialize};

use crate::support::{environment, lines, text};

const VERSION: u32 = 1;
const RECORDS: u64 = 2_000;
/// The directory of a savepoint, and beside it the output as it was then.
const SAVEPOINT: &str = "savepoint";
const OUTPUT: &str = "output";

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Kind {
    Even,
    Odd { by: u8 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    owner: String,
    kind: Kind,
    latest: Option<u64>,
    seen: u64,
}

/// State of all kinds, and a timer at the end of time for each key.
#[derive(Default, Clone)]
struct Ledger {
    account: ValueState<Account>,
    tens: ListState<u64>,
    endings: MapState<String, u64>,
    sum: ReducingState<u64>,
}

impl KeyedProcessFunction<u64, u64> for Ledger {
    type Out = String;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u64>) -> FunctionResult {
        self.account = cx.value_state(ValueStateDescriptor::new("account"))?;
        self.tens = cx.list_state(ListStateDescriptor::new("tens"))?;
        self.endings = cx.map_state(MapStateDescriptor::new("endings"))?;
        let sum = ReducingStateDescriptor::new("sum", |sum: &mut u64, n| *sum += n);
        self.sum = cx.reducing_state(sum)?;
        Ok(())
    }

    fn process_element(
        &mut self,
        number: u64,
        cx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let key = *cx.current_key();
        let mut account = self.account.value(cx).cloned().unwrap_or(Account {
            owner: format!("owner {key}"),
            kind: if key.is_multiple_of(2) {
                Kind::Even
            } else {
                Kind::Odd { by: 1 }
            },
            latest: None,
            seen: 0,
        });
        out.collect(format!(
            "{} {:?} {:?} {}",
            account.owner, account.kind, account.latest, account.seen
        ));
        account.latest = Some(number);
        account.seen += 1;
        self.account.update(cx, account);
        if number.is_multiple_of(10) {
            self.tens.add(cx, number);
        }
        *self
            .endings
            .get_or_insert_with(cx, format!("..{}", number % 3), || 0) += 1;
        self.sum.add(cx, number);
        cx.timer_service().register_event_time_timer(i64::MAX - 1);
        Ok(())
    }

    fn on_timer(
        &mut self,
        _: i64,
        cx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let tens = self.tens.get(cx).len();
        let endings: BTreeMap<String, u64> = self
            .endings
            .iter(cx)
            .map(|(k, v)| (k.clone(), *v))
            .collect();
        let sum = self.sum.get(cx).copied();
        out.collect(format!(
            "{} ends: {tens} {endings:?} {sum:?}",
            cx.current_key()
        ));
        Ok(())
    }
}

fn build(env: &StreamExecutionEnvironment, output: &Path, rate: f64) {
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|n: &u64, _| n.cast_signed());
    let numbers = DataGeneratorSource::new(|index| index, RECORDS).rate_per_second(rate);
    // One subtask, so that the records of a key have an order.
    let numbers = env
        .from_source(numbers, times, "numbers")
        .uid("numbers")
        .set_parallelism(1);
    let ledger = numbers.clone().key_by(|n| n % 7).process(Ledger::default());
    let windows = numbers
        .map(|n| (n % 11, n))
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(100)))
        .reduce(|sum, row| sum.1 += row.1)
        .uid("windows")
        .map(|(key, sum)| format!("window of {key}: {sum}"))
        .seal();
    ledger
        .uid("ledger")
        .seal()
        .union([windows])
        .write_text(text(output), |line, out| out.push_str(line))
        .uid("files");
}

fn expected() -> Vec<String> {
    let mut lines = Vec::new();
    for key in 0..7 {
        let numbers: Vec<u64> = (0..RECORDS).filter(|n| n % 7 == key).collect();
        let kind = ["Even", "Odd { by: 1 }"][(key % 2) as usize];
        let mut latest = None;
        for (seen, number) in numbers.iter().enumerate() {
            lines.push(format!("owner {key} {kind} {latest:?} {seen}"));
            latest = Some(*number);
        }
        let mut endings = BTreeMap::<String, u64>::new();
        for number in &numbers {
            *endings.entry(format!("..{}", number % 3)).or_default() += 1;
        }
        let tens = numbers.iter().filter(|n| *n % 10 == 0).count();
        let sum: u64 = numbers.iter().sum();
        lines.push(format!("{key} ends: {tens} {endings:?} {:?}", Some(sum)));
    }
    let mut windows = BTreeMap::<(u64, u64), u64>::new();
    for n in 0..RECORDS {
        *windows.entry((n / 100, n % 11)).or_default() += n;
    }
    let windows = windows
        .into_iter()
        .map(|((_, key), sum)| format!("window of {key}: {sum}"));
    lines.extend(windows);
    lines.sort();
    lines
}

fn directory(version: u32) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    tests.join(format!("checkpoints/savepoint-v{version}"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Goes on from a copy of a savepoint at another place.
fn goes_on(version: u32, parallelism: u32) {
    let place = tempfile::tempdir().unwrap();
    let (moved, output) = (place.path().join("moved"), place.path().join("out"));
    copy(&directory(version).join(SAVEPOINT), &moved);
    copy(&directory(version).join(OUTPUT), &output);
    let before = lines(&output).len();
    let env = environment(parallelism);
    env.configure("execution.state-recovery.path", text(&moved))
        .unwrap();
    build(&env, &output, 100_000.0);
    env.execute("thawed").unwrap();
    let lines = lines(&output);
    assert_eq!(lines, expected());
    assert!(before > 0 && before < lines.len());
}

#[test]
fn a_job_goes_on_from_each_version() {
    if std::env::var_os("FLOTT_FREEZE").is_some() {
        freeze();
    }
    for version in 1..=VERSION {
        goes_on(version, 2);
    }
}

#[test]
fn a_job_goes_on_from_each_version_with_more_subtasks() {
    for version in 1..=VERSION {
        goes_on(version, 5);
    }
}

/// Writes the savepoint of a new version.
fn freeze() {
    let to = directory(VERSION);
    assert!(
        !to.exists(),
        "what is frozen stays as it is: {}",
        to.display()
    );
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("out");
    let env = environment(2);
    env.configure("execution.checkpointing.interval", "500 ms")
        .unwrap();
    // Some states are in `_metadata`, some in a file.
    env.configure("execution.checkpointing.data-inline-threshold", "500 b")
        .unwrap();
    build(&env, &output, 500.0);
    let job = env.execute_async("frozen").unwrap();
    while !output.exists() || lines(&output).len() < 700 {
        std::thread::yield_now();
    }
    let savepoints = place.path().join("savepoints");
    let path = job
        .stop_with_savepoint(false, Some(text(&savepoints)))
        .unwrap();
    job.result().unwrap();
    let path = path.trim_start_matches("file://");
    copy(Path::new(path), &to.join(SAVEPOINT));
    copy(&output, &to.join(OUTPUT));
}
