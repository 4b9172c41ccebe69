//! Functions over windows: state, time, side outputs, failures.

use flott_network::{Batch, Control};
use flott_state::{ValueState, ValueStateDescriptor};

use super::harness::{Narrow, Row, Step, by_key, drive, ms, output};
use crate::keyed::Reduce;
use crate::window::*;
use crate::{Collector, Output, OutputTag, SubtaskContext, TaskError, side};

/// Emits (key, window end, firings of this window, windows of this key, sum, watermark).
#[derive(Clone, Default)]
struct Numbered {
    firings: ValueState<u64, TimeWindow>,
    windows: ValueState<u64>,
    /// Where cleared windows are told.
    cleared: Option<OutputTag<(u8, i64)>>,
}

type Numbers = (u8, i64, u64, u64, i64, i64);

impl ProcessWindowFunction<Row, u8, TimeWindow> for Numbered {
    type Out = Numbers;

    fn open(&mut self, cx: &mut WindowRuntimeContext<'_, u8>) -> FunctionResult {
        let state = cx.keyed_state();
        self.firings = state.value_state_in(ValueStateDescriptor::new("firings"))?;
        self.windows = state.value_state(ValueStateDescriptor::new("windows"))?;
        Ok(())
    }

    fn process(
        &mut self,
        key: &u8,
        cx: &mut WindowContext<'_, u8, TimeWindow>,
        elements: &[Row],
        out: &mut Collector<'_, Numbers>,
    ) -> FunctionResult {
        let mut window = cx.window_state();
        let firings = self.firings.value(&mut window).copied().unwrap_or(0) + 1;
        self.firings.update(&mut window, firings);
        let mut windows = self.windows.value(cx).copied().unwrap_or(0);
        if firings == 1 {
            windows += 1;
            self.windows.update(cx, windows);
        }
        let sum = elements.iter().map(|row| row.2).sum();
        if sum == 13 {
            return Err("13 brings bad luck".into());
        }
        let (end, watermark) = (cx.window().end(), cx.current_watermark());
        out.collect((*key, end, firings, windows, sum, watermark));
        Ok(())
    }

    fn clear(&mut self, key: &u8, cx: &mut WindowContext<'_, u8, TimeWindow>) -> FunctionResult {
        let end = cx.window().end();
        let mut window = cx.window_state();
        assert!(self.firings.take(&mut window).is_some());
        if let Some(tag) = &self.cleared {
            cx.output(tag, (*key, end));
        }
        Ok(())
    }
}

fn spec<R>(trigger: Option<R>, lateness: u64) -> WindowSpec<Row, TumblingEventTimeWindows, R> {
    WindowSpec {
        assigner: TumblingEventTimeWindows::of(ms(10)),
        trigger,
        late: LateData::default().allowed(ms(lateness)),
    }
}

fn check<R: Trigger<Row, TimeWindow>, C: Contents<Row, View = Row>>(
    trigger: Option<R>,
    contents: C,
) {
    let context = SubtaskContext::for_tests("Window");
    let (narrow, cleared) = (Narrow::with_room(1), Narrow::<(u8, i64)>::with_room(9));
    let tag = OutputTag::new("cleared");
    let side = side::boxed(&tag, Box::new(cleared.clone()));
    let output = Output::with_sides(Box::new(narrow.clone()), vec![side]);
    let function = Process(Numbered {
        cleared: Some(tag),
        ..Numbered::default()
    });
    let operator = keyed_windows(
        &context,
        by_key(),
        spec(trigger, 20),
        contents,
        function,
        output,
    );
    let steps = [
        Step::Rows(vec![(1, 3, 1), (2, 5, 2), (1, 12, 4)]),
        Step::Watermark(10),
        Step::Rows(vec![(1, 4, 8)]),
        Step::Watermark(25),
        Step::Rows(vec![(1, 5, 16)]),
        Step::Watermark(29),
        Step::Watermark(100),
        Step::End,
    ];
    let emitted = drive(&context, operator.unwrap(), &narrow, &steps);
    let rows = |step: usize| -> Vec<Numbers> { emitted[step].iter().map(|row| row.0).collect() };
    assert_eq!(rows(1), [(1, 10, 1, 1, 1, 10), (2, 10, 1, 1, 2, 10)]);
    assert_eq!(rows(2), [(1, 10, 2, 1, 9, 10)]);
    assert_eq!(rows(3), [(1, 20, 1, 2, 4, 25)]);
    assert_eq!(rows(4), [(1, 10, 3, 1 + 1, 25, 25)]);
    assert!(rows(5).is_empty() && rows(6).is_empty());
    let mut cleared: Vec<_> = cleared.take_rows();
    cleared.sort_unstable();
    assert_eq!(cleared, [((1, 10), 9), ((1, 20), 19), ((2, 10), 9)]);
}

