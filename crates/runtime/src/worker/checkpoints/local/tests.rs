//! Copies of state on the disks of a container.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flott_config::Configuration;
use flott_filesystem::FileSystems;
use flott_model::{
    CheckpointId, Epoch, ExecutionAttemptId, OperatorUid, SnapshotKind, SubtaskSnapshot, VertexId,
};
use flott_network::Barrier;
use flott_operators::checkpoint::TaskSnapshot;
use flott_protocol::message::{
    BeginCheckpoint, EndCheckpoint, WorkerMessage, WorkerSpec, worker_message,
};
use flott_record::hash::stable_hash;
use flott_state::{KeyedTable, OperatorSnapshot};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::restore::{Place, RestoreFrom};
use super::super::{Checkpoints, EncodedBytes, Snapshotted};
use super::*;

const UID: OperatorUid = OperatorUid(7);

/// The checkpoints of a worker in a container, with its storage.
struct Container {
    storage: TempDir,
    disk: TempDir,
    messages: Option<mpsc::Receiver<WorkerMessage>>,
}

fn attempt(attempt: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(0),
        subtask: 0,
        attempt,
    }
}

fn place(number: u32) -> Place {
    Place {
        attempt: attempt(number),
        parallelism: 1,
        max_parallelism: 128,
    }
}

fn files() -> Arc<FileSystems> {
    Arc::new(FileSystems::new(BTreeMap::new(), None, None).unwrap())
}

fn snapshot(rows: u64) -> OperatorSnapshot {
    let mut table = KeyedTable::<u64, u64>::new();
    for key in 0..rows {
        table.insert(stable_hash(&key), key, key);
    }
    let mut snapshot = OperatorSnapshot::new(128);
    snapshot.table("rows", &mut table).unwrap();
    snapshot.value("value", &rows).unwrap();
    snapshot
}

impl Container {
    fn new() -> Self {
        Self {
            storage: tempfile::tempdir().unwrap(),
            disk: tempfile::tempdir().unwrap(),
            messages: None,
        }
    }

    /// A worker that has just been started.
    fn worker(&mut self) -> Checkpoints {
        let spec = WorkerSpec {
            job: "job".to_owned(),
            local_state_dirs: vec![self.disk.path().to_str().unwrap().to_owned()],
            ..WorkerSpec::default()
        };
        let settings = [("execution.checkpointing.data-inline-threshold", "0")];
        let own = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let configuration = Configuration::from_map(own.into()).unwrap();
        let (messages, said) = mpsc::channel(100);
        self.messages = Some(said);
        Checkpoints::new(files(), (&spec, &configuration), Arc::from([]), messages)
    }

