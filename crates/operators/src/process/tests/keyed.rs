//! Keyed process functions with random timers, deletes and state, with and without room.

use std::collections::BTreeMap;

use flott_network::{Batch, Control, NO_TIMESTAMP};
use flott_record::hash::stable_hash;
use flott_state::{MapStateDescriptor, TimeDomain, ValueState, ValueStateDescriptor};
use proptest::prelude::*;

use super::model::{Ask, Model, Row, Step, script};
use crate::chain::testing::{Keep, Narrow};
use crate::keyed::ByValue;
use crate::process::{
    FunctionResult, KeyedCoProcessFunction, KeyedContext, KeyedProcessFunction,
    KeyedRuntimeContext, keyed_co_process, keyed_process,
};
use crate::{BatchSink, Collector, Output, OutputTag, SubtaskContext, TaskClock, TwoInputSink};

type In = (u8, i64, Ask);

/// Does what records ask for.
#[derive(Clone, Default)]
struct Asked {
    count: Option<ValueState<u64>>,
}

impl Asked {
    fn count(&self, cx: &mut KeyedContext<'_, u8>) -> Result<u64, &'static str> {
        let state = self.count.ok_or("opened first")?;
        let count = state.value(cx).copied().unwrap_or(0) + 1;
        state.update(cx, count);
        Ok(count)
    }
}

impl KeyedProcessFunction<u8, In> for Asked {
    type Out = Row;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u8>) -> FunctionResult {
        assert_eq!(cx.index_of_this_subtask(), 0);
        self.count = Some(cx.value_state(ValueStateDescriptor::new("count"))?);
        Ok(())
    }

    fn process_element(
        &mut self,
        (key, at, ask): In,
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, Row>,
    ) -> FunctionResult {
        assert_eq!(*cx.current_key(), key);
        assert_eq!(cx.timestamp(), Some(at));
        assert_eq!(cx.time_domain(), None);
        let now = cx.current_processing_time();
        match ask {
            Ask::Count => {
                let count = self.count(cx)?;
                out.collect((key, "count".to_owned(), at, count));
            }
            Ask::Event(after) => cx.timer_service().register_event_time_timer(at + after),
            Ask::NoEvent(after) => cx.timer_service().delete_event_time_timer(at + after),
            Ask::Processing(after) => {
                cx.timer_service()
                    .register_processing_time_timer(now + after);
            }
            Ask::NoProcessing(time) => cx.timer_service().delete_processing_time_timer(time),
            Ask::Many(rows) => {
                for n in 0..rows {
                    out.collect((key, "many".to_owned(), at, u64::from(n)));
                }
            }
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, Row>,
    ) -> FunctionResult {
        let count = self.count(cx)?;
        let key = *cx.current_key();
        let now = cx.current_processing_time();
        let (text, expected) = match cx.time_domain() {
            Some(TimeDomain::EventTime) => ("event", Some(timestamp)),
            _ => ("processing", None),
        };
        assert_eq!(out.timestamp(), expected);
        out.collect((key, text.to_owned(), timestamp, count));
        let mut timers = cx.timer_service();
        if count.is_multiple_of(3) && count < 60 {
            if text == "event" {
                assert!(timers.current_watermark() >= timestamp);
                timers.register_event_time_timer(timestamp + 2);
            } else {
                assert!(timers.current_processing_time() >= timestamp || now == 0);
                timers.register_processing_time_timer(timestamp + 2);
            }
        }
        if count.is_multiple_of(5) {
            timers.delete_event_time_timer(timestamp + 4);
            timers.register_processing_time_timer(now + 5);
        }
        Ok(())
    }
}

fn batch_of(rows: &[In], hashed: bool) -> Batch<In> {
    let mut batch = Batch::default();
    for row in rows {
        batch.push(*row, row.1);
        if hashed {
            batch.hashes.push(stable_hash(&row.0));
        }
    }
    batch
}

/// Settles, making room again and again.
fn settle(sink: &mut dyn BatchSink<In>, narrow: &Narrow<Row>) {
    while !sink.settle().unwrap() {
        narrow.make_room();
    }
}

fn selector() -> ByValue<fn(&In) -> u8, u8> {
    ByValue::new((|row: &In| row.0) as fn(&In) -> u8)
}

/// Runs a script with little room downstream, and compares every row, and what came before each
/// control element, with the model.
fn run(script: &[Step], hashed: bool) {
    let narrow = Narrow::<Row>::default();
    let mut context = SubtaskContext {
        clock: TaskClock::manual(0),
        ..SubtaskContext::for_tests("Keyed Process")
    };
    // Half of the cases, with either backend.
    if script.len() % 2 == 1 {
        context = context.with_cold_state_for_tests();
    }
    let clock = context.clock.clone();
    let output = Output::to(Box::new(narrow.clone()));
    let mut sink = keyed_process(Asked::default(), selector(), &context, output);
    let (mut model, mut watermark, mut before) = (Model::default(), 0, Vec::new());
    for step in script {
        settle(&mut *sink, &narrow);
        match step {
            Step::Batch(rows) => {
                sink.batch(&mut batch_of(rows, hashed)).unwrap();
                rows.iter()
                    .for_each(|(key, at, ask)| model.record(*key, *at, *ask));
            }
            Step::Watermark(by) => {
                watermark += by;
                sink.control(Control::Watermark(watermark)).unwrap();
                model.advance(watermark);
                before.push(model.out.len() as u64);
            }
            Step::Time(by) => {
                clock.set(model.now + by);
                // A timer that nobody asked the clock for would never be called.
                let asked = clock.next_wake();
                let rows = model.out.len();
                model.time(clock.now());
                if model.out.len() > rows {
                    assert!(asked.is_some_and(|asked| asked <= clock.now()));
                }
                clock.take_due(clock.now());
                sink.time(clock.now()).unwrap();
            }
        }
    }
    settle(&mut *sink, &narrow);
    for control in [Control::Watermark(i64::MAX), Control::End] {
        sink.control(control).unwrap();
        settle(&mut *sink, &narrow);
    }
    model.advance(i64::MAX);
    before.extend([model.out.len() as u64; 2]);
    assert_eq!(narrow.rows(), model.out);
    assert_eq!(narrow.rows_before_control(), before);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn equals_the_model(script in script(), hashed in any::<bool>()) {
        run(&script, hashed);
    }

    #[test]
    fn in_batch_all_timers_fire_when_keys_end(script in script()) {
        let keep = Keep::<Row>::default();
        let context = SubtaskContext {
            batch_mode: true,
            ..SubtaskContext::for_tests("Keyed Process")
        };
        let output = Output::to(Box::new(keep.clone()));
        let mut sink = keyed_process(Asked::default(), selector(), &context, output);
        let mut model = Model::default();
        for step in &script {
            match step {
                Step::Batch(rows) => {
                    sink.batch(&mut batch_of(rows, true)).unwrap();
                    rows.iter().for_each(|(key, at, ask)| model.record(*key, *at, *ask));
                }
                Step::Watermark(_) => {
                    sink.control(Control::KeysEnd).unwrap();
                    model.keys_end();
                }
                Step::Time(_) => sink.time(1_000_000).unwrap(),
            }
            while !sink.settle().unwrap() {}
        }
        sink.control(Control::End).unwrap();
        while !sink.settle().unwrap() {}
        model.keys_end();
        prop_assert_eq!(keep.rows(), model.out);
        prop_assert_eq!(&*keep.1.lock().unwrap(), &[Control::End]);
    }
}

/// The records of both inputs ask the same things.
#[derive(Clone, Default)]
struct Both(Asked);

impl KeyedCoProcessFunction<u8, In, (In, ())> for Both {
    type Out = Row;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u8>) -> FunctionResult {
        self.0.open(cx)
    }

