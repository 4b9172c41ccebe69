//! What every bounded source must do, as a test of it: call [`check`] with what it is to produce.
//!
//! The suite drives enumerator and readers as the engine does, without a job: with several numbers of
//! subtasks, with readers that die and whose splits are given back, and with readers and enumerators
//! that are replaced by others made of their snapshots.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_network::{Batch, Wake};

use super::{
    Assignment, Boundedness, EnumeratorContext, ReaderContext, ReaderProgress, Source,
    SourceReader, SourceSplit, SplitEnumerator, SubmissionContext, decode_message, encode_message,
};
use crate::{SubtaskContext, TaskError};

/// How long a reader may have nothing before the suite gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks a bounded source that produces exactly `expected`, in any order.
///
/// # Panics
/// With what is wrong, if something is.
pub fn check<S: Source>(source: &S, files: &Arc<FileSystems>, mut expected: Vec<S::Out>)
where
    S::Out: Ord + Debug,
{
    expected.sort();
    let suite = Suite {
        source,
        files: Arc::clone(files),
        expected,
    };
    assert_eq!(source.boundedness(), Boundedness::Bounded);
    for parallelism in [1, 2, 3, 7] {
        suite.reads_everything_once(parallelism);
        suite.gives_splits_of_the_dead_to_others(parallelism);
        suite.goes_on_from_snapshots(parallelism);
    }
    suite.names_splits_alike();
}

struct Suite<'a, S: Source> {
    source: &'a S,
    files: Arc<FileSystems>,
    expected: Vec<S::Out>,
}

/// One subtask.
struct Subtask<S: Source> {
    index: u32,
    reader: S::Reader,
    assigned: Vec<S::Split>,
    active: usize,
    no_more: bool,
    rows: Vec<S::Out>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

fn must<T>(result: Result<T, TaskError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the source fails: {error}"),
    }
}

