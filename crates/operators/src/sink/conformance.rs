//! What every sink with a committer must do, as a test of it: call [`check`] with a way to read what
//! became visible.
//!
//! The suite drives writers and committer as the engine does, without a job: with several numbers of
//! subtasks, with writers that die, with commits that are repeated, and with jobs that are given up.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_network::{Batch, Control, Wake};
use flott_record::Record;

use super::api::Sink;
use super::{
    AnyCommitter, CommitStage, CommitterContext, Driven, SinkContext, SinkOperator, any_committer,
};
use crate::source::SubmissionContext;
use crate::{BatchSink, SubtaskContext, TaskError};

/// How long a writer may have no answer before the suite gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows in a batch.
const ROWS: usize = 7;

/// Checks a sink. `make` gives a sink with a target of its own, in which nothing is yet, and a
/// function that reads what is visible there, in any order. `records` have the event times 0, 1, 2 …
/// in milliseconds.
///
/// # Panics
/// With what is wrong, if something is.
pub fn check<In, S, R>(files: &Arc<FileSystems>, records: &[In], mut make: impl FnMut() -> (S, R))
where
    In: Record + Ord + Debug,
    S: Sink<In>,
    R: Fn() -> Vec<In>,
{
    for parallelism in [1, 2, 5] {
        let (sink, read) = make();
        let suite = Suite::new(sink, files, records, read, parallelism);
        suite.shows_everything_once();
        let (sink, read) = make();
        let suite = Suite::new(sink, files, records, read, parallelism);
        suite.forgets_what_is_given_up();
    }
    let (sink, read) = make();
    Suite::new(sink, files, &[], read, 2).shows_everything_once();
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

type Subtask<In, S> = (
    SubtaskContext,
    SinkOperator<In, Driven<<S as Sink<In>>::Writer>>,
);

struct Suite<'a, In, S, R> {
    sink: Arc<S>,
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    records: &'a [In],
    read: R,
    parallelism: u32,
    prepared: Vec<u8>,
}

fn must<T>(result: Result<T, TaskError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the sink fails: {error}"),
    }
}

impl<'a, In, S, R> Suite<'a, In, S, R>
where
    In: Record + Ord + Debug,
    S: Sink<In>,
    R: Fn() -> Vec<In>,
{
    fn new(
        sink: S,
        files: &Arc<FileSystems>,
        records: &'a [In],
        read: R,
        parallelism: u32,
    ) -> Self {
        let io = SubtaskContext::for_tests("sink").io;
        let submission = SubmissionContext::new(Arc::clone(files), io.clone(), parallelism);
        let prepared = must(sink.prepare(&submission));
        Self {
            sink: Arc::new(sink),
            files: Arc::clone(files),
            io,
            records,
            read,
            parallelism,
            prepared,
        }
    }

    /// Each attempt but the last is dropped in the middle; the last is committed, twice.
    fn shows_everything_once(&self) {
        for share in [3, 2] {
            drop(self.write(self.records.len() / share));
            self.expect(&[], "of an attempt that failed");
        }
        let committables = self.finish(self.write(self.records.len()));
        self.expect(&[], "before it is committed");
        if committables.is_empty() {
            assert!(self.records.is_empty(), "records are committed by nothing");
            return;
        }
        let committer = self.committer();
        for _ in 0..2 {
            let committed = committer(
                Arc::clone(&self.files),
                CommitStage::EndWithoutCheckpoints,
                committables.clone(),
            );
            must(self.io.block_on(committed));
            self.expect(self.records, "after the commit");
        }
    }

    fn forgets_what_is_given_up(&self) {
        let finished = self.finish(self.write(self.records.len()));
        drop(finished);
        drop(self.write(self.records.len() / 2));
        for _ in 0..2 {
            must(self.sink.abandon(&self.committer_context()));
            self.expect(&[], "of a job that was given up");
        }
    }

    fn expect(&self, records: &[In], when: &str) {
        let (mut expected, mut visible) = (records.to_vec(), (self.read)());
        expected.sort();
        visible.sort();
        assert!(
            visible == expected,
            "{} records are visible {when}, not {}",
            visible.len(),
            expected.len()
        );
    }

    /// The subtasks of an attempt that have taken the first `count` records.
    fn write(&self, count: usize) -> Vec<Subtask<In, S>> {
        let mut subtasks: Vec<_> = (0..self.parallelism)
            .map(|index| self.subtask(index))
            .collect();
        let times = self.records.iter().cloned().zip(0_i64..);
        let timed: Vec<(In, i64)> = times.take(count).collect();
        for (index, rows) in timed.chunks(ROWS).enumerate() {
            let (_, subtask) = &mut subtasks[index % self.parallelism as usize];
            let mut batch = Batch::default();
            for (row, time) in rows.iter().cloned() {
                batch.push(row, time);
            }
            must(subtask.batch(&mut batch));
            assert!(batch.is_empty(), "a writer left rows in a batch");
            must(subtask.flush());
            wait(|| must(subtask.settle()));
            let reached = rows.last().map_or(0, |(_, time)| *time);
            must(subtask.control(Control::Watermark(reached)));
            wait(|| must(subtask.settle()));
        }
        subtasks
    }

    fn subtask(&self, index: u32) -> Subtask<In, S> {
        let context = SubtaskContext {
            subtask: index,
            parallelism: self.parallelism,
            files: Arc::clone(&self.files),
            ..SubtaskContext::for_tests("sink")
        };
        context.waker.bind(Arc::new(Unpark(std::thread::current())));
        let writer = self
            .sink
            .create_writer(&SinkContext::new(&context, self.prepared.clone()));
        let operator = SinkOperator::new(Driven(must(writer)), &context);
        (context, operator)
    }

    /// What the subtasks want committed.
    fn finish(&self, subtasks: Vec<Subtask<In, S>>) -> Vec<Vec<u8>> {
        let mut committables = Vec::new();
        for (context, mut subtask) in subtasks {
            must(subtask.control(Control::Watermark(i64::MAX)));
            must(subtask.control(Control::End));
            wait(|| must(subtask.settle()));
            committables.extend(
                context
                    .checkpoint
                    .take_committables()
                    .into_iter()
                    .map(|(_, one)| one),
            );
        }
        committables
    }

    fn committer_context(&self) -> CommitterContext {
        let files = Arc::clone(&self.files);
        CommitterContext::new(files, self.io.clone(), 0, self.prepared.clone())
    }

    fn committer(&self) -> AnyCommitter {
        let context = self.committer_context();
        any_committer::<In, S>(Arc::clone(&self.sink), move |_| context.clone())
    }
}

/// Asks until the answer is yes.
fn wait(mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ask() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the writer does not wake its task");
        std::thread::park_timeout(left);
    }
}
