//! Each operator with state, in a job that fails again and again: what is shown in the end is what an
//! undisturbed run shows.

use std::time::Duration;

use flott::prelude::*;
use flott::window::{
    ContinuousEventTimeTrigger, EventTimeSessionWindows, SlidingEventTimeWindows,
    TumblingEventTimeWindows,
};

use crate::backends::Backend;
use crate::exactly_once::{Failing, with_checkpoints};
use crate::support::{environment, lines, text};

const RECORDS: u64 = 2_000;
const RATE: f64 = 2_000.0;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Whether tasks roll back to what they have in memory.
type FromLocal = &'static str;

/// Numbers that happen one per millisecond, with what is done to them.
type Build = fn(DataStream<u64>) -> DataStream<String>;

/// What the job shows; with failures, rolled back in memory or from storage.
fn run(build: Build, failing: Option<(&Failing, FromLocal)>, backend: Backend) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let env = environment(2);
    backend.choose(&env, directory.path());
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|n: &u64, _| n.cast_signed());
    let mut source = flott::source::DataGeneratorSource::new(|index| index, RECORDS);
    if let Some((_, from_local)) = failing {
        with_checkpoints(&env, &directory.path().join("chk"));
        env.configure("execution.state-recovery.from-local", from_local)
            .unwrap();
        source = source.rate_per_second(RATE);
    }
    let numbers = env.from_source(source, times, "numbers");
    let fail = failing.map(|(failing, _)| failing.clone());
    build(numbers)
        .map(move |line| {
            if let Some(failing) = &fail {
                failing.call();
            }
            line
        })
        .write_text(text(&output), |line, out| out.push_str(line));
    env.execute("operators").unwrap();
    lines(&output)
}

fn check(name: &str, build: Build, calls_between_failures: u64) {
    let undisturbed = run(build, None, Backend::HashMap);
    assert!(!undisturbed.is_empty(), "{name}");
    let both = |backend| ["true", "false"].map(|from_local| (backend, from_local));
    for (backend, from_local) in [Backend::HashMap, Backend::RocksDb]
        .into_iter()
        .flat_map(both)
    {
        let name = format!("{name}, {backend:?}, from local: {from_local}");
        let failing = Failing::new(calls_between_failures, 3);
        let shown = run(build, Some((&failing, from_local)), backend);
        assert!(failing.happened() > 0, "{name}: nothing failed");
        let differences = undisturbed.iter().zip(&shown).filter(|(a, b)| a != b);
        let first: Vec<_> = differences.take(5).collect();
        assert!(
            shown == undisturbed,
            "{name}: {} lines are shown, {} undisturbed; the first differences: {first:?}",
            shown.len(),
            undisturbed.len()
        );
    }
}

#[test]
fn tumbling_windows() {
    let build: Build = |numbers| {
        numbers
            .map(|n| (n % 13, n))
            .key_by(|row| row.0)
            .window(TumblingEventTimeWindows::of(ms(50)))
            .reduce(|sum, row| sum.1 += row.1)
            .map(|(key, sum)| format!("{key} {sum}"))
            .seal()
    };
    check("tumbling", build, 130);
}

#[test]
fn sliding_windows() {
    let build: Build = |numbers| {
        numbers
            .map(|n| (n % 5, n))
            .key_by(|row| row.0)
            .window(SlidingEventTimeWindows::of(ms(100), ms(20)))
            .reduce(|sum, row| sum.1 += row.1)
            .map(|(key, sum)| format!("{key} {sum}"))
            .seal()
    };
    check("sliding", build, 130);
}

#[test]
fn session_windows() {
    let build: Build = |numbers| {
        numbers
            .filter(|n| n % 100 < 60)
            .map(|n| (n % 7, n))
            .key_by(|row| row.0)
            .window(EventTimeSessionWindows::with_gap(ms(30)))
            .reduce(|sum, row| sum.1 += row.1)
            .map(|(key, sum)| format!("{key} {sum}"))
            .seal()
    };
    check("sessions", build, 40);
}

