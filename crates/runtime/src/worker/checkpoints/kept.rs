//! The snapshots that a worker keeps in memory, so that its subtasks roll back to them: everything of
//! each subtask from the newest checkpoint known to be complete up to now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flott_config::{Configuration, options};
use flott_model::{CheckpointId, ExecutionAttemptId, OperatorUid, SubtaskRestore, VertexId};
use flott_protocol::message::WorkerSpec;
use flott_state::OperatorSnapshot;

/// This part of the worker's memory, if nothing else was said.
const SHARE: u64 = 4;
/// Where the worker's memory is not limited.
const MOST_UNLIMITED: u64 = 1 << 30;

/// What a subtask's operators handed over at one barrier.
pub(in crate::worker) type Operators = BTreeMap<OperatorUid, OperatorSnapshot>;

/// Vertex and index.
type Subtask = (VertexId, u32);

/// See above.
pub(super) struct Kept {
    most_bytes: u64,
    subtasks: BTreeMap<Subtask, BTreeMap<CheckpointId, Snapshot>>,
    /// The log says that there is too much.
    told: bool,
}

struct Snapshot {
    /// Who took it.
    attempt: ExecutionAttemptId,
    operators: Operators,
    /// Bytes of tables and lists.
    allocated: u64,
    /// Bytes of the stored form, once it is known: about what keys and values point to.
    encoded: EncodedBytes,
}

impl Snapshot {
    fn bytes(&self) -> u64 {
        self.allocated + self.encoded.0.load(Ordering::Relaxed)
    }
}

/// To be told how large the stored form of a snapshot is.
#[derive(Clone, Default)]
pub(in crate::worker) struct EncodedBytes(Arc<AtomicU64>);

impl EncodedBytes {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// As many bytes of snapshots as a worker keeps at most; 0: none at all.
pub(super) fn most_bytes(spec: &WorkerSpec, configuration: &Configuration) -> u64 {
    if !configuration.get(&options::EXECUTION_STATE_RECOVERY_FROM_LOCAL) {
        return 0;
    }
    match configuration.get(&options::STATE_LOCAL_RECOVERY_MEMORY_MAX) {
        Some(most) => most.bytes(),
        None if spec.memory_bytes == 0 => MOST_UNLIMITED,
        None => spec.memory_bytes / SHARE,
    }
}

impl Kept {
    pub(super) fn new(most_bytes: u64) -> Self {
        Self {
            most_bytes,
            subtasks: BTreeMap::new(),
            told: false,
        }
    }

    /// Keeps what a subtask hands over, by reference.
    pub(super) fn keep(
        &mut self,
        checkpoint: CheckpointId,
        attempt: ExecutionAttemptId,
        operators: &[(OperatorUid, OperatorSnapshot)],
    ) -> EncodedBytes {
        let encoded = EncodedBytes::default();
        let known: Operators = operators.iter().cloned().collect();
        let retainable = known.values().all(OperatorSnapshot::is_retainable);
        // One of two that go by the same name would stand for both.
        let distinct = known.len() == operators.len();
        if self.most_bytes == 0 || !retainable || !distinct {
            return encoded;
        }
        let allocated = known.values().map(OperatorSnapshot::allocated_bytes);
        let snapshot = Snapshot {
            attempt,
            allocated: allocated.sum::<usize>() as u64,
            operators: known,
            encoded: encoded.clone(),
        };
        let subtask = (attempt.vertex, attempt.subtask);
        let of_subtask = self.subtasks.entry(subtask).or_default();
        let replaced = of_subtask.insert(checkpoint, snapshot);
        free(replaced.into_iter().collect());
        self.limit();
        encoded
    }

    /// A checkpoint is complete: no failure goes back to one before it.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        self.retain(|_, of| of >= checkpoint);
        self.limit();
    }

    /// A checkpoint was given up.
    pub(super) fn aborted(&mut self, checkpoint: CheckpointId) {
        self.retain(|_, of| of != checkpoint);
    }

    /// What an attempt that is deployed here begins from, if it is here. Whatever else was kept of
    /// its subtask is not what any attempt can begin from.
    pub(super) fn roll_back(
        &mut self,
        attempt: ExecutionAttemptId,
        restore: Option<&SubtaskRestore>,
    ) -> Option<Operators> {
        let subtask = (attempt.vertex, attempt.subtask);
        let wanted = restore.filter(|restore| !restore.finished);
        let wanted = wanted.map(|restore| CheckpointId(restore.checkpoint));
        self.retain(|of_subtask, of| of_subtask != subtask || wanted == Some(of));
        let snapshot = self.subtasks.get(&subtask)?.get(&wanted?)?;
        // Another JobManager may have given the number to another checkpoint.
        let earlier = snapshot.attempt.epoch == attempt.epoch;
        let earlier = earlier && snapshot.attempt.attempt < attempt.attempt;
        earlier.then(|| snapshot.operators.clone())
    }

    /// Bytes of all that is kept. What snapshots share with each other and with running tasks counts
    /// for each.
    pub(super) fn bytes(&self) -> u64 {
        let snapshots = self.subtasks.values().flat_map(BTreeMap::values);
        snapshots.map(Snapshot::bytes).sum()
    }

    fn retain(&mut self, keep: impl Fn(Subtask, CheckpointId) -> bool) {
        let mut dropped = Vec::new();
        self.subtasks.retain(|subtask, snapshots| {
            let gone = snapshots.extract_if(.., |checkpoint, _| !keep(*subtask, *checkpoint));
            dropped.extend(gone.map(|(_, snapshot)| snapshot));
            !snapshots.is_empty()
        });
        free(dropped);
    }

    /// Lets go the oldest while there is too much: the storage has them.
    fn limit(&mut self) {
        let mut bytes = self.bytes();
        while bytes > self.most_bytes {
            let all = self.subtasks.iter().flat_map(|(subtask, snapshots)| {
                let snapshots = snapshots.iter();
                snapshots.map(move |(checkpoint, it)| (*checkpoint, *subtask, it.bytes()))
            });
            let Some((checkpoint, subtask, of_it)) = all.min() else {
                return;
            };
            bytes = bytes.saturating_sub(of_it);
            self.retain(|of_subtask, of| (of_subtask, of) != (subtask, checkpoint));
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    %checkpoint,
                    most_bytes = self.most_bytes,
                    "not all state of checkpoints can be kept in memory \
                     (state.local-recovery.memory.max): after a failure tasks read it from storage"
                );
            }
        }
    }
}

/// Frees snapshots beside whoever calls: they may have many rows.
fn free(snapshots: Vec<Snapshot>) {
    let large = snapshots.iter().any(|one| one.allocated > 1 << 20);
    match tokio::runtime::Handle::try_current() {
        Ok(threads) if large => _ = threads.spawn_blocking(move || drop(snapshots)),
        _ => drop(snapshots),
    }
}

#[cfg(test)]
mod tests;
