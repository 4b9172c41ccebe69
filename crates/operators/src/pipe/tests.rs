//! Fused runs against their parts, and expansions that must wait for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::blame;
use crate::chain::testing::{Keep, Narrow};
use crate::{BatchSink, Output, SubtaskContext, TaskError};
use flott_network::{Batch, NO_TIMESTAMP};

fn link<P: Pipe<In>, In: Data>(pipe: P, keep: &Keep<P::Out>) -> PipeLink<P, In> {
    let context = SubtaskContext::for_tests("Run");
    PipeLink::new(pipe, Output::to(Box::new(keep.clone())), &context)
}

#[test]
fn a_fused_run_equals_its_parts() {
    let keep = Keep::default();
    let pipe = Filter::new(
        Map::new(
            FlatMap::new(Identity, |text: String| {
                text.split(' ').map(str::to_owned).collect::<Vec<_>>()
            }),
            |word: String| word.len(),
        ),
        |length: &usize| *length > 1,
    );
    let mut link = link(pipe, &keep);
    let mut batch = Batch::default();
    for at in 0..10_000 {
        batch.push("a bb ccc".to_owned(), at);
    }
    link.batch(&mut batch).unwrap();
    assert_eq!(keep.rows().len(), 20_000);
    assert_eq!(keep.0.lock().unwrap()[19_999], (3, 9_999));
}

/// Maps keep rows and times together whether rows have times or not, and send all of them on whether
/// there is room or not.
#[test]
fn maps_alone_give_a_row_for_each() {
    const ROWS: u64 = 10_000;
    for timed in [false, true] {
        let mut seen = 0;
        let map = Map::new(Identity, move |row: u64| {
            seen += 1;
            (row * 2, seen)
        });
        const { assert!(<Map<Identity, fn(u64) -> u64> as Pipe<u64>>::ONE_TO_ONE) };
        let keep = Keep::default();
        let mut link = link(map, &keep);
        for part in 0..2 {
            let mut batch = Batch::default();
            for row in part * ROWS..(part + 1) * ROWS {
                batch.push(row, if timed { row as i64 } else { NO_TIMESTAMP });
            }
            link.batch(&mut batch).unwrap();
            assert!(batch.is_empty() && batch.timestamps.is_empty());
        }
        let time = |row| if timed { row as i64 } else { NO_TIMESTAMP };
        let expected: Vec<_> = (0..2 * ROWS)
            .map(|row| ((row * 2, row + 1), time(row)))
            .collect();
        assert_eq!(*keep.0.lock().unwrap(), expected);
    }
    let narrow = through_a_narrow_target(Map::new(Identity, |row: u64| row + 1), 30_000);
    assert_eq!(narrow, (1..=30_000).collect::<Vec<_>>());
}

#[test]
fn the_last_operator_can_be_detached() {
    let pipe = Map::new(Map::new(Identity, |x: i64| x + 1), |x: i64| x * 10);
    let (before, last) = pipe.detach();
    let (between, after) = (Keep::default(), Keep::default());
    let mut batch = Batch::default();
    batch.push(1, 5);
    link(before, &between).batch(&mut batch).unwrap();
    let mut batch = Batch::default();
    batch.push(between.rows()[0], 5);
    link(last, &after).batch(&mut batch).unwrap();
    assert_eq!(after.rows(), [20]);
}

/// Rows go through a target with room for one batch at a time; none is lost, none is out of order,
/// and no more than a few batches are ever kept.
fn through_a_narrow_target<P: Pipe<u64, Out = u64>>(pipe: P, rows: u64) -> Vec<u64> {
    let narrow = Narrow::default();
    let context = SubtaskContext::for_tests("Run");
    let mut link = PipeLink::new(pipe, Output::to(Box::new(narrow.clone())), &context);
    let mut batch = Batch::default();
    (0..rows).for_each(|row| batch.push(row, row as i64));
    link.batch(&mut batch).unwrap();
    let mut rounds = 0;
    while !link.settle().unwrap() {
        narrow.make_room();
        rounds += 1;
        assert!(rounds < 100_000, "it never ends");
    }
    assert!(narrow.most() <= 2, "{} batches at once", narrow.most());
    narrow.rows()
}