#[test]
fn windows_with_a_trigger() {
    let build: Build = |numbers| {
        numbers
            .map(|n| (n % 3, n))
            .key_by(|row| row.0)
            .window(TumblingEventTimeWindows::of(ms(500)))
            .trigger(ContinuousEventTimeTrigger::of(ms(100)))
            .reduce(|sum, row| sum.1 = sum.1.max(row.1))
            .map(|(key, most)| format!("{key} {}", most / 500))
            .seal()
    };
    check("continuous trigger", build, 20);
}

/// Counts per key, and says each count once nothing has come for a while of event time.
#[derive(Clone, Default)]
struct Bursts {
    count: ValueState<u64>,
    latest: ValueState<i64>,
    numbers: ListState<u64>,
    halves: MapState<u64, u64>,
}

impl KeyedProcessFunction<u64, u64> for Bursts {
    type Out = String;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u64>) -> FunctionResult {
        self.count = cx.value_state(ValueStateDescriptor::new("count"))?;
        self.latest = cx.value_state(ValueStateDescriptor::new("latest"))?;
        self.numbers = cx.list_state(ListStateDescriptor::new("numbers"))?;
        self.halves = cx.map_state(MapStateDescriptor::new("halves"))?;
        Ok(())
    }

    fn process_element(
        &mut self,
        number: u64,
        cx: &mut KeyedContext<'_, u64>,
        _: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let count = self.count.value(cx).copied().unwrap_or(0);
        self.count.update(cx, count + 1);
        self.numbers.add(cx, number);
        *self.halves.get_or_insert_with(cx, number % 2, || 0) += 1;
        // Records of the two source subtasks come in any order.
        let before = self.latest.value(cx).copied().unwrap_or(i64::MIN);
        let now = number.cast_signed();
        if now > before {
            cx.timer_service()
                .delete_event_time_timer(before.saturating_add(40));
            self.latest.update(cx, now);
            cx.timer_service().register_event_time_timer(now + 40);
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let count = self.count.value(cx).copied().unwrap_or(0);
        let sum: u64 = self.numbers.get(cx).iter().sum();
        let mut halves: Vec<(u64, u64)> = self.halves.iter(cx).map(|(k, v)| (*k, *v)).collect();
        halves.sort_unstable();
        out.collect(format!(
            "{} at {timestamp}: {count} {sum} {halves:?}",
            cx.current_key()
        ));
        self.count.clear(cx);
        self.numbers.clear(cx);
        self.halves.clear(cx);
        Ok(())
    }
}

#[test]
fn keyed_process_functions_with_state_and_timers() {
    let build: Build = |numbers| {
        numbers
            .filter(|n| n % 120 < 60)
            // All records of a key are of one burst: whenever watermarks come, its timer sees them all.
            .key_by(|n| n / 120 * 100 + n % 11)
            .process(Bursts::default())
            .seal()
    };
    check("keyed process", build, 60);
}

#[test]
fn interval_joins() {
    let build: Build = |numbers| {
        let left = numbers.clone().filter(|n| n % 3 == 0).key_by(|n| n % 10);
        let right = numbers.filter(|n| n % 4 == 1).key_by(|n| n % 10);
        left.interval_join(right)
            .between(-15, 15)
            .process_fn(|left, right, _, out| {
                out.collect(format!("{left} {right}"));
                Ok(())
            })
    };
    check("interval join", build, 150);
}

#[test]
fn asynchronous_calls() {
    let build: Build = |numbers| {
        let options = AsyncOptions::new(Duration::from_secs(30)).capacity(20);
        numbers
            .async_map_ordered(
                |n: u64| async move {
                    tokio::time::sleep(ms(5)).await;
                    Ok::<_, String>(format!("{n}"))
                },
                options,
            )
            .seal()
    };
    check("async", build, 600);
}
