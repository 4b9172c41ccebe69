//! Random streams through random windows: both implementations equal the oracle.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::{Bounds, Fired, Narrow, Row, Step, Values, by_key, drive, ms, output};
use super::oracle::{Evict, Kind, Oracle, When};
use crate::keyed::Aggregate;
use crate::side;
use crate::window::*;
use crate::{BatchSink, Collector, Output, OutputTag, SubtaskContext, TaskError};

const CASES: u32 = 300;

fn cases() -> u32 {
    let wanted = std::env::var("FLOTT_TEST_CASES");
    wanted.map_or(CASES, |cases| cases.parse().unwrap())
}

/// Rows around a growing time, watermarks between them, and the end.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..4_u8, -25..25_i64, -9..9_i64);
    let rows = proptest::collection::vec(row, 0..12);
    proptest::collection::vec((rows, 0..30_i64, any::<bool>()), 0..25).prop_map(|groups| {
        let (mut now, mut watermark, mut steps) = (0, i64::MIN, Vec::new());
        for (rows, on, has_watermark) in groups {
            let rows = rows
                .into_iter()
                .map(|(key, by, value)| (key, now + by, value));
            steps.push(Step::Rows(rows.collect()));
            now += on;
            if has_watermark && now - 15 > watermark {
                watermark = now - 15;
                steps.push(Step::Watermark(watermark));
            }
        }
        steps.extend([Step::Watermark(i64::MAX), Step::End]);
        steps
    })
}

fn periodic() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1..20_i64, 0..25_i64).prop_map(|(size, offset)| Kind::Periodic(size, size, offset)),
        (1..30_i64, 1..20_i64, 0..25_i64)
            .prop_map(|(size, slide, offset)| Kind::Periodic(size, slide, offset)),
    ]
}

fn lateness() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 0..40_i64]
}

type Apply4 = fn(&u8, &TimeWindow, &[Vec<i64>], &mut Collector<'_, Fired>);

fn with_bounds<W: Bounds>(
    key: &u8,
    window: &W,
    values: &[Vec<i64>],
    out: &mut Collector<'_, Fired>,
) {
    let (start, end) = window.bounds();
    out.collect((*key, start, end, values[0].clone()));
}

fn rows_with_bounds<W: Bounds>(key: &u8, window: &W, rows: &[Row], out: &mut Collector<'_, Fired>) {
    let (start, end) = window.bounds();
    let mut values: Vec<i64> = rows.iter().map(|row| row.2).collect();
    values.sort_unstable();
    out.collect((*key, start, end, values));
}

/// Emitted and late rows of an operator.
type Seen = (Vec<Vec<(Fired, i64)>>, Vec<Row>);

fn run(
    steps: &[Step],
    room: usize,
    make: impl FnOnce(
        &SubtaskContext,
        OutputTag<Row>,
        Output<Fired>,
    ) -> Result<Box<dyn BatchSink<Row>>, TaskError>,
) -> Seen {
    let mut context = SubtaskContext::for_tests("Window");
    // Half of the cases, with either backend.
    if steps.len() % 2 == 1 {
        context = context.with_cold_state_for_tests();
    }
    let (end, late) = (
        Narrow::with_room(room),
        Narrow::<Row>::with_room(usize::MAX),
    );
    let tag = OutputTag::new("late");
    let side = side::boxed(&tag, Box::new(late.clone()));
    let output = Output::with_sides(Box::new(end.clone()), vec![side]);
    let operator = make(&context, tag, output).unwrap();
    let emitted = drive(&context, operator, &end, steps);
    let mut late: Vec<Row> = late.take_rows().into_iter().map(|(row, _)| row).collect();
    late.sort();
    (emitted, late)
}

fn expected(kind: Kind, when: When, evict: Evict, lateness: i64, steps: &[Step]) -> Seen {
    let mut oracle = Oracle::new(kind, when, evict, lateness);
    let emitted = oracle.run(steps);
    oracle.late.sort();
    (emitted, oracle.late)
}

fn duration(millis: i64) -> std::time::Duration {
    ms(millis.unsigned_abs())
}

fn spec<A: WindowAssigner<Row>>(
    assigner: A,
    lateness: i64,
    tag: OutputTag<Row>,
) -> WindowSpec<Row, A> {
    WindowSpec {
        late: LateData::default()
            .allowed(duration(lateness))
            .to_side_output(tag),
        ..WindowSpec::new(assigner)
    }
}

fn sliding(size: i64, slide: i64, offset: i64) -> SlidingEventTimeWindows {
    SlidingEventTimeWindows::of(duration(size), duration(slide)).with_offset(duration(offset))
}

/// By `keyed_windows`, which chooses; with a value per window, or with all rows.
fn chosen(kind: Kind, lateness: i64, listed: bool, steps: &[Step], room: usize) -> Seen {
    run(steps, room, |context, tag, output| {
        let Kind::Periodic(size, slide, offset) = kind else {
            panic!("{kind:?} is not periodic")
        };
        let spec = spec(sliding(size, slide, offset), lateness, tag);
        if listed {
            let function = Apply::new(rows_with_bounds::<TimeWindow>);
            keyed_windows(context, by_key(), spec, Listed::untimed(), function, output)
        } else {
            let function = Apply::new(with_bounds::<TimeWindow> as Apply4);
            let contents = Folded(Aggregate(Values));
            keyed_windows(context, by_key(), spec, contents, function, output)
        }
    })
}

/// Always with an entry per key and window.
fn by_entry<A, R>(assigner: A, trigger: R, lateness: i64, steps: &[Step], room: usize) -> Seen
where
    A: WindowAssigner<Row>,
    A::Window: Bounds,
    R: Trigger<Row, A::Window>,
{
    run(steps, room, |context, tag, output| {
        let spec = spec(assigner, lateness, tag).with_trigger(trigger);
        let function = Apply::new(with_bounds::<A::Window>);
        keyed_windows(
            context,
            by_key(),
            spec,
            Folded(Aggregate(Values)),
            function,
            output,
        )
    })
}

fn evicting<A, R, E>(assigner: A, trigger: R, evictor: E, lateness: i64, steps: &[Step]) -> Seen
where
    A: WindowAssigner<Row>,
    A::Window: Bounds,
    R: Trigger<Row, A::Window>,
    E: Evictor<Row, A::Window>,
{
    run(steps, 2, |context, tag, output| {
        let spec = spec(assigner, lateness, tag).with_trigger(trigger);
        let function = Evicting::new(evictor, Apply::new(rows_with_bounds::<A::Window>));
        keyed_windows(context, by_key(), spec, Listed::timed(), function, output)
    })
}

fn property<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases())
    };
    TestRunner::new(config).run(strategy, test).unwrap();
}

