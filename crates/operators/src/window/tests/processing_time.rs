//! Windows of the machine's time, with a clock that the test sets.

use super::harness::{Narrow, Step, Values, by_key, drive, ms, output};
use crate::SubtaskContext;
use crate::keyed::Aggregate;
use crate::window::*;

type Emitted = Vec<Vec<(Vec<i64>, i64)>>;

fn run<A, R>(assigner: A, trigger: Option<R>, steps: &[Step]) -> Emitted
where
    A: WindowAssigner<super::harness::Row>,
    R: Trigger<super::harness::Row, A::Window>,
{
    let context = SubtaskContext::for_tests("Window");
    let narrow = Narrow::with_room(1);
    let spec = WindowSpec {
        assigner,
        trigger,
        late: LateData::default(),
    };
    let contents = Folded(Aggregate(Values));
    let operator = keyed_windows(
        &context,
        by_key(),
        spec,
        contents,
        EmitResult,
        output(&narrow),
    );
    drive(&context, operator.unwrap(), &narrow, steps)
}

/// Rows without any use of their event times, and the clock.
fn steps() -> Vec<Step> {
    let rows = |values: &[i64]| {
        let rows = values
            .iter()
            .map(|value| ((value % 2) as u8, i64::MIN, *value));
        Step::Rows(rows.collect())
    };
    vec![
        Step::Time(103),
        rows(&[1, 2]),
        Step::Time(109),
        rows(&[3]),
        Step::Time(110),
        rows(&[5]),
        Step::Time(131),
        rows(&[7]),
        Step::Watermark(i64::MAX),
        Step::End,
    ]
}

fn without_empty(emitted: Emitted) -> Vec<(usize, Vec<(Vec<i64>, i64)>)> {
    let steps = emitted.into_iter().enumerate();
    steps.filter(|(_, rows)| !rows.is_empty()).collect()
}

#[test]
fn tumbling_windows_fire_when_the_clock_has_passed_their_end() {
    let expected = [
        // At 110 the millisecond 109 is over.
        (4, vec![(vec![1, 3], 109), (vec![2], 109)]),
        (6, vec![(vec![5], 119)]),
        // What is open at the end of the input is dropped.
    ];
    let windows = || TumblingProcessingTimeWindows::of(ms(10));
    let panes = run::<_, ProcessingTimeTrigger>(windows(), None, &steps());
    assert_eq!(without_empty(panes), expected);
    let entries = run(windows(), Some(ProcessingTimeTrigger), &steps());
    assert_eq!(without_empty(entries), expected);
}

#[test]
fn sliding_windows_by_panes_and_by_entries_are_the_same() {
    let windows = || SlidingProcessingTimeWindows::of(ms(20), ms(10)).with_offset(ms(3));
    let panes = run::<_, ProcessingTimeTrigger>(windows(), None, &steps());
    let entries = run(windows(), Some(ProcessingTimeTrigger), &steps());
    assert_eq!(without_empty(panes.clone()), without_empty(entries));
    // 93..113 ends before 131, and so do 103..123 and, with 5 alone, none else.
    let expected = [(
        6,
        vec![
            (vec![1, 3, 5], 112),
            (vec![1, 3, 5], 122),
            (vec![2], 112),
            (vec![2], 122),
        ],
    )];
    assert_eq!(without_empty(panes), expected);
}

#[test]
fn sessions_end_when_nothing_comes_for_the_gap() {
    let windows = ProcessingTimeSessionWindows::with_gap(ms(8));
    let emitted = run::<_, ProcessingTimeTrigger>(windows, None, &steps());
    // Key 1 at 103, 109 and 110; key 0 at 103, whose last millisecond, 110, is not over at 110.
    let expected = [(6, vec![(vec![1, 3, 5], 117), (vec![2], 110)])];
    assert_eq!(without_empty(emitted), expected);
}

#[test]
fn a_continuous_trigger_fires_at_multiples_of_its_interval() {
    let every = ContinuousProcessingTimeTrigger::of(ms(5));
    let emitted = run(GlobalWindows::create(), Some(every), &steps());
    // Told at 109 (for 105) and at 131, when 110, 115, 120, 125 and 130 are over.
    let emitted = without_empty(emitted);
    assert_eq!(
        emitted[0],
        (2, vec![(vec![1], i64::MAX), (vec![2], i64::MAX)])
    );
    let (step, last) = &emitted[emitted.len() - 1];
    assert_eq!(*step, 6);
    assert_eq!(last.iter().filter(|row| row.0 == [1, 3, 5]).count(), 5);
}