    fn process_element1(
        &mut self,
        value: In,
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, Row>,
    ) -> FunctionResult {
        self.0.process_element(value, cx, out)
    }

    fn process_element2(
        &mut self,
        (value, ()): (In, ()),
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, Row>,
    ) -> FunctionResult {
        self.0.process_element(value, cx, out)
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, Row>,
    ) -> FunctionResult {
        self.0.on_timer(timestamp, cx, out)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// Rows alternate between the inputs, batch by batch: state and timers are shared.
    #[test]
    fn two_inputs_share_state_and_timers(script in script()) {
        let narrow = Narrow::<Row>::default();
        let context = SubtaskContext::for_tests("Keyed Co-Process");
        let output = Output::to(Box::new(narrow.clone()));
        let second = ByValue::new(|row: &(In, ())| row.0.0);
        let mut sink: Box<dyn TwoInputSink<In, (In, ())>> =
            keyed_co_process(Both::default(), (selector(), second), &context, output);
        let mut model = Model::default();
        for (number, step) in script.iter().enumerate() {
            match step {
                Step::Batch(rows) if number % 2 == 0 => {
                    sink.batch1(&mut batch_of(rows, true)).unwrap();
                    rows.iter().for_each(|(key, at, ask)| model.record(*key, *at, *ask));
                }
                Step::Batch(rows) => {
                    let mut batch = Batch::default();
                    rows.iter().for_each(|row| batch.push((*row, ()), row.1));
                    sink.batch2(&mut batch).unwrap();
                    rows.iter().for_each(|(key, at, ask)| model.record(*key, *at, *ask));
                }
                Step::Watermark(by) => {
                    let watermark = model.watermark.unwrap_or(0) + by;
                    sink.control(Control::Watermark(watermark)).unwrap();
                    model.advance(watermark);
                }
                Step::Time(by) => {
                    context.clock.set(model.now + by);
                    sink.time(context.clock.now()).unwrap();
                    model.time(context.clock.now());
                }
            }
            while !sink.settle().unwrap() {
                narrow.make_room();
            }
        }
        prop_assert_eq!(narrow.rows(), model.out);
    }
}

#[test]
fn many_timers_wait_for_room_and_hold_little_back() {
    #[derive(Clone)]
    struct Echo;
    impl KeyedProcessFunction<u64, u64> for Echo {
        type Out = u64;
        fn process_element(
            &mut self,
            value: u64,
            cx: &mut KeyedContext<'_, u64>,
            _: &mut Collector<'_, u64>,
        ) -> FunctionResult {
            cx.timer_service().register_event_time_timer(value as i64);
            Ok(())
        }
        fn on_timer(
            &mut self,
            timestamp: i64,
            cx: &mut KeyedContext<'_, u64>,
            out: &mut Collector<'_, u64>,
        ) -> FunctionResult {
            assert_eq!(*cx.current_key(), timestamp as u64);
            out.collect(timestamp as u64);
            Ok(())
        }
    }
    let narrow = Narrow::<u64>::default();
    let context = SubtaskContext::for_tests("Keyed Process");
    let output = Output::to(Box::new(narrow.clone()));
    let mut sink = keyed_process(Echo, ByValue::new(|n: &u64| *n), &context, output);
    let mut batch = Batch::default();
    let timers = 50_000_u64;
    (0..timers).for_each(|n| batch.push(n, NO_TIMESTAMP));
    sink.batch(&mut batch).unwrap();
    sink.control(Control::Watermark(i64::MAX)).unwrap();
    while !sink.settle().unwrap() {
        narrow.make_room();
    }
    assert_eq!(narrow.rows(), (0..timers).collect::<Vec<_>>());
    assert_eq!(narrow.rows_before_control(), [timers]);
    assert!(narrow.most() <= 2, "{} batches without room", narrow.most());
}

#[test]
fn side_outputs_get_their_rows_with_the_time_of_the_element() {
    #[derive(Clone)]
    struct Aside(OutputTag<String>);
    impl KeyedProcessFunction<u8, In> for Aside {
        type Out = u8;
        fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u8>) -> FunctionResult {
            let map = MapStateDescriptor::<u8, u8>::new("map");
            cx.map_state(map.clone())?;
            cx.broadcast_state(map)?;
            Ok(())
        }
        fn process_element(
            &mut self,
            (key, at, _): In,
            cx: &mut KeyedContext<'_, u8>,
            out: &mut Collector<'_, u8>,
        ) -> FunctionResult {
            cx.output(&self.0, format!("{key} at {at}"));
            cx.output(&OutputTag::<u64>::new("nobody reads"), 1);
            cx.timer_service().register_event_time_timer(at + 1);
            cx.timer_service().register_processing_time_timer(3);
            out.collect_at(key, 99);
            Ok(())
        }
        fn on_timer(
            &mut self,
            timestamp: i64,
            cx: &mut KeyedContext<'_, u8>,
            _: &mut Collector<'_, u8>,
        ) -> FunctionResult {
            cx.output(&self.0, format!("timer at {timestamp}"));
            Ok(())
        }
    }
    let tag = OutputTag::new("aside");
    let (main, side) = (Keep::default(), Keep::<String>::default());
    let output = Output::with_sides(
        Box::new(main.clone()),
        vec![crate::side::boxed(&tag, Box::new(side.clone()))],
    );
    let context = SubtaskContext::for_tests("Keyed Process");
    let mut sink = keyed_process(Aside(tag), selector(), &context, output);
    sink.batch(&mut batch_of(&[(1, 10, Ask::Count)], false))
        .unwrap();
    sink.time(5).unwrap();
    sink.control(Control::Watermark(20)).unwrap();
    sink.control(Control::End).unwrap();
    assert_eq!(*main.0.lock().unwrap(), [(1, 99)]);
    let expected: BTreeMap<String, i64> = [
        ("1 at 10".to_owned(), 10),
        ("timer at 11".to_owned(), 11),
        ("timer at 3".to_owned(), NO_TIMESTAMP),
    ]
    .into();
    assert_eq!(
        side.0.lock().unwrap().drain(..).collect::<BTreeMap<_, _>>(),
        expected
    );
    let controls = [Control::Watermark(20), Control::End];
    assert_eq!(*side.1.lock().unwrap(), controls);
    assert_eq!(*main.1.lock().unwrap(), controls);
}
