//! What a connector implements to be a source.

use std::fmt::Debug;
use std::time::Duration;

use flott_network::Batch;
use flott_record::Record;

use super::{EnumeratorContext, ReaderContext, SubmissionContext};
use crate::TaskError;

/// Whether a source ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundedness {
    /// The input is finite: the job can finish, and can run in BATCH mode.
    Bounded,
    /// The input goes on until the job is cancelled.
    ContinuousUnbounded,
}

/// A piece of the input, with the position in it from which it is to be read.
pub trait SourceSplit: Record + Debug {
    /// Identifies the split within its source: the same whenever the same input is enumerated
    /// again, and the same however far the split was read.
    fn split_id(&self) -> String;
}

/// What a program reads from. One value describes the source in every process; enumerator and
/// readers are made of it where they run.
///
/// [`Source::create_enumerator`] is called in one worker of the job, [`Source::create_reader`] in
/// each subtask. After a restart both are made again, and every split that is not covered by a
/// checkpoint is assigned again.
pub trait Source: Send + Sync + 'static {
    /// What it produces.
    type Out: Record;
    /// The pieces in which it is read.
    type Split: SourceSplit;
    /// Finds the pieces.
    type Enumerator: SplitEnumerator<Split = Self::Split>;
    /// Reads them.
    type Reader: SourceReader<Out = Self::Out, Split = Self::Split>;

    /// Whether it ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// Checks the input when the job is submitted, so that mistakes are told before anything runs.
    /// What it returns is shipped with the job, for whatever must be the same everywhere; the
    /// enumerator gets it as [`EnumeratorContext::prepared`]. May block.
    fn prepare(&self, _context: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }

    /// Makes the enumerator of a job that begins. May block.
    fn create_enumerator(&self, context: &EnumeratorContext)
    -> Result<Self::Enumerator, TaskError>;

    /// Makes the enumerator of a job that goes on from what an earlier one stored
    /// ([`SplitEnumerator::snapshot`]). May block.
    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        checkpoint: <Self::Enumerator as SplitEnumerator>::Checkpoint,
    ) -> Result<Self::Enumerator, TaskError>;

    /// Makes the reader of one subtask. Must not block.
    fn create_reader(&self, context: &ReaderContext) -> Result<Self::Reader, TaskError>;
}

/// What an enumerator says to a subtask that asks for a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment<S> {
    /// Read this.
    Split(S),
    /// There is nothing now: ask again after that time.
    Wait(Duration),
    /// There will never be another split for this subtask, unless one is given back.
    End,
}

/// Finds the splits of a source, and decides who reads them. Runs on a thread of its own: its
/// methods may block.
pub trait SplitEnumerator: Send + 'static {
    /// The pieces of the input.
    type Split: SourceSplit;
    /// What it needs to go on later.
    type Checkpoint: Record;

    /// A split for a subtask that runs on `host` (empty if that is not known).
    fn next_split(
        &mut self,
        subtask: u32,
        host: &str,
    ) -> Result<Assignment<Self::Split>, TaskError>;

    /// Takes back splits that `subtask` was given and whose rows do not count, because it failed.
    fn add_splits_back(&mut self, splits: Vec<Self::Split>, subtask: u32);

    /// What is not assigned yet, for a checkpoint.
    fn snapshot(&mut self) -> Result<Self::Checkpoint, TaskError>;
}

/// What a reader has after a call of [`SourceReader::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderProgress {
    /// Perhaps more at once: call again.
    More,
    /// Nothing now; the reader wakes the task ([`ReaderContext::waker`], or
    /// [`crate::TaskClock::wake_at`]).
    Pending,
    /// All rows of the current split were given, those of this call included.
    SplitFinished,
}

/// Reads the splits of one subtask. Its methods must not block: whoever waits for I/O does that in a
/// future ([`ReaderContext::spawn`]) or a thread ([`ReaderContext::spawn_thread`]), hands what it has
/// read over ([`super::handover()`]) and wakes the task.
pub trait SourceReader: Send + 'static {
    /// What it produces.
    type Out: Record;
    /// The pieces of the input.
    type Split: SourceSplit;

    /// How many splits it reads at the same time. It is given another one whenever it has fewer.
    fn max_splits(&self) -> usize {
        1
    }

    /// The split will probably be the next that is added: reading ahead may begin.
    fn prefetch(&mut self, _split: &Self::Split) {}

    /// Reads this split, too, from the position it holds.
    fn add_split(&mut self, split: Self::Split) -> Result<(), TaskError>;

    /// Appends up to about [`flott_network::batch_rows`] rows of a single split to an empty batch.
    /// Rows may carry event times ([`Batch::push`]); timestamp assigners see them.
    fn fill(&mut self, batch: &mut Batch<Self::Out>) -> Result<ReaderProgress, TaskError>;

    /// The id of the split that the last [`SourceReader::fill`] was about. Readers that read one
    /// split at a time need not say.
    fn current_split(&self) -> Option<&str> {
        None
    }

    /// Pauses exactly these splits until the next call: their event time is too far ahead. Returns
    /// whether the reader can do that; if not, it is paused as a whole.
    fn pause_splits(&mut self, _paused: &[String]) -> bool {
        false
    }

    /// The splits that are not finished, each at the position behind the last row given.
    fn snapshot(&self) -> Vec<Self::Split>;
}
