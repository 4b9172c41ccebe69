//! Attempts, enumerators and coordinators come and go; every split counts once.

use std::sync::Arc;

use flott_model::{Epoch, VertexId};
use flott_operators::SubtaskContext;
use flott_operators::source::encode_message;

use super::*;

/// Gives the numbers below 6, and fails when it is asked for `fails_at`.
struct Numbers {
    left: Vec<u32>,
    fails_at: Option<u32>,
}

impl AnyEnumerator for Numbers {
    fn next_split(&mut self, _: u32, _: &str) -> Result<EncodedAssignment, TaskError> {
        if self.left.is_empty() {
            return Ok(EncodedAssignment::End);
        }
        let next = self.left.remove(0);
        if self.fails_at == Some(next) {
            return Err(TaskError::transient("cannot list"));
        }
        Ok(EncodedAssignment::Split {
            id: next.to_string(),
            split: encode_message(&next)?,
        })
    }
    fn add_splits_back(&mut self, splits: &[Vec<u8>], _: u32) -> Result<(), TaskError> {
        for split in splits {
            self.left.push(decode_message(split)?);
        }
        Ok(())
    }
    fn split_id(&self, split: &[u8]) -> Result<String, TaskError> {
        Ok(decode_message::<u32>(split)?.to_string())
    }
    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }
}

fn assignments(batch_mode: bool, fails_at: Option<u32>) -> Assignments {
    let io = SubtaskContext::for_tests("source").io;
    let context = EnumeratorContext::new(
        Arc::new(flott_filesystem::FileSystems::local()),
        io,
        2,
        Vec::new(),
    );
    let made = std::sync::atomic::AtomicU32::new(0);
    let factory: EnumeratorFactory = Arc::new(move |_, _| {
        let first = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        Ok(Box::new(Numbers {
            left: (0..6).collect(),
            fails_at: fails_at.filter(|_| first),
        }))
    });
    Assignments::new(factory, context, batch_mode)
}

fn attempt(subtask: u32, attempt: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(0),
        subtask,
        attempt,
    }
}

fn show(answer: Option<(Answer, bool)>) -> String {
    match answer {
        None => "ignored".to_owned(),
        Some((Answer::Split(number, split), _)) => {
            format!("{number}: {}", decode_message::<u32>(&split).unwrap())
        }
        Some((Answer::End(number), _)) => format!("end {number}"),
        Some((other, _)) => format!("{other:?}"),
    }
}

impl Assignments {
    fn ask(&mut self, subtask: u32, number: u32, index: u64) -> String {
        show(self.next_split(attempt(subtask, number), index, ""))
    }

    /// Everything that is left for a subtask.
    fn rest(&mut self, subtask: u32, number: u32) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let answer = self.ask(subtask, number, all.len() as u64);
            if answer.starts_with("end") {
                return all;
            }
            all.push(answer.split_once(": ").unwrap().1.to_owned());
        }
    }
}

#[test]
fn a_question_that_is_asked_again_gets_the_same_answer() {
    let mut source = assignments(false, None);
    assert_eq!(source.ask(0, 0, 0), "0: 0");
    assert_eq!(source.ask(0, 0, 0), "0: 0");
    assert_eq!(source.ask(0, 0, 1), "1: 1");
    assert_eq!(source.ask(1, 0, 0), "0: 2");
    assert_eq!(source.rest(1, 0), ["2", "3", "4", "5"]);
    assert_eq!(source.ask(1, 0, 4), "end 4");
}

#[test]
fn in_streaming_the_splits_of_a_replaced_attempt_are_free_again() {
    let mut source = assignments(false, None);
    assert_eq!(source.ask(0, 0, 0), "0: 0");
    assert_eq!(source.ask(1, 0, 0), "0: 1");
    assert_eq!(source.ask(0, 1, 0), "0: 2");
    assert_eq!(source.ask(0, 0, 1), "ignored");
    assert_eq!(source.rest(1, 0), ["1", "3", "4", "5", "0"]);
}