impl<S: Source> Suite<'_, S>
where
    S::Out: Ord + Debug,
{
    fn context(&self, parallelism: u32) -> EnumeratorContext {
        let io = SubtaskContext::for_tests("conformance").io;
        let at_submission =
            SubmissionContext::new(Arc::clone(&self.files), io.clone(), parallelism);
        let prepared = must(self.source.prepare(&at_submission));
        EnumeratorContext::new(Arc::clone(&self.files), io, parallelism, prepared)
    }

    fn enumerator(&self, parallelism: u32) -> S::Enumerator {
        must(self.source.create_enumerator(&self.context(parallelism)))
    }

    fn subtask(&self, index: u32, parallelism: u32) -> Subtask<S> {
        let context = SubtaskContext {
            subtask: index,
            parallelism,
            files: Arc::clone(&self.files),
            ..SubtaskContext::for_tests("conformance")
        };
        context.waker.bind(Arc::new(Unpark(std::thread::current())));
        let context = ReaderContext::new(&context);
        Subtask {
            index,
            reader: must(self.source.create_reader(&context)),
            assigned: Vec::new(),
            active: 0,
            no_more: false,
            rows: Vec::new(),
        }
    }

    fn subtasks(&self, parallelism: u32) -> Vec<Subtask<S>> {
        (0..parallelism)
            .map(|index| self.subtask(index, parallelism))
            .collect()
    }

    /// One step of one subtask; whether it is not at its end.
    fn step(&self, subtask: &mut Subtask<S>, enumerator: &mut S::Enumerator) -> bool {
        while !subtask.no_more && subtask.active < subtask.reader.max_splits() {
            match must(enumerator.next_split(subtask.index, "")) {
                Assignment::Split(split) => {
                    let bytes = must(encode_message(&split));
                    let split: S::Split = must(decode_message(&bytes));
                    subtask.assigned.push(split.clone());
                    subtask.reader.prefetch(&split);
                    must(subtask.reader.add_split(split));
                    subtask.active += 1;
                }
                Assignment::Wait(_) => break,
                Assignment::End => subtask.no_more = true,
            }
        }
        if subtask.active == 0 {
            return !subtask.no_more;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut batch = Batch::default();
            let progress = must(subtask.reader.fill(&mut batch));
            let some = !batch.is_empty();
            subtask.rows.append(&mut batch.rows);
            match progress {
                ReaderProgress::SplitFinished => {
                    subtask.active -= 1;
                    return true;
                }
                ReaderProgress::More if some => return true,
                ReaderProgress::Pending if some => return true,
                ReaderProgress::More => (),
                ReaderProgress::Pending => std::thread::park_timeout(Duration::from_millis(10)),
            }
            assert!(
                Instant::now() < deadline,
                "the reader neither gives rows nor ends"
            );
        }
    }

    fn run(&self, subtasks: &mut [Subtask<S>], enumerator: &mut S::Enumerator) {
        let mut open = true;
        while open {
            open = false;
            for subtask in &mut *subtasks {
                open |= self.step(subtask, enumerator);
            }
        }
    }

    fn compare(&self, rows: impl IntoIterator<Item = S::Out>, what: &str) {
        let mut rows: Vec<S::Out> = rows.into_iter().collect();
        rows.sort();
        assert!(
            rows == self.expected,
            "{what}: {} rows instead of {}: {:?} … instead of {:?} …",
            rows.len(),
            self.expected.len(),
            rows.iter().take(5).collect::<Vec<_>>(),
            self.expected.iter().take(5).collect::<Vec<_>>()
        );
    }

    fn reads_everything_once(&self, parallelism: u32) {
        let mut enumerator = self.enumerator(parallelism);
        let mut subtasks = self.subtasks(parallelism);
        self.run(&mut subtasks, &mut enumerator);
        let rows = subtasks.into_iter().flat_map(|subtask| subtask.rows);
        self.compare(rows, &format!("{parallelism} subtasks"));
    }

    fn gives_splits_of_the_dead_to_others(&self, parallelism: u32) {
        // Dies after so many steps.
        for steps in [0, 1, 2, 5] {
            let mut enumerator = self.enumerator(parallelism);
            let mut subtasks = self.subtasks(parallelism);
            for _ in 0..steps {
                for subtask in &mut subtasks {
                    self.step(subtask, &mut enumerator);
                }
            }
            // Its rows do not count; its splits are read again, from where they were assigned.
            let dead = subtasks.remove(0);
            enumerator.add_splits_back(dead.assigned, 0);
            subtasks.push(self.subtask(0, parallelism));
            self.run(&mut subtasks, &mut enumerator);
            let rows = subtasks.into_iter().flat_map(|subtask| subtask.rows);
            self.compare(rows, &format!("a subtask died after {steps} steps"));
        }
    }

    fn goes_on_from_snapshots(&self, parallelism: u32) {
        for steps in [0, 1, 3] {
            let mut enumerator = self.enumerator(parallelism);
            let mut subtasks = self.subtasks(parallelism);
            for _ in 0..steps {
                for subtask in &mut subtasks {
                    self.step(subtask, &mut enumerator);
                }
            }
            let bytes = must(encode_message(&must(enumerator.snapshot())));
            let context = self.context(parallelism);
            let restored = self
                .source
                .restore_enumerator(&context, must(decode_message(&bytes)));
            let (mut enumerator, mut rows) = (must(restored), Vec::new());
            let mut others = self.subtasks(parallelism);
            for (old, new) in subtasks.into_iter().zip(&mut others) {
                // What follows in the old reader must not have an effect.
                let splits = old.reader.snapshot();
                rows.extend(old.rows);
                new.active = splits.len();
                for split in splits {
                    let bytes = must(encode_message(&split));
                    must(new.reader.add_split(must(decode_message(&bytes))));
                }
            }
            self.run(&mut others, &mut enumerator);
            rows.extend(others.into_iter().flat_map(|subtask| subtask.rows));
            self.compare(rows, &format!("restored after {steps} steps"));
        }
    }

    fn names_splits_alike(&self) {
        let ids = || {
            let mut enumerator = self.enumerator(2);
            let (mut ids, mut open) = (BTreeSet::new(), true);
            while open {
                open = false;
                for subtask in 0..2 {
                    if let Assignment::Split(split) = must(enumerator.next_split(subtask, "")) {
                        let id = split.split_id();
                        assert!(ids.insert(id.clone()), "two splits have the id '{id}'");
                        open = true;
                    }
                }
            }
            ids
        };
        assert_eq!(ids(), ids(), "ids differ between two enumerations");
    }
}