    /// The subtask of the worker takes part in a checkpoint.
    async fn take(&mut self, worker: &mut Checkpoints, checkpoint: u64) -> SubtaskSnapshot {
        let begin = BeginCheckpoint {
            checkpoint,
            kind: SnapshotKind::Checkpoint.number(),
            directory: self.storage.path().to_str().unwrap().to_owned(),
            ..BeginCheckpoint::default()
        };
        let barrier = worker.begin(&begin).unwrap();
        worker.store(Snapshotted {
            place: place(0),
            snapshot: taken(barrier),
            committables: Vec::new(),
            encoded: EncodedBytes::default(),
        });
        let message = self.messages.as_mut().unwrap().recv().await.unwrap();
        match message.kind.unwrap() {
            worker_message::Kind::Snapshotted(report) => report.snapshot.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn of_checkpoint(&self, checkpoint: u64) -> PathBuf {
        of_checkpoint(&self.disk.path().join("job"), CheckpointId(checkpoint))
    }

    /// The only copy of a checkpoint.
    fn copy(&self, checkpoint: u64) -> PathBuf {
        let entries = std::fs::read_dir(self.of_checkpoint(checkpoint)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_none());
        assert_eq!(files.len(), 1);
        files.remove(0)
    }

    /// Deletes what is in storage.
    fn lose_storage(&self) {
        for entry in std::fs::read_dir(self.storage.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// A restart of the subtask in a worker: how many rows it begins with, and from where, or why not.
    async fn restart(
        &self,
        worker: &mut Checkpoints,
        checkpoint: u64,
        stored: &SubtaskSnapshot,
    ) -> Result<(usize, Vec<&'static str>), String> {
        let operators = stored.operators.iter();
        let operators = operators.map(|operator| flott_model::OperatorRestore {
            operator: operator.operator.clone(),
            keyed: operator.keyed.iter().cloned().collect(),
            states: vec![flott_model::OldSubtaskState {
                subtask: 0,
                state: operator.state.clone(),
            }],
            old_parallelism: 1,
        });
        let restore = flott_model::SubtaskRestore {
            checkpoint,
            directory: self.storage.path().to_str().unwrap().to_owned(),
            operators: operators.collect(),
            finished: false,
            channels: Vec::new(),
        };
        let before = worker.restores.all();
        let from = RestoreFrom {
            files: files(),
            spool: None,
        };
        let fetch = worker.fetch(from, place(1), Some(&restore));
        let restored = fetch
            .run(restore)
            .await
            .map_err(|error| error.to_string())?;
        let table = restored.operators[&UID].table::<u64, u64>("rows").unwrap();
        assert_eq!(
            restored.operators[&UID]
                .value::<u64>("value")
                .unwrap()
                .len(),
            1
        );
        let after = worker.restores.all().into_iter().zip(before);
        let counted = after.filter(|(after, before)| after.1 > before.1);
        Ok((table.len(), counted.map(|(after, _)| after.0).collect()))
    }
}

fn taken(barrier: Barrier) -> TaskSnapshot {
    TaskSnapshot {
        barrier,
        operators: vec![(UID, snapshot(5_000))],
        committables: Vec::new(),
        splits_received: None,
        in_flight: Vec::new(),
        processed_bytes: 0,
        given_up: false,
        alignment: Default::default(),
        sync: Default::default(),
        start_delay_ms: 0,
    }
}

const MEMORY: &str = "Status.State.RestoresFromMemory";
const LOCAL: &str = "Status.State.RestoresFromLocal";
const STORAGE: &str = "Status.State.RestoresFromStorage";

#[tokio::test]
async fn a_new_worker_begins_from_the_copies_of_the_one_before() {
    let mut container = Container::new();
    let mut worker = container.worker();
    let stored = container.take(&mut worker, 3).await;
    container.lose_storage();
    let in_memory = container.restart(&mut worker, 3, &stored).await;
    assert_eq!(in_memory, Ok((5_000, vec![MEMORY])));
    drop(worker);
    let mut next = container.worker();
    let restarted = container.restart(&mut next, 3, &stored).await;
    assert_eq!(restarted, Ok((5_000, vec![LOCAL])));
}

#[tokio::test]
async fn what_is_damaged_is_read_from_storage() {
    let damages: [fn(&Path); 4] = [
        |copy| {
            let mut bytes = std::fs::read(copy).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(copy, bytes).unwrap();
        },
        |copy| {
            let bytes = std::fs::read(copy).unwrap();
            std::fs::write(copy, &bytes[..bytes.len() - 1]).unwrap();
        },
        |copy| std::fs::remove_file(copy).unwrap(),
        |copy| std::fs::write(ranges_of(copy), "0 17 nonsense\n").unwrap(),
    ];
    for damage in damages {
        let mut container = Container::new();
        let mut worker = container.worker();
        let stored = container.take(&mut worker, 3).await;
        drop(worker);
        damage(&container.copy(3));
        let mut next = container.worker();
        let restarted = container.restart(&mut next, 3, &stored).await;
        assert_eq!(restarted, Ok((5_000, vec![STORAGE])));
    }
}

#[tokio::test]
async fn without_copies_and_without_storage_it_fails() {
    let mut container = Container::new();
    let mut worker = container.worker();
    let stored = container.take(&mut worker, 3).await;
    container.lose_storage();
    std::fs::remove_dir_all(container.of_checkpoint(3)).unwrap();
    drop(worker);
    let mut next = container.worker();
    let error = container.restart(&mut next, 3, &stored).await.unwrap_err();
    assert!(error.contains("state cannot be read"), "{error}");
}

/// Deletions run beside.
async fn gone(path: &Path) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while path.exists() {
        assert!(tokio::time::Instant::now() < deadline, "{}", path.display());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn copies_go_with_their_checkpoint() {
    let mut container = Container::new();
    let mut worker = container.worker();
    for checkpoint in 3..6 {
        container.take(&mut worker, checkpoint).await;
    }
    worker.end(EndCheckpoint {
        checkpoint: 4,
        completed: true,
        stop: false,
    });
    gone(&container.of_checkpoint(3)).await;
    worker.end(EndCheckpoint {
        checkpoint: 5,
        completed: false,
        stop: false,
    });
    gone(&container.of_checkpoint(5)).await;
    assert!(container.copy(4).exists());
}

#[tokio::test]
async fn a_disk_that_takes_nothing_does_not_matter() {
    let mut container = Container::new();
    std::fs::write(container.disk.path().join("job"), "in the way").unwrap();
    let mut worker = container.worker();
    let stored = container.take(&mut worker, 3).await;
    drop(worker);
    let mut next = container.worker();
    let restarted = container.restart(&mut next, 3, &stored).await;
    assert_eq!(restarted, Ok((5_000, vec![STORAGE])));
}

#[tokio::test]
async fn savepoints_are_not_copied() {
    let mut container = Container::new();
    let mut worker = container.worker();
    let begin = BeginCheckpoint {
        checkpoint: 3,
        kind: SnapshotKind::Savepoint.number(),
        directory: container.storage.path().to_str().unwrap().to_owned(),
        ..BeginCheckpoint::default()
    };
    let barrier = worker.begin(&begin).unwrap();
    worker.store(Snapshotted {
        place: place(0),
        snapshot: taken(barrier),
        committables: Vec::new(),
        encoded: EncodedBytes::default(),
    });
    container.messages.as_mut().unwrap().recv().await.unwrap();
    assert!(!container.of_checkpoint(3).exists());
    assert_eq!(worker.kept.bytes(), 0);
}

#[tokio::test]
async fn ranges_are_found_again() {
    let disk = tempfile::tempdir().unwrap();
    let mut copy = Copy::new(disk.path().to_owned(), "file");
    for blob in [&b"first"[..], b"", b"second"] {
        for byte in blob {
            copy.write(Bytes::copy_from_slice(&[*byte])).await;
        }
        copy.end_blob();
    }
    copy.complete().await;
    let handle = |offset, length| StateHandle {
        file: "file".to_owned(),
        offset,
        length,
        ..StateHandle::default()
    };
    let file = disk.path().join("file");
    let second = open(&file, &handle(5, 6)).unwrap();
    let mut bytes = [0; 4];
    second.read(2, &mut bytes).unwrap();
    assert_eq!(&bytes, b"cond");
    assert!(second.read(3, &mut bytes).is_err());
    assert!(open(&file, &handle(5, 5)).is_err());
}
