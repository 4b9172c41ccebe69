//! Writes the snapshots of one checkpoint: those that come close together into one file, and reports
//! them when the file is complete.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_model::{
    CheckpointId, OperatorSubtaskState, StateHandle, StoredCommittable, SubtaskSnapshot,
    key_groups_of,
};
use flott_operators::TaskError;
use flott_operators::checkpoint::TaskSnapshot;
use flott_protocol::message::{TaskSnapshotted, WorkerMessage, worker_message};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::in_flight;
use super::kept::EncodedBytes;
use super::local::LocalCopies;
use super::restore::{Edge, Place};
use super::write::{Encoded, StateFile, encode};

/// A file waits so long for the snapshots of further tasks.
const LINGER: Duration = Duration::from_millis(20);
/// State without a directory to write to is held by the JobManager: not more than that per task.
const MOST_WITHOUT_DIRECTORY: u64 = 5 << 20;

/// Where the state of a checkpoint goes.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) checkpoint: CheckpointId,
    /// A URI; `None`: into the acknowledgements.
    pub(super) directory: Option<String>,
    /// State up to so many bytes goes into the acknowledgement.
    pub(super) inline: usize,
    pub(super) edges: Arc<[Edge]>,
    /// Where second copies of files go.
    pub(super) local: LocalCopies,
}

/// A task's snapshot with what must be known of the task.
pub(in crate::worker) struct Snapshotted {
    pub(in crate::worker) place: Place,
    pub(in crate::worker) snapshot: TaskSnapshot,
    /// Everything that its sinks want committed with it.
    pub(in crate::worker) committables: Vec<StoredCommittable>,
    /// To be told how large it is.
    pub(in crate::worker) encoded: EncodedBytes,
}

/// The writing of one checkpoint's snapshots; dropped, it stops.
pub(super) struct Upload {
    snapshots: UnboundedSender<Snapshotted>,
    writing: AbortHandle,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

impl Upload {
    pub(super) fn start(
        target: Target,
        files: Arc<FileSystems>,
        messages: mpsc::Sender<WorkerMessage>,
    ) -> Self {
        let (snapshots, incoming) = unbounded_channel();
        let writer = Writer {
            target,
            files,
            messages,
        };
        let writing = tokio::spawn(writer.run(incoming)).abort_handle();
        Self { snapshots, writing }
    }

    /// Stores and reports it.
    pub(super) fn store(&self, snapshotted: Snapshotted) {
        // The writer goes with this value only.
        let _ = self.snapshots.send(snapshotted);
    }
}

struct Writer {
    target: Target,
    files: Arc<FileSystems>,
    messages: mpsc::Sender<WorkerMessage>,
}

/// A snapshot that is in a file which is not complete yet.
struct Written {
    report: TaskSnapshotted,
    since: Instant,
}

impl Writer {
    async fn run(self, mut incoming: UnboundedReceiver<Snapshotted>) {
        while let Some(first) = incoming.recv().await {
            let mut file = StateFile::new(&self.target, Arc::clone(&self.files));
            let mut written = Vec::new();
            let mut next = Some(first);
            while let Some(snapshotted) = next {
                self.write(snapshotted, &mut file, &mut written).await;
                next = match tokio::time::timeout(LINGER, incoming.recv()).await {
                    Ok(Some(snapshotted)) => Some(snapshotted),
                    Ok(None) | Err(_) => None,
                };
            }
            self.complete(file, written).await;
        }
    }

    async fn write(
        &self,
        snapshotted: Snapshotted,
        file: &mut StateFile,
        written: &mut Vec<Written>,
    ) {
        let since = Instant::now();
        let mut report = TaskSnapshotted {
            checkpoint: self.target.checkpoint.0,
            attempt: snapshotted.place.attempt.into(),
            splits_received: snapshotted.snapshot.splits_received,
            ..TaskSnapshotted::default()
        };
        match self.snapshot(snapshotted, file).await {
            Ok(snapshot) => {
                report.snapshot = Some(snapshot);
                written.push(Written { report, since });
            }
            Err(error) => {
                report.failure = Some(error.to_failure());
                self.say(report).await;
            }
        }
    }

    async fn snapshot(
        &self,
        snapshotted: Snapshotted,
        file: &mut StateFile,
    ) -> Result<SubtaskSnapshot, TaskError> {
        let Snapshotted {
            place,
            snapshot: taken,
            committables,
            encoded,
        } = snapshotted;
        let subtask = place.attempt.subtask;
        let (first_key_group, key_groups) =
            key_groups_of(subtask, place.parallelism, place.max_parallelism);
        let mut snapshot = SubtaskSnapshot {
            committables,
            alignment_ms: millis(taken.alignment),
            sync_ms: millis(taken.sync),
            start_delay_ms: taken.start_delay_ms,
            unaligned: taken.barrier.overtakes_at_once(),
            processed_bytes: taken.processed_bytes,
            ..SubtaskSnapshot::default()
        };
        for (operator, state) in taken.operators {
            let Encoded { keyed, state, own } = encode(state, self.target.inline, file).await?;
            let size = |handle: &Option<StateHandle>| handle.as_ref().map_or(0, |it| it.length);
            snapshot.bytes += size(&keyed) + size(&state);
            snapshot.operators.push(OperatorSubtaskState {
                operator: operator.0.to_be_bytes().to_vec(),
                keyed,
                first_key_group,
                key_groups,
                state,
                own,
            });
        }
        encoded.set(snapshot.bytes);
        snapshot.channels = in_flight::store(taken.in_flight, &self.target, file).await?;
        let channels = snapshot.channels.iter();
        let persisted = channels.map(|it| it.state.as_ref().map_or(0, |state| state.length));
        snapshot.persisted_bytes = persisted.sum();
        snapshot.bytes += snapshot.persisted_bytes;
        if self.target.directory.is_none() && snapshot.bytes > MOST_WITHOUT_DIRECTORY {
            return Err(TaskError::transient(format!(
                "its state has {} bytes, and without a directory for checkpoints at most \
                 {MOST_WITHOUT_DIRECTORY} can be kept: set execution.checkpointing.dir",
                snapshot.bytes
            )));
        }
        Ok(snapshot)
    }

    /// Completes the file, then tells what is in it.
    async fn complete(&self, file: StateFile, written: Vec<Written>) {
        let closed = file.close().await;
        for Written { mut report, since } in written {
            match (&closed, &mut report.snapshot) {
                (Ok(()), Some(snapshot)) => snapshot.async_ms = millis(since.elapsed()),
                (Ok(()), None) => (),
                (Err(error), _) => {
                    report.snapshot = None;
                    report.failure = Some(error.to_failure());
                }
            }
            self.say(report).await;
        }
    }

    async fn say(&self, report: TaskSnapshotted) {
        let kind = Some(worker_message::Kind::Snapshotted(report));
        // Nobody wants to know when the worker ends.
        let _ = self.messages.send(WorkerMessage { kind }).await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