#[test]
fn expansions_wait_for_room() {
    let twice = |row: u64| (0..20_000_u64).map(move |at| row * 20_000 + at);
    let nested = FlatMap::new(
        FlatMap::new(Identity, |row: u64| row * 10..row * 10 + 10),
        twice,
    );
    let seen = through_a_narrow_target(Map::new(nested, |row: u64| row), 5);
    assert_eq!(seen, (0..5 * 10 * 20_000).collect::<Vec<_>>());
    let emitted = FlatMapInto::new(Identity, |row: u64, out: &mut Emitter<'_, u64>| {
        (0..20_000).for_each(|at| out.emit(row * 20_000 + at));
        Ok::<(), String>(())
    });
    let seen = through_a_narrow_target(emitted, 50);
    assert_eq!(seen, (0..50 * 20_000).collect::<Vec<_>>());
}

#[test]
fn an_error_names_operator_and_record() {
    let keep = Keep::default();
    let pipe = TryMap::new(Map::new(Identity, |text: String| text), |text: String| {
        text.parse::<i32>()
    });
    let mut context = SubtaskContext::for_tests("Map");
    context.names = ["Map".to_owned(), "Parse".to_owned()].into();
    let mut link = PipeLink::new(pipe, Output::to(Box::new(keep.clone())), &context);
    let mut batch = Batch::default();
    for text in ["1", "2", "x", "4"] {
        batch.push(text.to_owned(), 0);
    }
    let error = link.batch(&mut batch).unwrap_err();
    let TaskError { message, .. } = &error;
    assert!(
        message.starts_with("operator 'Parse', record 3: "),
        "{message}"
    );
    assert!(message.contains("invalid digit"), "{message}");
}

#[test]
fn a_panic_names_operator_and_record() {
    let keep = Keep::default();
    let pipe = Map::new(Filter::new(Identity, |_: &u32| true), |row: u32| {
        10 / (3 - row)
    });
    let mut context = SubtaskContext::for_tests("Filter");
    context.names = ["Filter".to_owned(), "Divide".to_owned()].into();
    let mut link = PipeLink::new(pipe, Output::to(Box::new(keep.clone())), &context);
    let mut batch = Batch::default();
    (0..5).for_each(|row| batch.push(row, 0));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| link.batch(&mut batch)));
    assert!(caught.is_err());
    let place = blame::take_place();
    assert_eq!(place.as_deref(), Some("operator 'Divide', record 4"));
}

/// What each operator of a run has taken and given.
fn counted(context: &SubtaskContext, operators: usize) -> Vec<(u64, u64)> {
    let run = &context.run;
    let all = 0..operators;
    all.map(|at| (run.rows_in(at), run.rows_out(at))).collect()
}

/// A context for a run of so many operators.
fn run_of(operators: usize) -> SubtaskContext {
    SubtaskContext {
        run: RunCounts::new(operators).into(),
        ..SubtaskContext::for_tests("Run")
    }
}

#[test]
fn every_operator_of_a_run_is_counted() {
    let context = run_of(6);
    let pipe = TryFilter::new(
        Filter::new(Identity, |row: &u64| row.is_multiple_of(2)),
        |row: &u64| Ok::<_, String>(row.is_multiple_of(4)),
    );
    let pipe = TryMap::new(pipe, Ok::<u64, String>);
    let pipe = TryFlatMap::new(pipe, |row: u64| Ok::<_, String>([row, row + 1]));
    let pipe = FlatMapInto::new(pipe, |row: u64, out: &mut Emitter<'_, u64>| {
        (0..3).for_each(|at| out.emit(row + at));
        Ok::<(), String>(())
    });
    let pipe = Map::new(pipe, |row: u64| row);
    let keep = Keep::default();
    let mut link = PipeLink::new(pipe, Output::to(Box::new(keep.clone())), &context);
    for batch in 1..=2 {
        let mut rows = Batch::default();
        (0..100).for_each(|row| rows.push(row, 0));
        link.batch(&mut rows).unwrap();
        let expected = [
            (100, 50),
            (50, 25),
            (25, 25),
            (25, 50),
            (50, 150),
            (150, 150),
        ];
        let expected = expected.map(|(taken, given)| (taken * batch, given * batch));
        assert_eq!(counted(&context, 6), expected);
    }
    assert_eq!(keep.rows().len(), 300);
}

