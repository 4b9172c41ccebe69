//! A keyed process function that puts its records in the order of event time, with state and timers,
//! some of which are deleted.

use std::collections::BTreeMap;

use flott::prelude::*;
use proptest::prelude::*;

use crate::child;
use crate::event_time::{timed, times};
use crate::support::{Collected, environment};

/// Key, event time, number; and whether it is no record but forgets those of a later time.
type In = (u8, i64, u32, Option<i64>);
/// Key, event time, numbers of that time in the order of arrival, how many there were before.
type Out = (u8, i64, Vec<u32>, u64);

#[derive(Clone, Default)]
struct InOrder {
    waiting: MapState<i64, Vec<u32>>,
    seen: ReducingState<u64>,
}

impl KeyedProcessFunction<u8, In> for InOrder {
    type Out = Out;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u8>) -> FunctionResult {
        self.waiting = cx.map_state(MapStateDescriptor::new("waiting"))?;
        let add = |sum: &mut u64, n: u64| *sum += n;
        self.seen = cx.reducing_state(ReducingStateDescriptor::new("seen", add))?;
        Ok(())
    }

    fn process_element(
        &mut self,
        (key, at, number, forget): In,
        cx: &mut KeyedContext<'_, u8>,
        _: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        if (*cx.current_key(), cx.timestamp()) != (key, Some(at)) {
            return Err(format!("record {number} has another key or time").into());
        }
        if cx.current_watermark() >= at {
            return Err(format!("record {number} is late").into());
        }
        if let Some(later) = forget {
            cx.timer_service().delete_event_time_timer(at + later);
            return Ok(());
        }
        self.waiting
            .get_or_insert_with(cx, at, Vec::new)
            .push(number);
        cx.timer_service().register_event_time_timer(at);
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        let numbers = self.waiting.remove(cx, &timestamp).unwrap_or_default();
        let seen = self.seen.get(cx).copied().unwrap_or(0);
        self.seen.add(cx, numbers.len() as u64);
        out.collect((*cx.current_key(), timestamp, numbers, seen));
        Ok(())
    }
}

/// Per key, by itself: what waits at each time, and which times fire.
fn oracle(rows: &[In]) -> BTreeMap<u8, Vec<Out>> {
    let mut keys: BTreeMap<u8, BTreeMap<i64, (bool, Vec<u32>)>> = BTreeMap::new();
    for (key, at, number, forget) in rows {
        let times = keys.entry(*key).or_default();
        match forget {
            None => {
                let entry = times.entry(*at).or_default();
                entry.0 = true;
                entry.1.push(*number);
            }
            Some(later) => {
                if let Some(entry) = times.get_mut(&(at + later)) {
                    entry.0 = false;
                }
            }
        }
    }
    let outs = keys.into_iter().map(|(key, times)| {
        let mut seen = 0;
        let fired = times.into_iter().filter(|(_, (fires, _))| *fires);
        let outs = fired.map(|(at, (_, numbers))| {
            let before = seen;
            seen += numbers.len() as u64;
            (key, at, numbers, before)
        });
        (key, outs.collect::<Vec<_>>())
    });
    outs.filter(|(_, outs)| !outs.is_empty()).collect()
}

fn check(rows: Vec<In>, parallelism: u32) {
    let env = environment(parallelism);
    let expected = oracle(&rows);
    let out = Collected::from(
        timed(&env, rows, |row| row.1)
            .key_by(|row| row.0)
            .process(InOrder::default()),
    );
    env.execute("in order").unwrap();
    let mut outs: BTreeMap<u8, Vec<Out>> = BTreeMap::new();
    for row in out.take() {
        outs.entry(row.0).or_default().push(row);
    }
    assert_eq!(outs, expected);
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let other = (0..20_u8, prop::option::weighted(0.1, 0..20_i64));
    child::runner()
        .run(&(times(other, 4_000), 1..=8_u32), |(rows, parallelism)| {
            let rows = rows.into_iter().zip(0..);
            let rows = rows.map(|((at, (key, forget)), number)| (key, at, number, forget));
            check(rows.collect(), parallelism);
            Ok(())
        })
        .unwrap();
}

#[test]
fn random_timers_and_state() {
    child::run_everywhere("keyed");
}

/// Uses every kind of state.
#[derive(Clone, Default)]
struct Everything {
    value: ValueState<String>,
    list: ListState<i64>,
    average: AggregatingState<i64, (i64, i64), i64>,
    here: OperatorListState<i64>,
    subtask: (u32, u32),
}
#[derive(Clone)]
struct Average;
impl AggregateFunction<i64> for Average {
    type Accumulator = (i64, i64);
    type Output = i64;
    fn create_accumulator(&self) -> (i64, i64) {
        (0, 0)
    }
    fn add(&self, sum: &mut (i64, i64), value: i64) {
        *sum = (sum.0 + value, sum.1 + 1);
    }
    fn get_result(&self, sum: &(i64, i64)) -> i64 {
        sum.0 / sum.1
    }
    fn merge(&self, left: &mut (i64, i64), right: (i64, i64)) {
        *left = (left.0 + right.0, left.1 + right.1);
    }
}
impl KeyedProcessFunction<i64, i64> for Everything {
    type Out = (i64, String, i64);
    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, i64>) -> FunctionResult {
        self.value = cx.value_state(ValueStateDescriptor::new("value"))?;
        self.list = cx.list_state(ListStateDescriptor::new("list"))?;
        self.average = cx.aggregating_state(AggregatingStateDescriptor::new("average", Average))?;
        self.here = cx.operator_list_state(ListStateDescriptor::new("here"))?;
        let (index, all) = (cx.index_of_this_subtask(), cx.number_of_parallel_subtasks());
        let name = format!("Keyed Process -> ({}/{all})", index + 1);
        let starts = cx.task_name_with_subtasks().starts_with("Keyed Process");
        if !starts || cx.attempt_number() != 0 || cx.max_number_of_parallel_subtasks() < all {
            return Err(name.into());
        }
        self.subtask = (index, all);
        Ok(())
    }
    fn process_element(
        &mut self,
        n: i64,
        cx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, String, i64)>,
    ) -> FunctionResult {
        let before = self.value.take(cx).unwrap_or_default();
        self.value.update(cx, format!("{before}.{n}"));
        self.list.add(cx, n);
        self.average.add(cx, n);
        self.here.add(cx, n);
        if self.list.get(cx).len() == 10 {
            let text = self.value.value(cx).cloned().ok_or("there is a value")?;
            let average = self.average.get(cx).ok_or("there is an average")?;
            out.collect((*cx.current_key(), text, average));
            if !self.here.get(cx).contains(&n) || self.subtask.0 >= self.subtask.1 {
                return Err("operator state is lost".into());
            }
        }
        Ok(())
    }
}

#[test]
fn all_kinds_of_state_and_the_runtime_context() {
    let env = environment(3);
    let numbers = env.from_collection(0..100_i64);
    let out = Collected::from(numbers.key_by(|n| n % 10).process(Everything::default()));
    env.execute("everything").unwrap();
    let expected: Vec<(i64, String, i64)> = (0..10)
        .map(|key| {
            let text = (0..10)
                .map(|tens| format!(".{}", tens * 10 + key))
                .collect();
            (key, text, 45 + key)
        })
        .collect();
    assert_eq!(out.sorted(), expected);
}
