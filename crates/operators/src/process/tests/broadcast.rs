//! Broadcast process functions against a model: rules apply to what comes after them, and change the
//! state of all keys.

use std::collections::BTreeMap;

use flott_network::{Batch, Control};
use flott_state::{BroadcastState, MapStateDescriptor, ValueState, ValueStateDescriptor};
use proptest::prelude::*;

use crate::chain::testing::Narrow;
use crate::keyed::ByValue;
use crate::process::{
    BroadcastContext, BroadcastProcessFunction, BroadcastStates, FunctionResult,
    KeyedBroadcastContext, KeyedBroadcastProcessFunction, KeyedReadOnlyContext,
    KeyedRuntimeContext, ReadOnlyContext, RuntimeContext, broadcast_process,
    keyed_broadcast_process,
};
use crate::{Collector, Output, SubtaskContext, TwoInputSink};

/// Key and value.
type Row = (u8, u64);
/// Name and factor; 0 removes the rule and doubles the state of all keys.
type Rule = (u8, u64);
type Out = (u8, String);

fn rules() -> MapStateDescriptor<u8, u64> {
    MapStateDescriptor::new("rules")
}

/// Sums per key, and tells the sum times each rule's factor.
#[derive(Clone, Default)]
struct Rules {
    sum: Option<ValueState<u64>>,
    rules: Option<BroadcastState<u8, u64>>,
}

impl KeyedBroadcastProcessFunction<u8, Row, Rule> for Rules {
    type Out = Out;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u8>) -> FunctionResult {
        self.sum = Some(cx.value_state(ValueStateDescriptor::new("sum"))?);
        self.rules = Some(cx.broadcast_state(rules())?);
        Ok(())
    }

    fn process_element(
        &mut self,
        (key, n): Row,
        cx: &mut KeyedReadOnlyContext<'_, u8>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        let (sum, rules) = self.sum.zip(self.rules).ok_or("opened first")?;
        let (broadcast, keyed) = cx.states();
        let mut total = sum.value(keyed).copied().unwrap_or(0) + n;
        for (name, factor) in rules.iter(broadcast) {
            total %= 1_000_003;
            out.collect((key, format!("{name}: {}", total * factor)));
            sum.update(keyed, total);
        }
        sum.update(keyed, total);
        let at = total as i64 % 100;
        cx.timer_service().register_event_time_timer(at);
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (name, factor): Rule,
        cx: &mut KeyedBroadcastContext<'_, u8>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        let (sum, rules) = self.sum.zip(self.rules).ok_or("opened first")?;
        if factor > 0 {
            rules.put(cx, name, factor);
            return Ok(());
        }
        rules.remove(cx, &name);
        let mut changed = Vec::new();
        cx.apply_to_keyed_state(&sum, |key, state| {
            if let Some(sum) = sum.value_mut(state) {
                *sum *= 2;
                changed.push(*key);
            }
            Ok(())
        })?;
        changed.sort_unstable();
        out.collect((name, format!("doubled {changed:?}")));
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedReadOnlyContext<'_, u8>,
        out: &mut Collector<'_, Out>,
    ) -> FunctionResult {
        let (sum, rules) = self.sum.zip(self.rules).ok_or("opened first")?;
        let count = rules.iter(cx).count();
        let total = sum.value(cx).copied().unwrap_or(0);
        out.collect((*cx.current_key(), format!("{timestamp} {count} {total}")));
        sum.clear(cx);
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<Row>),
    Rules(Vec<Rule>),
    Watermark(i64),
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(
        prop_oneof![
            proptest::collection::vec((0..5_u8, 0..50_u64), 0..20).prop_map(Step::Rows),
            proptest::collection::vec((0..4_u8, 0..5_u64), 0..5).prop_map(Step::Rules),
            (0..100_i64).prop_map(Step::Watermark),
        ],
        0..25,
    )
}

#[derive(Default)]
struct Model {
    sums: BTreeMap<u8, u64>,
    /// In the order in which they were put first.
    rules: Vec<Rule>,
    timers: Vec<(i64, u8)>,
    out: Vec<Out>,
}

impl Model {
    fn row(&mut self, (key, n): Row) {
        let sum = self.sums.entry(key).or_insert(0);
        *sum += n;
        for (name, factor) in &self.rules {
            *sum %= 1_000_003;
            self.out.push((key, format!("{name}: {}", *sum * factor)));
        }
        let timer = (*sum as i64 % 100, key);
        if !self.timers.contains(&timer) {
            self.timers.push(timer);
        }
    }