#[test]
fn functions_have_state_per_key_and_per_window() {
    let sum = || Folded(Reduce(|sum: &mut Row, row: Row| sum.2 += row.2));
    check::<EventTimeTrigger, _>(None, sum());
    check(Some(EventTimeTrigger), sum());
    check::<EventTimeTrigger, _>(None, Listed::untimed());
    check(Some(EventTimeTrigger), Listed::untimed());
}

fn error_of<R: Trigger<Row, TimeWindow>>(
    trigger: Option<R>,
    rows: &[(Row, i64)],
    control: Option<Control>,
) -> TaskError {
    let context = SubtaskContext::for_tests("Window(of the test)");
    let narrow = Narrow::with_room(1);
    let mut operator = keyed_windows(
        &context,
        by_key(),
        spec(trigger, 0),
        Listed::untimed(),
        Process(Numbered::default()),
        output(&narrow),
    )
    .unwrap();
    let mut batch = Batch::default();
    for (row, time) in rows {
        batch.push(*row, *time);
    }
    match (operator.batch(&mut batch), control) {
        (Err(error), _) => error,
        (Ok(()), Some(control)) => operator.control(control).unwrap_err(),
        (Ok(()), None) => panic!("it should have failed"),
    }
}

#[test]
fn failures_name_the_operator() {
    for trigger in [None, Some(EventTimeTrigger)] {
        let rows = [((1, 3, 13), 3)];
        let error = error_of(trigger, &rows, Some(Control::Watermark(50)));
        let (place, reason) = ("operator 'Window(of the test)'", "13 brings bad luck");
        assert!(error.message.starts_with(place), "{error}");
        assert!(error.message.ends_with(reason), "{error}");
        // The second row has no event time.
        let rows = [((1, 3, 1), 3), ((1, 3, 1), i64::MIN)];
        let error = error_of(trigger, &rows, None);
        let expected = "record 2: the record has no event time";
        assert!(error.message.contains(expected), "{error}");
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let context = SubtaskContext::for_tests("Window");
    let narrow = Narrow::<Row>::with_room(1);
    let sum = || Folded(Reduce(|sum: &mut Row, row: Row| sum.2 += row.2));
    let zero = WindowSpec::new(TumblingEventTimeWindows::of(ms(0)));
    let refused = keyed_windows(&context, by_key(), zero, sum(), EmitResult, output(&narrow));
    let refused = refused.err().unwrap();
    assert!(refused.message.contains("at least one millisecond"));
    let sessions = WindowSpec::new(EventTimeSessionWindows::with_gap(ms(5)));
    let delta = DeltaTrigger::of(1.0, |old: &Row, new: &Row| (new.2 - old.2) as f64);
    let spec = sessions.with_trigger(delta);
    let refused = keyed_windows(&context, by_key(), spec, sum(), EmitResult, output(&narrow));
    assert!(refused.err().unwrap().message.contains("can merge"));
}

#[test]
fn global_windows_that_are_purged_leave_nothing_behind() {
    let context = SubtaskContext::for_tests("Window");
    let narrow = Narrow::with_room(usize::MAX);
    let spec = WindowSpec::new(GlobalWindows::create())
        .with_trigger(PurgingTrigger::of(CountTrigger::of(2)));
    let contents = Folded(Reduce(|sum: &mut Row, row: Row| sum.2 += row.2));
    let operator = keyed_windows(
        &context,
        by_key(),
        spec,
        contents,
        EmitResult,
        output(&narrow),
    );
    let mut steps = Vec::new();
    for key in 0..=255 {
        steps.push(Step::Rows(vec![(key, 1, 1), (key, 2, 2), (key, 3, 3)]));
    }
    let emitted = drive(&context, operator.unwrap(), &narrow, &steps);
    assert!(
        emitted
            .iter()
            .all(|rows| rows.len() == 1 && rows[0].0.2 == 3)
    );
}
