//! Connected streams: every record of both is processed once, records with equal keys meet.

use std::collections::BTreeMap;

use flott::prelude::*;
use proptest::prelude::*;

use crate::child;
use crate::support::{Collected, environment};

/// Adds up both sides per key, and tells the sum at the end of event time.
#[derive(Clone, Default)]
struct AddUp {
    sum: ValueState<(i64, u64)>,
}

impl AddUp {
    fn add(&self, n: i64, cx: &mut KeyedContext<'_, String>) {
        let (sum, count) = self.sum.value(cx).copied().unwrap_or_default();
        self.sum.update(cx, (sum + n, count + 1));
        cx.timer_service().register_event_time_timer(i64::MAX);
    }
}

impl KeyedCoProcessFunction<String, i64, (String, i64)> for AddUp {
    type Out = (String, i64, u64);

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, String>) -> FunctionResult {
        self.sum = cx.value_state(ValueStateDescriptor::new("sum"))?;
        Ok(())
    }

    fn process_element1(
        &mut self,
        n: i64,
        cx: &mut KeyedContext<'_, String>,
        _: &mut Collector<'_, (String, i64, u64)>,
    ) -> FunctionResult {
        self.add(n, cx);
        Ok(())
    }

    fn process_element2(
        &mut self,
        (_, n): (String, i64),
        cx: &mut KeyedContext<'_, String>,
        _: &mut Collector<'_, (String, i64, u64)>,
    ) -> FunctionResult {
        self.add(n, cx);
        Ok(())
    }

    fn on_timer(
        &mut self,
        _: i64,
        cx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, (String, i64, u64)>,
    ) -> FunctionResult {
        let (sum, count) = self.sum.take(cx).ok_or("there is a sum")?;
        out.collect((cx.current_key().clone(), sum, count));
        Ok(())
    }
}

fn check(lefts: i64, rights: &[(u8, i64)], parallelism: u32, late_key: bool) {
    let env = environment(parallelism);
    let key = |n: i64| format!("key {}", n % 23);
    let mut sums: BTreeMap<String, (i64, u64)> = BTreeMap::new();
    let named: Vec<(String, i64)> = rights
        .iter()
        .map(|(name, n)| (key(i64::from(*name)), *n))
        .collect();
    for (name, n) in (0..lefts).map(|n| (key(n), n)).chain(named.clone()) {
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + n, sum.1 + 1);
    }
    let (left, right) = (env.from_sequence(0, lefts - 1), env.from_collection(named));
    let keyed = if late_key {
        let keyed = left
            .connect(right)
            .key_by(move |n| key(*n), |row| row.0.clone());
        keyed.process(AddUp::default())
    } else {
        let right = right.key_by(|row| row.0.clone());
        let keyed = left.key_by(move |n| key(*n)).connect(right);
        keyed.process(AddUp::default())
    };
    let out = Collected::from(keyed);
    env.execute("connected").unwrap();
    let expected: Vec<_> = sums
        .into_iter()
        .map(|(name, (sum, count))| (name, sum, count))
        .collect();
    assert_eq!(out.sorted(), expected);
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let rights = proptest::collection::vec((any::<u8>(), -99..99_i64), 0..2_000);
    child::runner()
        .run(
            &(0..3_000_i64, rights, 1..=8_u32, any::<bool>()),
            |(lefts, rights, parallelism, late_key)| {
                check(lefts, &rights, parallelism, late_key);
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn keys_of_two_streams_meet() {
    child::run_everywhere("connected");
}

#[test]
fn map_and_flat_map_of_streams_of_different_parallelism() {
    let env = environment(4);
    let words = env.from_collection((0..50).map(|n| format!("word {n}")));
    let mapped = env
        .from_sequence(0, 99)
        .connect(words.clone())
        .map(|n| n.to_string(), |word| word);
    let mapped = Collected::from(mapped);
    let halves = words
        .map(|word| word.len() as i64)
        .connect(env.from_sequence(0, 9).filter(|n| n % 2 == 0))
        .flat_map(|length| [length], |n| (n > 4).then_some(100 * n));
    let halves = Collected::from(halves);
    env.execute("co-map").unwrap();
    let mut expected: Vec<String> = (0..100).map(|n: i64| n.to_string()).collect();
    expected.extend((0..50).map(|n| format!("word {n}")));
    expected.sort();
    assert_eq!(mapped.sorted(), expected);
    let mut expected = vec![6; 10];
    expected.extend([7; 40]);
    expected.extend([600, 800]);
    assert_eq!(halves.sorted(), expected);
}
