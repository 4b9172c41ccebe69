//! A reader that the test controls, answers that the test gives, a clock that the test sets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::source::{
    Boundedness, EnumeratorContext, SplitPool, StaticEnumerator, decode_message, encode_message,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part(String);

impl SourceSplit for Part {
    fn split_id(&self) -> String {
        self.0.clone()
    }
}

/// What each split still has; `None` is its end. Rows are event times.
type Script = Arc<Mutex<BTreeMap<String, VecDeque<Option<i64>>>>>;

#[derive(Clone, Default)]
struct Scripted {
    script: Script,
    parallel: usize,
    can_pause: bool,
}

struct ScriptedReader {
    source: Scripted,
    splits: Vec<Part>,
    current: String,
    paused: Vec<String>,
    prefetched: Vec<Part>,
}

impl Source for Scripted {
    type Out = i64;
    type Split = Part;
    type Enumerator = StaticEnumerator<Part>;
    type Reader = ScriptedReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }
    fn create_enumerator(&self, _: &EnumeratorContext) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(SplitPool::new(1)))
    }
    fn restore_enumerator(
        &self,
        _: &EnumeratorContext,
        pool: SplitPool<Part>,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(pool))
    }
    fn create_reader(&self, _: &ReaderContext) -> Result<ScriptedReader, TaskError> {
        Ok(ScriptedReader {
            source: self.clone(),
            splits: Vec::new(),
            current: String::new(),
            paused: Vec::new(),
            prefetched: Vec::new(),
        })
    }
}

impl SourceReader for ScriptedReader {
    type Out = i64;
    type Split = Part;

    fn max_splits(&self) -> usize {
        self.source.parallel.max(1)
    }
    fn prefetch(&mut self, split: &Part) {
        self.prefetched.push(split.clone());
    }
    fn add_split(&mut self, split: Part) -> Result<(), TaskError> {
        self.splits.push(split);
        Ok(())
    }
    fn fill(&mut self, batch: &mut Batch<i64>) -> Result<ReaderProgress, TaskError> {
        let mut script = self.source.script.lock().unwrap();
        for at in 0..self.splits.len() {
            let id = self.splits[at].0.clone();
            if self.paused.contains(&id) {
                continue;
            }
            match script.entry(id.clone()).or_default().pop_front() {
                None => (),
                Some(Some(row)) => {
                    batch.push(row, NO_TIMESTAMP);
                    self.current = id;
                    return Ok(ReaderProgress::More);
                }
                Some(None) => {
                    self.splits.remove(at);
                    self.current = id;
                    return Ok(ReaderProgress::SplitFinished);
                }
            }
        }
        Ok(ReaderProgress::Pending)
    }
    fn current_split(&self) -> Option<&str> {
        Some(&self.current)
    }
    fn pause_splits(&mut self, paused: &[String]) -> bool {
        if self.source.can_pause {
            self.paused = paused.to_vec();
        }
        self.source.can_pause
    }
    fn snapshot(&self) -> Vec<Part> {
        self.splits.clone()
    }
}

struct Test {
    driver: SourceDriver<Scripted>,
    script: Script,
    requests: Arc<Mutex<Vec<Request>>>,
    context: SubtaskContext,
    given: u64,
}

fn rows_are_times() -> WatermarkStrategy<i64> {
    WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|row: &i64, _| *row)
}

impl Test {
    fn new(source: Scripted, strategy: WatermarkStrategy<i64>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&requests);
        let coordination = Coordination::new("here", move |_, bytes| {
            asked.lock().unwrap().push(decode_message(&bytes).unwrap());
        });
        let context = SubtaskContext {
            coordination,
            ..SubtaskContext::for_tests("Source")
        };
        Self {
            driver: SourceDriver::new(&source, strategy, 100, &context).unwrap(),
            script: source.script,
            requests,
            context,
            given: 0,
        }
    }

    fn with_splits(source: Scripted, strategy: WatermarkStrategy<i64>, ids: &[&str]) -> Self {
        let mut test = Self::new(source, strategy);
        for id in ids {
            test.fill();
            test.give(id);
        }
        test.fill();
        test.requests.lock().unwrap().clear();
        test
    }

    fn answer(&self, answer: &Answer) {
        self.context
            .coordination
            .deliver(encode_message(answer).unwrap());
    }

    fn give(&mut self, id: &str) {
        let split = encode_message(&Part(id.to_owned())).unwrap();
        self.answer(&Answer::Split(self.given, split));
        self.given += 1;
    }

    fn add(&self, split: &str, rows: &[i64]) {
        let mut script = self.script.lock().unwrap();
        let left = script.entry(split.to_owned()).or_default();
        left.extend(rows.iter().map(|row| Some(*row)));
    }

    fn end(&self, split: &str) {
        let mut script = self.script.lock().unwrap();
        script.entry(split.to_owned()).or_default().push_back(None);
    }

    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    fn fill(&mut self) -> (Vec<i64>, Progress) {
        let mut batch = Batch::default();
        let progress = self.driver.fill(&mut batch).unwrap();
        (batch.rows, progress)
    }

    /// Everything there is now.
    fn drain(&mut self) -> Vec<i64> {
        let mut all = Vec::new();
        loop {
            let (rows, progress) = self.fill();
            all.extend(rows);
            if progress != Progress::More {
                return all;
            }
        }
    }

    /// Time passes; gives what was said meanwhile.
    fn pass(&mut self, millis: i64) -> Vec<Control> {
        let until = self.context.clock.now() + millis;
        let mut controls = VecDeque::new();
        while let Some(wake) = self.context.clock.next_wake().filter(|wake| *wake <= until) {
            self.context.clock.set(wake.max(self.context.clock.now()));
            self.context.clock.take_due(wake);
            self.driver.time(self.context.clock.now()).unwrap();
            self.driver.controls(&mut controls);
        }
        self.context.clock.set(until);
        controls.into()
    }
}

