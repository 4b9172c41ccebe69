//! The checkpoints of a worker: tasks are told to begin them, their snapshots are written beside the
//! tasks, and reported when they are stored.

mod in_flight;
mod kept;
mod local;
mod ranged;
mod restore;
mod restores;
mod spool;
mod upload;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_config::{Configuration, options};
use flott_filesystem::FileSystems;
use flott_model::{
    CheckpointId, ExecutionAttemptId, OperatorUid, SnapshotKind, StoredCommittable, SubtaskRestore,
};
use flott_network::{Barrier, Overtakes};
use flott_operators::checkpoint::{CheckpointRequest, TaskSnapshot};
use flott_protocol::message::{BeginCheckpoint, EndCheckpoint, Metric, WorkerMessage, WorkerSpec};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(super) use kept::EncodedBytes;
use kept::Kept;
use local::LocalCopies;
pub(super) use restore::{Edge, Fetch, Place, RestoreFrom, Restored};
use restores::Restores;
pub(super) use upload::Snapshotted;
use upload::{Target, Upload};

/// A task's snapshot, from its thread.
pub(super) type Taken = (ExecutionAttemptId, TaskSnapshot);

/// The checkpoints of one worker.
pub(super) struct Checkpoints {
    files: Arc<FileSystems>,
    /// State up to so many bytes goes into the acknowledgement.
    inline: usize,
    edges: Arc<[Edge]>,
    messages: mpsc::Sender<WorkerMessage>,
    // Bounded by tasks and checkpoints under way.
    take: UnboundedSender<Taken>,
    taken: UnboundedReceiver<Taken>,
    /// Those that have begun and have not ended.
    begun: BTreeMap<CheckpointId, Upload>,
    /// Snapshots of checkpoints of whose beginning the JobMaster's word has not come yet.
    early: BTreeMap<CheckpointId, Vec<Snapshotted>>,
    /// What sinks gave to checkpoints that are not known to be complete.
    uncommitted: BTreeMap<ExecutionAttemptId, Vec<(CheckpointId, StoredCommittable)>>,
    /// How many its sinks gave.
    given: BTreeMap<ExecutionAttemptId, u64>,
    /// The newest checkpoint that has ended.
    ended: Option<CheckpointId>,
    /// What subtasks can roll back to.
    kept: Kept,
    /// What workers after this one can read.
    local: LocalCopies,
    /// Whether tasks begin from what is here.
    from_local: bool,
    restores: Arc<Restores>,
}

/// Early snapshots of so many checkpoints are kept.
const MOST_EARLY: usize = 8;

impl Checkpoints {
    pub(super) fn new(
        files: Arc<FileSystems>,
        (spec, configuration): (&WorkerSpec, &Configuration),
        edges: Arc<[Edge]>,
        messages: mpsc::Sender<WorkerMessage>,
    ) -> Self {
        let (take, taken) = unbounded_channel();
        let inline = configuration.get(&options::STATE_STORAGE_FS_MEMORY_THRESHOLD);
        Self {
            files,
            inline: usize::try_from(inline.bytes()).unwrap_or(usize::MAX),
            edges,
            messages,
            take,
            taken,
            begun: BTreeMap::new(),
            early: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
            given: BTreeMap::new(),
            ended: None,
            kept: Kept::new(kept::most_bytes(spec, configuration)),
            local: LocalCopies::new(spec),
            from_local: configuration.get(&options::EXECUTION_STATE_RECOVERY_FROM_LOCAL),
            restores: Arc::default(),
        }
    }

    /// Where tasks send their snapshots.
    pub(super) fn sender(&self) -> UnboundedSender<Taken> {
        self.take.clone()
    }

    /// The next snapshot of a task.
    pub(super) async fn next(&mut self) -> Option<Taken> {
        self.taken.recv().await
    }

    /// A checkpoint has begun. The barrier that the named tasks are to send.
    pub(super) fn begin(&mut self, begin: &BeginCheckpoint) -> Option<Barrier> {
        let kind = SnapshotKind::from_number(begin.kind)?;
        let checkpoint = CheckpointId(begin.checkpoint);
        let target = Target {
            checkpoint,
            directory: Some(begin.directory.clone()).filter(|directory| !directory.is_empty()),
            inline: self.inline,
            edges: Arc::clone(&self.edges),
            // Savepoints are not what a failure goes back to.
            local: if kind.is_savepoint() {
                LocalCopies::default()
            } else {
                self.local.clone()
            },
        };
        if self.ended < Some(checkpoint) && !self.begun.contains_key(&checkpoint) {
            let upload = Upload::start(target, Arc::clone(&self.files), self.messages.clone());
            for early in self.early.remove(&checkpoint).unwrap_or_default() {
                upload.store(early);
            }
            self.begun.insert(checkpoint, upload);
        }
        let overtakes = match (begin.unaligned, begin.aligned_timeout_ms) {
            (false, _) => Overtakes::Never,
            (true, 0) => Overtakes::AtOnce,
            (true, after) => Overtakes::AfterMs(u32::try_from(after).unwrap_or(u32::MAX - 1)),
        };
        let barrier = Barrier::new(checkpoint, kind, begin.timestamp_ms);
        Some(barrier.overtaking(overtakes))
    }

