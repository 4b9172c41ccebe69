//! Work on storage, beside the shell of the job: in order, but for deletions, which others need not wait for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flott_coordination::job::JobEvent;
use flott_model::{CheckpointId, CheckpointMetadata, SnapshotKind};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::CheckpointStorage;

/// The end of a job waits so long for what is left to delete.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries to delete what could not be deleted.
const PAUSE: Duration = Duration::from_secs(1);
/// So many deletions may wait for storage to come back; older ones are given up.
const MOST_LEFT: usize = 10_000;

/// What is to be done.
enum Work {
    Open {
        checkpoint: CheckpointId,
        kind: SnapshotKind,
        directory: Option<String>,
    },
    Store {
        checkpoint: CheckpointId,
        directory: String,
        metadata: Arc<CheckpointMetadata>,
    },
    Discard(Discard),
}

struct Discard {
    checkpoint: CheckpointId,
    directory: String,
    keep: Vec<String>,
    files: Vec<String>,
}

/// The storage of one job, at work.
pub(crate) struct StorageQueue {
    work: UnboundedSender<Work>,
    // Bounded by checkpoints under way.
    events: UnboundedReceiver<JobEvent>,
    working: JoinHandle<()>,
}

impl StorageQueue {
    pub(crate) fn start(storage: CheckpointStorage) -> Self {
        let (work, incoming) = unbounded_channel();
        let (told, events) = unbounded_channel();
        let working = tokio::spawn(run(storage, incoming, told));
        Self {
            work,
            events,
            working,
        }
    }

    /// What came of it, for the core.
    pub(crate) async fn next(&mut self) -> Option<JobEvent> {
        self.events.recv().await
    }

    pub(crate) fn open(
        &self,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
        directory: Option<String>,
    ) {
        self.push(Work::Open {
            checkpoint,
            kind,
            directory,
        });
    }

    pub(crate) fn store(
        &self,
        checkpoint: CheckpointId,
        directory: String,
        metadata: Arc<CheckpointMetadata>,
    ) {
        self.push(Work::Store {
            checkpoint,
            directory,
            metadata,
        });
    }

    /// Behind everything that was asked for before.
    pub(crate) fn discard(
        &self,
        checkpoint: CheckpointId,
        directory: String,
        keep: Vec<String>,
        files: Vec<String>,
    ) {
        self.push(Work::Discard(Discard {
            checkpoint,
            directory,
            keep,
            files,
        }));
    }

    fn push(&self, work: Work) {
        // It ends after this value only.
        let _ = self.work.send(work);
    }

    /// Nothing follows: waits until everything is done, but not for ever.
    pub(crate) async fn close(self) {
        drop(self.work);
        drop(self.events);
        if tokio::time::timeout(PATIENCE, self.working).await.is_err() {
            tracing::warn!("checkpoints were not deleted within {PATIENCE:?} of the job's end");
        }
    }
}

async fn run(
    storage: CheckpointStorage,
    mut incoming: UnboundedReceiver<Work>,
    told: UnboundedSender<JobEvent>,
) {
    let (discards, waiting) = unbounded_channel();
    let discarding = tokio::spawn(discard_all(storage.clone(), waiting));
    // Directories of checkpoints whose opening nobody has heard of yet.
    let mut opened = std::collections::BTreeMap::new();
    while let Some(work) = incoming.recv().await {
        let event = match work {
            Work::Discard(mut discard) => {
                let own = opened.remove(&discard.checkpoint);
                if discard.directory.is_empty() {
                    discard.directory = own.unwrap_or_default();
                }
                let _ = discards.send(discard);
                continue;
            }
            Work::Open {
                checkpoint,
                kind,
                directory,
            } => {
                let timestamp_ms = unix_millis();
                let result = storage.open(checkpoint, kind, directory.as_deref()).await;
                if let Ok(directory) = &result {
                    opened.insert(checkpoint, directory.clone());
                }
                JobEvent::CheckpointOpened {
                    checkpoint,
                    timestamp_ms,
                    result,
                }
            }
            Work::Store {
                checkpoint,
                directory,
                metadata,
            } => {
                opened.remove(&checkpoint);
                let result = storage.store(&directory, &metadata).await;
                JobEvent::MetadataStored { checkpoint, result }
            }
        };
        // The job may have ended.
        let _ = told.send(event);
    }
    drop(discards);
    let _ = discarding.await;
    storage.remove_if_empty().await;
}

/// Deletes in order. What cannot be deleted now, because storage is away, say, is tried again later,
/// and at last when nothing follows.
async fn discard_all(storage: CheckpointStorage, mut waiting: UnboundedReceiver<Discard>) {
    let mut left = VecDeque::new();
    loop {
        let next = match left.is_empty() {
            true => Ok(waiting.recv().await),
            false => tokio::time::timeout(PAUSE, waiting.recv()).await,
        };
        match next {
            Ok(Some(discard)) => {
                if left.len() == MOST_LEFT {
                    left.pop_front();
                }
                left.push_back(discard);
            }
            Ok(None) if left.is_empty() => return,
            // Whoever closes this waits for a while only.
            Ok(None) => tokio::time::sleep(PAUSE).await,
            Err(_) => (),
        }
        while let Some(discard) = left.pop_front() {
            if !storage
                .discard(&discard.directory, &discard.keep, &discard.files)
                .await
            {
                left.push_front(discard);
                break;
            }
        }
    }
}

fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