fn ask(number: u64) -> Request {
    let host = "here".to_owned();
    Request::NextSplit { number, host }
}

#[test]
fn one_split_is_read_and_the_next_one_fetched() {
    let mut test = Test::new(Scripted::default(), WatermarkStrategy::no_watermarks());
    assert_eq!(test.fill(), (vec![], Progress::Pending));
    assert_eq!(test.requests(), [ask(0)]);
    test.give("a");
    test.add("a", &[1]);
    assert_eq!(test.fill(), (vec![1], Progress::More));
    assert_eq!(test.requests(), [ask(1)]);
    test.give("b");
    assert_eq!(test.drain(), []);
    assert_eq!(test.requests(), [], "only one is fetched beforehand");
    assert_eq!(test.driver.reader.prefetched.len(), 2);
    let snapshot = [Part("a".to_owned()), Part("b".to_owned())];
    assert_eq!(test.driver.snapshot(), snapshot);
    test.end("a");
    test.add("b", &[2]);
    assert_eq!(test.drain(), [2]);
    assert_eq!(test.requests(), [ask(2)]);
    test.answer(&Answer::End(2));
    test.end("b");
    assert_eq!(test.drain(), []);
    assert_eq!(test.fill().1, Progress::End);
}

#[test]
fn what_is_not_answered_is_asked_again_and_answered_once() {
    let mut test = Test::new(Scripted::default(), WatermarkStrategy::no_watermarks());
    test.fill();
    test.pass(ASK_AGAIN_MS);
    test.fill();
    assert_eq!(test.requests(), [ask(0), ask(0)]);
    test.give("a");
    test.given = 0;
    test.give("a");
    test.add("a", &[1, 2]);
    assert_eq!(test.drain(), [1, 2]);
    assert_eq!(test.driver.received, 1);
    assert_eq!(test.requests(), [ask(1)]);
    test.answer(&Answer::Wait(300));
    test.fill();
    test.pass(299);
    test.fill();
    assert_eq!(test.requests(), []);
    test.pass(1);
    test.fill();
    assert_eq!(test.requests(), [ask(1)]);
    test.answer(&Answer::End(0));
    test.end("a");
    assert_eq!(test.fill().1, Progress::More);
    assert_eq!(
        test.fill().1,
        Progress::Pending,
        "the end of an earlier attempt"
    );
}

#[test]
fn a_source_that_failed_fails_its_subtasks() {
    let mut test = Test::new(Scripted::default(), WatermarkStrategy::no_watermarks());
    test.answer(&Answer::failed(&TaskError::user("no such topic")));
    let error = test.driver.fill(&mut Batch::default()).unwrap_err();
    assert_eq!(error, TaskError::user("no such topic"));
}

#[test]
fn the_slowest_split_holds_the_watermark_until_it_ends() {
    let source = Scripted {
        parallel: 2,
        ..Scripted::default()
    };
    let mut test = Test::with_splits(source, rows_are_times(), &["a", "b"]);
    test.add("a", &[1_000]);
    test.drain();
    assert_eq!(test.pass(100), [], "the other one has said nothing yet");
    test.add("b", &[300]);
    test.drain();
    assert_eq!(test.pass(100), [Control::Watermark(299)]);
    test.end("b");
    test.drain();
    test.add("a", &[1_100]);
    test.drain();
    assert_eq!(test.pass(100), [Control::Watermark(1_099)]);
    // What begins later and further back does not turn time back.
    test.give("c");
    test.fill();
    test.add("c", &[50]);
    test.drain();
    assert_eq!(test.pass(1_000), []);
}

