//! Each record meets each rule exactly once, whichever comes first, in every number of subtasks.

use flott::prelude::*;
use proptest::prelude::*;

use crate::child;
use crate::support::{Collected, environment};

fn rules() -> MapStateDescriptor<u32, i64> {
    MapStateDescriptor::new("rules")
}

/// Number of the record, number of the rule, what the rule makes of the record.
type Out = (i64, u32, i64);

#[derive(Clone, Default)]
struct Meet {
    records: ListState<i64>,
    rules: BroadcastState<u32, i64>,
    batch: bool,
}

impl KeyedBroadcastProcessFunction<i64, i64, (u32, i64)> for Meet {
    type Out = Out;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, i64>) -> FunctionResult {
        self.records = cx.list_state(ListStateDescriptor::new("records"))?;
        self.rules = cx.broadcast_state(rules())?;
        self.batch = cx.is_batch();
        Ok(())
    }

    fn process_element(
        &mut self,
        n: i64,
        cx: &mut KeyedReadOnlyContext<'_, i64>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        self.records.add(cx, n);
        for (rule, factor) in self.rules.iter(cx) {
            out.collect((n, *rule, n * factor));
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (rule, factor): (u32, i64),
        cx: &mut KeyedBroadcastContext<'_, i64>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        let (records, batch) = (self.records, self.batch);
        cx.apply_to_keyed_state(&records, |_, state| {
            assert!(!batch, "in BATCH all rules come before the first record");
            for n in records.get(state) {
                out.collect((*n, rule, n * factor));
            }
            Ok(())
        })?;
        self.rules.put(cx, rule, factor);
        Ok(())
    }
}

/// As [`Meet`], but records are kept in the subtask.
#[derive(Clone, Default)]
struct MeetAnywhere {
    records: Vec<i64>,
    rules: BroadcastState<u32, i64>,
    batch: bool,
}

impl BroadcastProcessFunction<i64, (u32, i64)> for MeetAnywhere {
    type Out = Out;

    fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
        self.rules = cx.broadcast_state(rules())?;
        self.batch = cx.is_batch();
        Ok(())
    }

    fn process_element(
        &mut self,
        n: i64,
        cx: &mut ReadOnlyContext<'_>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        self.records.push(n);
        for (rule, factor) in self.rules.iter(cx) {
            out.collect((n, *rule, n * factor));
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (rule, factor): (u32, i64),
        cx: &mut BroadcastContext<'_>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        assert!(
            !self.batch || self.records.is_empty(),
            "rules come first in BATCH"
        );
        for n in &self.records {
            out.collect((*n, rule, n * factor));
        }
        self.rules.put(cx, rule, factor);
        Ok(())
    }
}

fn check(records: i64, factors: &[i64], parallelism: u32, keyed: bool) {
    let env = environment(parallelism);
    let numbered: Vec<(u32, i64)> = (0..).zip(factors.iter().copied()).collect();
    let mut expected: Vec<Out> = (0..records)
        .flat_map(|n| {
            numbered
                .iter()
                .map(move |(rule, factor)| (n, *rule, n * factor))
        })
        .collect();
    expected.sort_unstable();
    // The rules come from several subtasks, the records too.
    let broadcast = env
        .from_collection(numbered)
        .rebalance()
        .map(|rule| rule)
        .broadcast_with(&[rules()]);
    let records = env.from_sequence(0, records - 1);
    let out = if keyed {
        let records = records.key_by(|n| n % 17).connect_broadcast(broadcast);
        records.process(Meet::default())
    } else {
        let records = records.connect_broadcast(broadcast);
        records.process(MeetAnywhere::default())
    };
    let out = Collected::from(out);
    env.execute("broadcast").unwrap();
    assert_eq!(out.sorted(), expected);
}

/// In a child, whose configuration is part of the test.
pub(crate) fn random_jobs() {
    let factors = proptest::collection::vec(-9..9_i64, 0..30);
    child::runner()
        .run(
            &(0..800_i64, factors, 1..=8_u32, any::<bool>()),
            |(records, factors, parallelism, keyed)| {
                check(records, &factors, parallelism, keyed);
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn each_record_meets_each_rule_once() {
    child::run_everywhere("broadcast");
}
