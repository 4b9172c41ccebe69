//! Fused runs against their parts, and expansions that must wait for room.

use super::*;
use crate::blame;
use crate::chain::testing::{Keep, Narrow};
use crate::{BatchSink, Output, SubtaskContext, TaskError};
use flott_network::Batch;

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
