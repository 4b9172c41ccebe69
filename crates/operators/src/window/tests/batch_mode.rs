//! BATCH: nothing is late, windows fire when the rows of their keys have all come.

use super::harness::{Narrow, Row, Step, Values, by_key, drive, ms, output};
use crate::keyed::Aggregate;
use crate::window::*;
use crate::{SubtaskContext, TaskError};

fn context() -> SubtaskContext {
    SubtaskContext {
        batch_mode: true,
        ..SubtaskContext::for_tests("Window")
    }
}

/// Rows of one key in any order of time, then of another.
fn steps(end: Step) -> Vec<Step> {
    vec![
        Step::Rows(vec![(1, 25, 1), (1, 3, 2), (1, 4, 3)]),
        Step::Watermark(1_000),
        Step::Rows(vec![(1, 1, 4)]),
        Step::KeysEnd,
        Step::Rows(vec![(2, 2, 5)]),
        Step::Watermark(i64::MAX),
        end,
    ]
}

fn expected() -> Vec<Vec<(Vec<i64>, i64)>> {
    let first = vec![(vec![1], 29), (vec![2, 3, 4], 9)];
    let none = Vec::new;
    vec![
        none(),
        none(),
        none(),
        first,
        none(),
        none(),
        vec![(vec![5], 9)],
    ]
}

fn run<R: Trigger<Row, TimeWindow>>(
    trigger: Option<R>,
    end: Step,
) -> Result<Vec<Vec<(Vec<i64>, i64)>>, TaskError> {
    let context = context();
    let narrow = Narrow::with_room(1);
    let spec = WindowSpec {
        assigner: TumblingEventTimeWindows::of(ms(10)),
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
    )?;
    Ok(drive(&context, operator, &narrow, &steps(end)))
}

#[test]
fn windows_fire_at_the_end_of_their_keys() {
    for end in [Step::KeysEnd, Step::End] {
        let panes = run::<EventTimeTrigger>(None, end.clone()).unwrap();
        assert_eq!(panes, expected());
        let entries = run(Some(EventTimeTrigger), end).unwrap();
        assert_eq!(entries, expected());
    }
}

#[test]
fn processing_time_timers_fire_too_but_set_no_new_ones() {
    let every = ContinuousProcessingTimeTrigger::of(ms(10));
    let emitted = run(Some(every), Step::End).unwrap();
    // Each window of each key once, although the trigger wants to go on for ever.
    let rows: Vec<usize> = emitted.iter().map(Vec::len).collect();
    assert_eq!(rows, [0, 0, 0, 0, 0, 0, 0], "event-time windows go before");
    let context = context();
    let narrow = Narrow::with_room(1);
    let spec = WindowSpec::new(GlobalWindows::create()).with_trigger(every);
    let contents = Folded(Aggregate(Values));
    let operator = keyed_windows(
        &context,
        by_key(),
        spec,
        contents,
        EmitResult,
        output(&narrow),
    );
    let emitted = drive(&context, operator.unwrap(), &narrow, &steps(Step::End));
    assert_eq!(emitted[3], [(vec![1, 2, 3, 4], i64::MAX)]);
    assert_eq!(emitted[6], [(vec![5], i64::MAX)]);
}