#[test]
fn a_silent_split_is_not_waited_for() {
    let source = Scripted {
        parallel: 2,
        ..Scripted::default()
    };
    let strategy = rows_are_times().with_idleness(Duration::from_millis(500));
    let mut test = Test::with_splits(source, strategy, &["a", "b"]);
    let mut controls = Vec::new();
    for at in 1..=6 {
        test.add("a", &[at * 100]);
        test.drain();
        controls.extend(test.pass(100));
    }
    assert_eq!(controls, [Control::Watermark(599)]);
    test.add("b", &[400]);
    test.drain();
    assert_eq!(test.pass(100), []);
    assert_eq!(test.pass(2_000), [Control::Idle]);
    test.add("b", &[700]);
    let mut batch = Batch::default();
    test.driver.fill(&mut batch).unwrap();
    assert_eq!(test.driver.before(), Some(Control::Active));
    assert_eq!(test.pass(100), [Control::Watermark(699)]);
}

/// What the coordinator does with reports.
fn align(test: &Test, others: i64) -> i64 {
    let mut own = i64::MAX;
    for request in test.requests() {
        if let Request::Watermark {
            watermark,
            max_drift_ms,
            ..
        } = request
        {
            own = watermark;
            test.answer(&Answer::MaxWatermark(
                others.min(watermark).saturating_add(max_drift_ms),
            ));
        }
    }
    own
}

fn aligned() -> WatermarkStrategy<i64> {
    rows_are_times().with_watermark_alignment(
        "group",
        Duration::from_millis(100),
        Duration::from_millis(50),
    )
}

#[test]
fn a_source_that_is_ahead_waits_for_its_group() {
    let mut test = Test::with_splits(Scripted::default(), aligned(), &["a"]);
    test.add("a", &(0..1_000).collect::<Vec<i64>>());
    test.pass(50);
    assert_eq!(align(&test, 200), i64::MIN, "nothing is known of it yet");
    let mut read = test.drain();
    assert_eq!(read, [0], "more only when the group knows where it begins");
    test.pass(0);
    align(&test, 200);
    read.extend(test.drain());
    let ahead = read.last().copied().unwrap();
    assert!(
        (99..=102).contains(&ahead),
        "its own watermark counts, too: {ahead}"
    );
    assert_eq!(test.drain(), [], "it is held");
    test.pass(50);
    assert_eq!(
        align(&test, 450),
        ahead - 1,
        "it says how far it is while it is held"
    );
    read.extend(test.drain());
    let ahead = read.last().copied().unwrap();
    assert!((ahead - 200).abs() <= 4, "{ahead}");
    for _ in 0..3 {
        test.pass(50);
        align(&test, 250);
        read.extend(test.drain());
    }
    let ahead = read.last().copied().unwrap();
    assert!(
        (350..=352).contains(&ahead),
        "the others are far behind: {ahead}"
    );
    for others in [500, 900, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000] {
        test.pass(50);
        align(&test, others);
        read.extend(test.drain());
    }
    assert_eq!(read, (0..1_000).collect::<Vec<i64>>());
    test.answer(&Answer::End(1));
    test.end("a");
    test.drain();
    let requests = test.requests();
    assert!(
        requests.iter().any(|request| matches!(
            request,
            Request::Watermark {
                watermark: i64::MAX,
                ..
            }
        )),
        "nobody waits for what has ended: {requests:?}"
    );
}

#[test]
fn a_reader_that_can_pause_splits_reads_the_others() {
    let source = Scripted {
        parallel: 2,
        can_pause: true,
        ..Scripted::default()
    };
    let mut test = Test::with_splits(source, aligned(), &["a", "b"]);
    test.add("a", &[5_000, 5_001, 5_002]);
    test.add("b", &[10, 20, 30]);
    test.answer(&Answer::MaxWatermark(1_000));
    assert_eq!(test.drain(), [5_000, 10, 20, 30]);
    assert_eq!(test.driver.reader.paused, ["a"]);
    test.answer(&Answer::MaxWatermark(9_000));
    assert_eq!(test.drain(), [5_001, 5_002]);
}

proptest! {
    /// Splits come, give rows in order, fall silent and end: watermarks grow, and none passes a row
    /// that its split gives later.
    #[test]
    fn no_row_of_an_ordered_split_is_late(
        steps in proptest::collection::vec((0_usize..3, 0_i64..50, 0_i64..150), 1..80),
    ) {
        let source = Scripted { parallel: 3, ..Scripted::default() };
        let mut test = Test::with_splits(source, rows_are_times(), &["0", "1", "2"]);
        let (mut at, mut watermark) = ([0_i64; 3], i64::MIN);
        for (split, forward, pause) in steps {
            at[split] += forward;
            prop_assert!(at[split] > watermark, "a late row");
            test.add(&split.to_string(), &[at[split]]);
            test.drain();
            for control in test.pass(pause) {
                let Control::Watermark(next) = control else {
                    return Err(TestCaseError::fail(format!("{control:?}")));
                };
                prop_assert!(next > watermark);
                prop_assert!(next < *at.iter().min().unwrap());
                watermark = next;
            }
        }
    }
}