/// A run whose expansion waits for room: after each step, what is said about its operators is what happened in them.
fn counted_while_parked<P: Pipe<u64, Out = u64>>(pipe: P, seen: &[Arc<AtomicU64>; 4]) {
    let context = run_of(4);
    let narrow = Narrow::default();
    let mut link = PipeLink::new(pipe, Output::to(Box::new(narrow.clone())), &context);
    let mut batch = Batch::default();
    (0..40).for_each(|row| batch.push(row, 0));
    link.batch(&mut batch).unwrap();
    let mut parked = 0;
    loop {
        let taken = [0, 1, 2, 3].map(|at| context.run.rows_in(at));
        let happened = seen.each_ref().map(|one| one.load(Ordering::SeqCst));
        assert_eq!(taken, happened);
        let [entered, mapped, expanded, last] = taken;
        assert_eq!(context.run.rows_out(0), mapped);
        assert_eq!(entered, mapped);
        assert!(expanded <= mapped && last <= expanded * EXPANSION);
        assert_eq!(context.run.rows_out(3), last);
        if link.settle().unwrap() {
            break;
        }
        narrow.make_room();
        parked += 1;
    }
    assert!(parked > 10, "it hardly ever waited");
    let expected = [
        (40, 40),
        (40, 20),
        (20, 20 * EXPANSION),
        (20 * EXPANSION, 20 * EXPANSION),
    ];
    assert_eq!(counted(&context, 4), expected);
}

/// Rows that the expansions of these tests make of one.
const EXPANSION: u64 = 10_000;

#[test]
fn a_parked_run_is_counted_as_far_as_it_came() {
    let seen: [Arc<AtomicU64>; 4] = Default::default();
    let count = |at: usize| {
        let seen = Arc::clone(&seen[at]);
        move || seen.fetch_add(1, Ordering::SeqCst)
    };
    let (first, second, third, fourth) = (count(0), count(1), count(2), count(3));
    let before = Filter::new(
        Map::new(Identity, move |row: u64| {
            first();
            row
        }),
        move |row: &u64| {
            second();
            row.is_multiple_of(2)
        },
    );
    let last = move |row: u64| {
        fourth();
        row
    };
    let (counts, iterate) = (third.clone(), before.clone());
    let expand = FlatMap::new(iterate, move |row: u64| {
        counts();
        (0..EXPANSION).map(move |at| row + at)
    });
    counted_while_parked(Map::new(expand, last.clone()), &seen);
    seen.iter().for_each(|one| one.store(0, Ordering::SeqCst));
    let emit = FlatMapInto::new(before, move |row: u64, out: &mut Emitter<'_, u64>| {
        third();
        (0..EXPANSION).for_each(|at| out.emit(row + at));
        Ok::<(), String>(())
    });
    counted_while_parked(Map::new(emit, last), &seen);
}

#[test]
fn a_panic_in_maps_alone_names_operator_and_record() {
    let keep = Keep::default();
    let pipe = Map::new(Map::new(Identity, |row: u32| row), |row: u32| {
        10 / (3 - row)
    });
    let mut context = SubtaskContext::for_tests("Map");
    context.names = ["Map".to_owned(), "Divide".to_owned()].into();
    let mut link = PipeLink::new(pipe, Output::to(Box::new(keep.clone())), &context);
    let mut batch = Batch::default();
    (0..2).for_each(|row| batch.push(row, 0));
    link.batch(&mut batch).unwrap();
    (2..5).for_each(|row| batch.push(row, 0));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| link.batch(&mut batch)));
    assert!(caught.is_err());
    let place = blame::take_place();
    assert_eq!(place.as_deref(), Some("operator 'Divide', record 4"));
}
