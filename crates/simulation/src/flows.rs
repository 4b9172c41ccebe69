//! Jobs that take checkpoints: what their tasks do with records and barriers, where state goes, and
//! what was committed. All of it in memory.
//!
//! A record is known by its source, split and place in the split, so that the output can be judged:
//! each record once, and for each key counts without a gap.

mod draw;

mod barrier;
mod deploy;
mod shell;
mod snapshot;
mod source;
mod storage;
mod task;

mod takeover;
mod wishes;

mod judge;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flott_model::{CheckpointId, ExecutionAttemptId, JobId, SnapshotKind};

pub(crate) use draw::{Wish, draw_graph, draw_settings, draw_wishes};
pub(crate) use judge::Checks;
pub(crate) use shell::ShellCall;
pub(crate) use snapshot::Upload;
pub(crate) use source::{Enumerator, ReaderCall};
pub(crate) use storage::{Storage, StorageCall, files_of};
pub(crate) use task::Flow;

/// One record on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) source: u32,
    pub(crate) split: u32,
    pub(crate) index: u32,
    /// Given by an operator that counts: how many of its key there were by then.
    pub(crate) count: u64,
}

/// So many records has a split.
pub(crate) const SPLIT_RECORDS: u32 = 4;
const KEYS: u32 = 7;

impl Record {
    pub(crate) fn key(self) -> u32 {
        (self.source * 31 + self.split * 5 + self.index * 3) % KEYS
    }

    /// As its source gave it.
    pub(crate) fn original(self) -> Self {
        Self { count: 0, ..self }
    }
}

/// What travels on a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Record(Record),
    Barrier(CheckpointId, SnapshotKind),
    End,
}

/// A channel between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wire {
    pub(crate) job: JobId,
    pub(crate) edge: u32,
    pub(crate) from: ExecutionAttemptId,
    pub(crate) to: ExecutionAttemptId,
}

/// What was written somewhere, as handles and committables name it.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A reader: how many splits it was given, and those it has not read to the end, each with the
    /// place it is at.
    Reader {
        received: u32,
        open: VecDeque<(u32, u32)>,
    },
    /// Counts by key.
    Counts(BTreeMap<u32, u64>),
    /// All about a source's splits.
    Enumerator(Enumerator),
    /// What a sink wants committed.
    Output(Vec<Record>),
}

/// All about such jobs that is not in their processes.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) storage: Storage,
    contents: Vec<Content>,
    pub(crate) sources: BTreeMap<(JobId, u32), Enumerator>,
    wires: BTreeMap<Wire, VecDeque<Element>>,
    /// By the first job of a line of restored ones.
    pub(crate) committed: BTreeMap<JobId, Committed>,
    /// Which job another one goes on for.
    lines: BTreeMap<JobId, JobId>,
    /// How many splits each source of a line has.
    splits: BTreeMap<(JobId, u32), u32>,
}

/// What was committed.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Each committable takes effect once.
    applied: BTreeSet<Vec<u8>>,
    pub(crate) records: BTreeSet<Record>,
}

impl Flows {
    pub(crate) fn write(&mut self, content: Content) -> u64 {
        self.contents.push(content);
        self.contents.len() as u64 - 1
    }

    pub(crate) fn read(&self, place: u64) -> &Content {
        &self.contents[usize::try_from(place).expect("places are few")]
    }

    /// The first job of a line.
    pub(crate) fn line(&self, job: JobId) -> JobId {
        self.lines.get(&job).copied().unwrap_or(job)
    }

    pub(crate) fn put(&mut self, wire: Wire, element: Element) {
        self.wires.entry(wire).or_default().push_back(element);
    }

    fn wire(&mut self, wire: &Wire) -> Option<&mut VecDeque<Element>> {
        self.wires.get_mut(wire)
    }
}
