//! Errors and panics of functions are told with operator and record, or timer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flott_network::{Batch, Control};

use crate::blame::take_place;
use crate::chain::testing::Keep;
use crate::keyed::ByValue;
use crate::process::{
    CoMap, CoProcessFunction, FunctionResult, KeyedContext, KeyedProcessFunction, ProcessContext,
    ProcessFunction, RuntimeContext, co_process, keyed_process, process,
};
use crate::{BatchSink, Collector, Output, SubtaskContext, TwoInputSink};

#[derive(Clone)]
struct Picky;

impl KeyedProcessFunction<i64, i64> for Picky {
    type Out = i64;

    fn process_element(
        &mut self,
        value: i64,
        cx: &mut KeyedContext<'_, i64>,
        _: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        assert!(value != 13, "unlucky");
        if value < 0 {
            u8::try_from(value)?;
        }
        cx.timer_service().register_event_time_timer(value);
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        _: &mut KeyedContext<'_, i64>,
        _: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        assert!(timestamp != 7, "a bad day");
        Err("no timers, please".into())
    }
}

fn picky() -> Box<dyn BatchSink<i64>> {
    let output = Output::to(Box::new(Keep::default()));
    let context = SubtaskContext::for_tests("Picky");
    keyed_process(Picky, ByValue::new(|n: &i64| *n), &context, output)
}

fn batch(rows: &[i64]) -> Batch<i64> {
    let mut batch = Batch::default();
    rows.iter().for_each(|row| batch.push(*row, 0));
    batch
}

#[test]
fn an_error_of_a_record_and_of_a_timer() {
    let mut sink = picky();
    sink.batch(&mut batch(&[1, 2])).unwrap();
    let error = sink.batch(&mut batch(&[3, -4])).unwrap_err();
    let text = "operator 'Picky', record 4: out of range integral type conversion attempted";
    assert_eq!(error.message, text);

    let mut sink = picky();
    sink.batch(&mut batch(&[5])).unwrap();
    let error = sink.control(Control::Watermark(6)).unwrap_err();
    assert_eq!(
        error.message,
        "operator 'Picky', timer at 5 ms: no timers, please"
    );
}

#[test]
fn a_panic_of_a_record_and_of_a_timer() {
    let place = |run: &mut dyn FnMut()| {
        catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        take_place().unwrap()
    };
    let mut sink = picky();
    let told = place(&mut || sink.batch(&mut batch(&[1, 13])).unwrap());
    assert_eq!(told, "operator 'Picky', record 2");
    let mut sink = picky();
    sink.batch(&mut batch(&[7])).unwrap();
    let told = place(&mut || sink.control(Control::Watermark(7)).unwrap());
    assert_eq!(told, "operator 'Picky', timer at 7 ms");
}

#[test]
fn the_input_is_told_when_there_are_two() {
    #[derive(Clone)]
    struct Second;
    impl CoProcessFunction<i64, i64> for Second {
        type Out = i64;
        fn process_element1(
            &mut self,
            _: i64,
            _: &mut ProcessContext<'_>,
            _: &mut Collector<'_, i64>,
        ) -> FunctionResult {
            Ok(())
        }
        fn process_element2(
            &mut self,
            value: i64,
            _: &mut ProcessContext<'_>,
            _: &mut Collector<'_, i64>,
        ) -> FunctionResult {
            Err(format!("{value} is bad").into())
        }
    }
    let output = Output::to(Box::new(Keep::default()));
    let context = SubtaskContext::for_tests("Co-Process");
    let mut sink: Box<dyn TwoInputSink<i64, i64>> = co_process(Second, &context, output);
    sink.batch1(&mut batch(&[1, 2])).unwrap();
    let error = sink.batch2(&mut batch(&[3])).unwrap_err();
    let text = "operator 'Co-Process', second input, record 1: 3 is bad";
    assert_eq!(error.message, text);
}

#[test]
fn opening_and_closing_may_fail_too_and_happen_once() {
    #[derive(Clone, Default)]
    struct Fails {
        open: bool,
        opened: u32,
    }
    impl ProcessFunction<i64> for Fails {
        type Out = u32;
        fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
            self.opened += 1;
            assert_eq!(cx.number_of_parallel_subtasks(), 1);
            match self.open {
                true => Err("no database".into()),
                false => Ok(()),
            }
        }
        fn process_element(
            &mut self,
            _: i64,
            _: &mut ProcessContext<'_>,
            out: &mut Collector<'_, u32>,
        ) -> FunctionResult {
            out.collect(self.opened);
            Ok(())
        }
        fn close(&mut self) -> FunctionResult {
            Err("no way to close".into())
        }
    }
    let context = SubtaskContext::for_tests("Process");
    let keep = Keep::default();
    let output = || Output::to(Box::new(keep.clone()));
    let bad = Fails {
        open: true,
        opened: 0,
    };
    let error = process(bad, &context, output()).settle().unwrap_err();
    assert_eq!(error.message, "operator 'Process': no database");
    let mut sink = process(Fails::default(), &context, output());
    sink.settle().unwrap();
    sink.batch(&mut batch(&[1, 2])).unwrap();
    let error = sink.control(Control::End).unwrap_err();
    assert_eq!(error.message, "operator 'Process': no way to close");
    assert_eq!(keep.rows(), [1, 1]);
}

#[test]
fn co_map_maps_both() {
    let keep = Keep::default();
    let output = Output::to(Box::new(keep.clone()));
    let context = SubtaskContext::for_tests("Co-Map");
    let function = CoMap(|n: i64| n.to_string(), |text: String| text);
    let mut sink: Box<dyn TwoInputSink<i64, String>> = co_process(function, &context, output);
    sink.batch1(&mut batch(&[1])).unwrap();
    let mut second = Batch::default();
    second.push("two".to_owned(), 5);
    sink.batch2(&mut second).unwrap();
    assert_eq!(
        *keep.0.lock().unwrap(),
        [("1".to_owned(), 0), ("two".to_owned(), 5)]
    );
}