    fn rule(&mut self, (name, factor): Rule) {
        let at = self.rules.iter().position(|rule| rule.0 == name);
        match (factor, at) {
            (0, at) => {
                if let Some(at) = at {
                    self.rules.remove(at);
                }
                self.sums.values_mut().for_each(|sum| *sum *= 2);
                let keys: Vec<u8> = self.sums.keys().copied().collect();
                self.out.push((name, format!("doubled {keys:?}")));
            }
            (_, Some(at)) => self.rules[at].1 = factor,
            (_, None) => self.rules.push((name, factor)),
        }
    }

    fn watermark(&mut self, watermark: i64) {
        // Stable: timers of one time in the order of registration.
        self.timers.sort_by_key(|timer| timer.0);
        let due = self.timers.partition_point(|timer| timer.0 <= watermark);
        for (at, key) in self.timers.drain(..due) {
            let sum = self.sums.remove(&key).unwrap_or(0);
            self.out
                .push((key, format!("{at} {} {sum}", self.rules.len())));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn equals_the_model(script in script()) {
        let narrow = Narrow::<Out>::default();
        let context = SubtaskContext::for_tests("Rules");
        let output = Output::to(Box::new(narrow.clone()));
        let mut states = BroadcastStates::default();
        states.add(rules());
        let by_key = ByValue::new(|row: &Row| row.0);
        let mut sink: Box<dyn TwoInputSink<Row, Rule>> =
            keyed_broadcast_process(Rules::default(), by_key, states, &context, output);
        let (mut model, mut watermark) = (Model::default(), -1);
        for step in script {
            while !sink.settle().unwrap() {
                narrow.make_room();
            }
            let mut batch = Batch::default();
            match step {
                Step::Rows(rows) => {
                    rows.iter().for_each(|row| batch.push(*row, 0));
                    sink.batch1(&mut batch).unwrap();
                    rows.into_iter().for_each(|row| model.row(row));
                }
                Step::Rules(rules) => {
                    rules.iter().for_each(|rule| batch.push(*rule, 0));
                    sink.batch2(&mut batch).unwrap();
                    rules.into_iter().for_each(|rule| model.rule(rule));
                }
                Step::Watermark(to) => {
                    watermark = to.max(watermark);
                    sink.control(Control::Watermark(watermark)).unwrap();
                    model.watermark(watermark);
                }
            }
        }
        while !sink.settle().unwrap() {
            narrow.make_room();
        }
        prop_assert_eq!(narrow.rows(), model.out);
    }
}

#[derive(Clone, Default)]
struct Plain(Option<BroadcastState<u8, u64>>);

impl BroadcastProcessFunction<u64, Rule> for Plain {
    type Out = u64;

    fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
        self.0 = Some(cx.broadcast_state(rules())?);
        Ok(())
    }

    fn process_element(
        &mut self,
        value: u64,
        cx: &mut ReadOnlyContext<'_>,
        out: &mut Collector<'_, u64>,
    ) -> FunctionResult {
        let rules = self.0.ok_or("opened first")?;
        for (_, factor) in rules.iter(cx) {
            out.collect(value * factor);
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (name, factor): Rule,
        cx: &mut BroadcastContext<'_>,
        _: &mut Collector<'_, u64>,
    ) -> FunctionResult {
        self.0.ok_or("opened first")?.put(cx, name, factor);
        Ok(())
    }
}

fn plain(states: BroadcastStates) -> (Box<dyn TwoInputSink<u64, Rule>>, Narrow<u64>) {
    let narrow = Narrow::<u64>::default();
    let context = SubtaskContext::for_tests("Plain");
    let output = Output::to(Box::new(narrow.clone()));
    let sink = broadcast_process(Plain::default(), states, &context, output);
    (sink, narrow)
}

#[test]
fn rules_apply_in_the_order_of_their_arrival() {
    let (mut sink, narrow) = plain(BroadcastStates::default());
    let (mut rows, mut rules) = (Batch::default(), Batch::default());
    rules.push((9, 100), 0);
    rules.push((1, 10), 0);
    rows.push(3, 0);
    sink.batch2(&mut rules).unwrap();
    sink.batch1(&mut rows).unwrap();
    assert_eq!(narrow.rows(), [300, 30]);
}

#[test]
fn a_broadcast_state_of_another_type_is_refused() {
    let mut states = BroadcastStates::default();
    states.add(MapStateDescriptor::<String, u64>::new("rules"));
    let error = plain(states).0.settle().unwrap_err();
    assert!(
        error.message.contains("operator 'Plain'"),
        "{}",
        error.message
    );
    assert!(error.message.contains("rules"), "{}", error.message);
}