#[test]
fn in_batch_a_new_attempt_gets_what_the_one_before_it_got() {
    let mut source = assignments(true, None);
    assert_eq!(source.ask(0, 0, 0), "0: 0");
    assert_eq!(source.ask(1, 0, 0), "0: 1");
    assert_eq!(source.rest(0, 0), ["0", "2", "3", "4", "5"]);
    assert_eq!(source.rest(0, 1), ["0", "2", "3", "4", "5"]);
    assert_eq!(source.rest(1, 3), ["1"]);
}

#[test]
fn an_enumerator_that_failed_is_made_anew_and_repeats_nothing() {
    let mut source = assignments(false, Some(2));
    assert_eq!(source.ask(0, 0, 0), "0: 0");
    assert_eq!(source.ask(1, 0, 0), "0: 1");
    assert!(source.ask(0, 0, 1).contains("cannot list"));
    // The new one finds 0 and 1 again, and does not give them.
    assert_eq!(source.ask(1, 0, 1), "1: 2");
    // 0 was found again and held back: it is free now.
    assert_eq!(source.rest(0, 1), ["3", "4", "5", "0"]);
    assert_eq!(source.ask(1, 0, 2), "end 2");
}

#[test]
fn what_a_failed_enumerator_gave_and_nobody_found_again_is_found_later() {
    let mut source = assignments(false, Some(2));
    assert_eq!(source.ask(0, 0, 0), "0: 0");
    assert_eq!(source.ask(1, 0, 0), "0: 1");
    assert!(source.ask(0, 0, 1).contains("cannot list"));
    // Both attempts are replaced before there is an enumerator again.
    assert_eq!(source.rest(0, 1), ["0", "2", "3", "4", "5"]);
    assert_eq!(source.rest(1, 1), ["1"]);
}

fn journal(source: &mut Assignments, asks: &[(u32, u64)]) -> Vec<Coordinate> {
    let answers = asks.iter().filter_map(|(subtask, index)| {
        let attempt = attempt(*subtask, 0);
        let (answer, journal) = source.next_split(attempt, *index, "")?;
        journal.then(|| Coordinate {
            operator: 0,
            attempt: attempt.into(),
            payload: encode_message(&answer).unwrap(),
            journal,
            ..Coordinate::default()
        })
    });
    answers.collect()
}

#[test]
fn the_next_coordinator_goes_on_where_the_last_one_was() {
    for batch_mode in [false, true] {
        let mut first = assignments(batch_mode, None);
        let journal = journal(&mut first, &[(0, 0), (1, 0), (0, 0), (0, 1)]);
        assert_eq!(journal.len(), 3, "an answer given twice is kept once");
        let next = assignments(batch_mode, None).after(journal.iter(), false);
        let mut next = next.unwrap();
        assert_eq!(next.ask(0, 0, 1), "1: 2", "the answer may have been lost");
        assert_eq!(next.ask(0, 0, 2), "2: 3");
        let rest = next.rest(1, 1);
        let expected: &[&str] = if batch_mode {
            &["1", "4", "5"]
        } else {
            &["4", "5", "1"]
        };
        assert_eq!(rest, expected);
    }
}

#[test]
fn in_batch_the_end_is_kept_too() {
    let mut first = assignments(true, None);
    let asks: Vec<(u32, u64)> = (0..=6).map(|index| (0, index)).collect();
    let journal = journal(&mut first, &asks);
    assert_eq!(journal.len(), 7);
    let mut next = assignments(true, None)
        .after(journal.iter(), false)
        .unwrap();
    assert_eq!(next.rest(0, 1).len(), 6);
}

#[test]
fn who_was_given_what_nobody_remembers_fails() {
    let mut streaming = assignments(false, None).after([].iter(), true).unwrap();
    assert!(streaming.ask(0, 0, 3).contains("is lost"));
    assert_eq!(streaming.ask(0, 1, 0), "0: 0");
    let mut batch = assignments(true, None).after([].iter(), true).unwrap();
    assert!(batch.ask(0, 1, 0).contains("Fatal"));
}