#[test]
fn periodic_windows_by_panes_and_by_entries_equal_the_oracle() {
    let input = (periodic(), lateness(), steps(), 1..4_usize);
    property(&input, |(kind, lateness, steps, room)| {
        let expected = expected(kind, When::Complete, Evict::Nothing, lateness, &steps);
        prop_assert_eq!(&chosen(kind, lateness, false, &steps, room), &expected);
        prop_assert_eq!(&chosen(kind, lateness, true, &steps, room), &expected);
        let Kind::Periodic(size, slide, offset) = kind else {
            return Ok(());
        };
        let assigner = sliding(size, slide, offset);
        let entries = by_entry(assigner, EventTimeTrigger, lateness, &steps, room);
        prop_assert_eq!(&entries, &expected);
        Ok(())
    });
}

#[test]
fn sessions_equal_the_oracle() {
    let input = (1..20_i64, lateness(), steps(), 1..4_usize);
    property(&input, |(gap, lateness, steps, room)| {
        let kind = Kind::Session(gap);
        let assigner = EventTimeSessionWindows::with_gap(duration(gap));
        let found = by_entry(assigner, EventTimeTrigger, lateness, &steps, room);
        let complete = expected(kind, When::Complete, Evict::Nothing, lateness, &steps);
        prop_assert_eq!(&found, &complete);
        let assigner = EventTimeSessionWindows::with_dynamic_gap(move |_: &Row| duration(gap));
        let found = by_entry(assigner, CountTrigger::of(3), lateness, &steps, room);
        let counted = expected(
            kind,
            When::Count(3, false),
            Evict::Nothing,
            lateness,
            &steps,
        );
        prop_assert_eq!(&found, &counted);
        Ok(())
    });
}