    /// A task's snapshot is whole.
    pub(super) fn store(&mut self, mut snapshotted: Snapshotted) {
        let checkpoint = snapshotted.snapshot.barrier.checkpoint;
        let attempt = snapshotted.place.attempt;
        let committables = std::mem::take(&mut snapshotted.snapshot.committables);
        let named = self.name(attempt, committables).into_iter();
        let pending = self.uncommitted.entry(attempt).or_default();
        pending.extend(named.map(|stored| (checkpoint, stored)));
        // Those of a checkpoint that was given up come with the next one.
        snapshotted.committables = pending.iter().map(|(_, one)| one.clone()).collect();
        if snapshotted.snapshot.given_up {
            return;
        }
        if self.ended < Some(checkpoint) && !snapshotted.snapshot.barrier.kind.is_savepoint() {
            let operators = &snapshotted.snapshot.operators;
            snapshotted.encoded = self.kept.keep(checkpoint, attempt, operators);
        }
        if let Some(upload) = self.begun.get(&checkpoint) {
            upload.store(snapshotted);
        } else if self.ended < Some(checkpoint) {
            self.early.entry(checkpoint).or_default().push(snapshotted);
            while self.early.len() > MOST_EARLY {
                self.early.pop_first();
            }
        }
    }

    /// A checkpoint has ended. What tasks are to be told, if it was given up.
    pub(super) fn end(&mut self, end: EndCheckpoint) -> Option<CheckpointRequest> {
        let checkpoint = CheckpointId(end.checkpoint);
        self.ended = self.ended.max(Some(checkpoint));
        self.early.remove(&checkpoint);
        // Whatever is under way for it stops.
        self.begun.remove(&checkpoint);
        if !end.completed {
            self.kept.aborted(checkpoint);
            self.local.aborted(checkpoint);
            return Some(CheckpointRequest::Abort(checkpoint));
        }
        self.kept.completed(checkpoint);
        self.local.completed(checkpoint);
        for pending in self.uncommitted.values_mut() {
            pending.retain(|(of, _)| *of > checkpoint);
        }
        None
    }

    /// How to bring what a task begins from.
    pub(super) fn fetch(
        &mut self,
        from: RestoreFrom,
        place: Place,
        restore: Option<&SubtaskRestore>,
    ) -> Fetch {
        Fetch {
            from,
            place,
            kept: self.kept.roll_back(place.attempt, restore),
            local: if self.from_local {
                self.local.clone()
            } else {
                LocalCopies::default()
            },
            counts: Arc::clone(&self.restores),
            edges: Arc::clone(&self.edges),
        }
    }

    /// An attempt begins without state: what was kept of its subtask is of no use.
    pub(super) fn begins_anew(&mut self, attempt: ExecutionAttemptId) {
        self.kept.roll_back(attempt, None);
    }

    /// What is kept for roll backs, and where the state of restored subtasks came from.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let kept = [("Status.State.KeptBytes", self.kept.bytes())];
        let metric = |(name, value): (&str, u64)| Metric {
            name: name.to_owned(),
            value: value.to_string(),
            of_job: false,
        };
        kept.into_iter()
            .chain(self.restores.all())
            .map(metric)
            .collect()
    }

    /// A task has ended: what its sinks gave that is not known to be in a complete checkpoint, with
    /// what they gave last.
    pub(super) fn task_ended(
        &mut self,
        attempt: ExecutionAttemptId,
        last: Vec<(OperatorUid, Vec<u8>)>,
    ) -> Vec<StoredCommittable> {
        let last = self.name(attempt, last);
        self.given.remove(&attempt);
        let pending = self.uncommitted.remove(&attempt).unwrap_or_default();
        let pending = pending.into_iter().map(|(_, one)| one);
        pending.chain(last).collect()
    }

    /// Two sinks may give the same: the JobMaster knows them apart by what they are called.
    fn name(
        &mut self,
        attempt: ExecutionAttemptId,
        committables: Vec<(OperatorUid, Vec<u8>)>,
    ) -> Vec<StoredCommittable> {
        let given = self.given.entry(attempt).or_default();
        let committables = committables.into_iter();
        committables
            .map(|(operator, committable)| {
                *given += 1;
                StoredCommittable {
                    operator: operator.0.to_be_bytes().to_vec(),
                    committable,
                    id: format!("{attempt}#{given}"),
                }
            })
            .collect()
    }
}