#[test]
fn triggers_equal_the_oracle() {
    let input = (periodic(), lateness(), steps(), 1..6_u64, 1..12_i64);
    property(&input, |(kind, lateness, steps, count, by)| {
        let Kind::Periodic(size, slide, offset) = kind else {
            return Ok(());
        };
        let windows = || sliding(size, slide, offset);
        let expect = |when| expected(kind, when, Evict::Nothing, lateness, &steps);
        let found = by_entry(windows(), CountTrigger::of(count), lateness, &steps, 1);
        prop_assert_eq!(&found, &expect(When::Count(count, false)));
        let purging = PurgingTrigger::of(CountTrigger::of(count));
        let found = by_entry(windows(), purging, lateness, &steps, 1);
        prop_assert_eq!(&found, &expect(When::Count(count, true)));
        let every = ContinuousEventTimeTrigger::of(duration(by));
        let found = by_entry(windows(), every, lateness, &steps, 1);
        prop_assert_eq!(&found, &expect(When::Every(by)));
        let grown = DeltaTrigger::of(by as f64, |old: &Row, new: &Row| (new.2 - old.2) as f64);
        let found = by_entry(windows(), grown, lateness, &steps, 1);
        prop_assert_eq!(&found, &expect(When::Grown(by)));
        Ok(())
    });
}

#[test]
fn global_windows_equal_the_oracle() {
    let input = (steps(), 1..6_u64, 1..12_i64, 1..6_usize);
    property(&input, |(steps, count, by, keep)| {
        let expect = |when, evict| expected(Kind::Global, when, evict, 0, &steps);
        let purging = PurgingTrigger::of(CountTrigger::of(count));
        let found = by_entry(GlobalWindows::create(), purging, 0, &steps, 1);
        prop_assert_eq!(&found, &expect(When::Count(count, true), Evict::Nothing));
        let grown = DeltaTrigger::of(by as f64, |old: &Row, new: &Row| (new.2 - old.2) as f64);
        let found = by_entry(GlobalWindows::create(), grown, 0, &steps, 1);
        prop_assert_eq!(&found, &expect(When::Grown(by), Evict::Nothing));
        // `count_window(keep, count)`.
        let (trigger, evictor) = (CountTrigger::of(count), CountEvictor::of(keep as u64));
        let found = evicting(GlobalWindows::create(), trigger, evictor, 0, &steps);
        let when = When::Count(count, false);
        prop_assert_eq!(&found, &expect(when, Evict::AllBut(keep, false)));
        let found = by_entry(GlobalWindows::create(), NeverTrigger, 0, &steps, 1);
        prop_assert!(found.0.iter().all(Vec::is_empty));
        Ok(())
    });
}

#[test]
fn evictors_equal_the_oracle() {
    let input = (
        periodic(),
        lateness(),
        steps(),
        0..6_usize,
        1..20_i64,
        any::<bool>(),
    );
    property(&input, |(kind, lateness, steps, keep, by, after)| {
        let Kind::Periodic(size, slide, offset) = kind else {
            return Ok(());
        };
        let windows = || sliding(size, slide, offset);
        let when = When::Count(4, false);
        let expect = |when, evict| expected(kind, when, evict, lateness, &steps);
        let counted = CountEvictor::of(keep as u64);
        let counted = if after {
            counted.evict_after()
        } else {
            counted
        };
        let found = evicting(windows(), EventTimeTrigger, counted, lateness, &steps);
        prop_assert_eq!(&found, &expect(When::Complete, Evict::AllBut(keep, after)));
        let timed = TimeEvictor::of(duration(by));
        let timed = if after { timed.evict_after() } else { timed };
        let found = evicting(windows(), CountTrigger::of(4), timed, lateness, &steps);
        prop_assert_eq!(&found, &expect(when, Evict::Older(by, after)));
        let far = DeltaEvictor::of(by as f64, |old: &Row, new: &Row| {
            (new.2 - old.2).abs() as f64
        });
        let far = if after { far.evict_after() } else { far };
        let found = evicting(windows(), CountTrigger::of(4), far, lateness, &steps);
        prop_assert_eq!(&found, &expect(when, Evict::Far(by, after)));
        Ok(())
    });
}

#[test]
fn without_a_side_output_late_rows_are_counted() {
    let input = (periodic(), lateness(), steps());
    property(&input, |(kind, lateness, steps)| {
        let (_, late) = expected(kind, When::Complete, Evict::Nothing, lateness, &steps);
        let Kind::Periodic(size, slide, offset) = kind else {
            return Ok(());
        };
        let context = SubtaskContext::for_tests("Window");
        let end = Narrow::with_room(1);
        let spec = WindowSpec {
            late: LateData::default().allowed(duration(lateness)),
            ..WindowSpec::new(sliding(size, slide, offset))
        };
        let contents = Folded(Aggregate(Values));
        let operator = keyed_windows(&context, by_key(), spec, contents, EmitResult, output(&end));
        drive(&context, operator.unwrap(), &end, &steps);
        let counted = context.metrics.counter("numLateRecordsDropped").count();
        prop_assert_eq!(counted, late.len() as i64);
        Ok(())
    });
}
