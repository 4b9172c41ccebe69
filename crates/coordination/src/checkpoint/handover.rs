//! What subtasks and enumerators hand over, until a checkpoint is whole.

use std::sync::Arc;

use flott_model::{
    CheckpointId, CheckpointMetadata, EnumeratorState, ExecutionAttemptId, Failure,
    StoredCommittable, SubtaskSnapshot, VertexSnapshot, checkpoint_version,
};

use super::abort::Manner;
use super::begin::transient;
use super::completed::files_of;
use super::coordinator::Checkpoints;
use super::pending::{Collecting, Pending, Stage};
use super::stats::SubtaskRecord;
use crate::Timestamp;
use crate::job::JobAction;

/// So often at most views hear of the progress of a checkpoint.
const TOLD_PARTS: usize = 16;

impl Checkpoints {
    /// A subtask has handed over, and its state is stored.
    pub(crate) fn acknowledged(
        &mut self,
        now: Timestamp,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) {
        let Some(pending) = self.pending.get_mut(&checkpoint) else {
            self.came_too_late(checkpoint, &snapshot);
            return;
        };
        let record = SubtaskRecord::new(now, &snapshot);
        let collecting = pending.collecting();
        if !collecting.is_some_and(|it| it.acknowledge(attempt, snapshot)) {
            return; // Doubled, or of another attempt.
        }
        self.note(checkpoint, attempt, record);
        self.ask_enumerators(checkpoint);
    }

    fn note(
        &mut self,
        checkpoint: CheckpointId,
        attempt: ExecutionAttemptId,
        record: SubtaskRecord,
    ) {
        let Some(known) = self.statistics.record(checkpoint) else {
            return;
        };
        let (all, before) = known.progress();
        let vertex = known.vertices.get_mut(attempt.vertex.0 as usize);
        let subtask = vertex.and_then(|it| it.subtasks.get_mut(attempt.subtask as usize));
        if let Some(subtask) = subtask {
            *subtask = Some(record);
        }
        // Whoever copies the views must not do so a thousand times for a thousand subtasks.
        let part = |done: usize| done * TOLD_PARTS / all.max(1);
        if part(before) != part(known.progress().1) {
            self.changed(checkpoint);
        }
    }

    /// What was stored for a checkpoint that was given up meanwhile.
    fn came_too_late(&mut self, checkpoint: CheckpointId, snapshot: &SubtaskSnapshot) {
        let Some(directory) = self.aborted.get(&checkpoint).cloned() else {
            return;
        };
        let files = files_of(snapshot, &directory);
        if !files.is_empty() {
            self.discard(checkpoint, &directory, files);
        }
    }

    /// A subtask cannot hand over.
    pub(crate) fn declined(&mut self, now: Timestamp, checkpoint: CheckpointId, failure: Failure) {
        self.abort(now, checkpoint, failure, Manner::Failed);
    }

    /// The enumerators' answer.
    pub(crate) fn enumerators_snapshotted(
        &mut self,
        now: Timestamp,
        checkpoint: CheckpointId,
        result: Result<Vec<EnumeratorState>, Failure>,
    ) {
        let pending = self.pending.get_mut(&checkpoint);
        let Some(collecting) = pending.and_then(Pending::collecting) else {
            return;
        };
        match result {
            Ok(states) => {
                collecting.enumerators_are(states);
            }
            Err(failure) if collecting.awaits_enumerators() => {
                let message = format!(
                    "the sources' enumerators gave no state: {}",
                    failure.message
                );
                let failure = Failure { message, ..failure };
                self.abort(now, checkpoint, failure, Manner::Failed);
            }
            Err(_) => (),
        }
    }

    /// Enumerators handed over and went elsewhere before that was heard.
    pub(crate) fn enumerators_moved(&mut self, now: Timestamp, checkpoint: CheckpointId) {
        let pending = self.pending.get_mut(&checkpoint);
        let collecting = pending.and_then(Pending::collecting);
        if collecting.is_some_and(|it| it.awaits_enumerators()) {
            let why = "the process with the sources' enumerators was lost";
            self.abort(now, checkpoint, transient(why), Manner::Again);
        }
    }

    /// A task has finished. Checkpoints that still wait for it begin anew: it takes part as one that
    /// has finished.
    pub(crate) fn task_finished(
        &mut self,
        now: Timestamp,
        attempt: ExecutionAttemptId,
        name: &str,
    ) {
        let waiting = self.pending.iter_mut().filter_map(|(checkpoint, pending)| {
            let collecting = pending.collecting()?;
            collecting.awaits(attempt).then_some(*checkpoint)
        });
        let waiting: Vec<CheckpointId> = waiting.collect();
        for checkpoint in waiting {
            let why = format!("task {name} finished before it could take part");
            self.abort(now, checkpoint, transient(&why), Manner::Again);
        }
    }

    /// It takes too long.
    pub(crate) fn timed_out(&mut self, now: Timestamp, checkpoint: CheckpointId) {
        let timeout = self.settings.timeout;
        let (all, done) = self
            .statistics
            .record(checkpoint)
            .map_or((0, 0), |record| record.progress());
        let why = format!(
            "it was not complete within {timeout:?} (execution.checkpointing.timeout); {done} of \
             {all} subtasks had handed over"
        );
        self.abort(now, checkpoint, transient(&why), Manner::Failed);
    }

    /// Has the metadata of those written that are whole. `uncommitted`: what earlier ones cover and
    /// is not known to be committed.
    pub(super) fn store_whole(&mut self, uncommitted: &[StoredCommittable]) {
        let whole = self.pending.iter_mut().filter_map(|(checkpoint, pending)| {
            let collecting = pending.collecting()?;
            collecting.is_whole().then_some(*checkpoint)
        });
        let whole: Vec<CheckpointId> = whole.collect();
        for checkpoint in whole {
            let Some(pending) = self.pending.get_mut(&checkpoint) else {
                continue;
            };
            let Some(taken) = pending.collecting().map(Collecting::take) else {
                continue;
            };
            let (kind, timestamp_ms) = (pending.kind.number(), pending.timestamp_ms);
            let directory = pending.directory.clone();
            let (snapshots, enumerators) = taken;
            let vertices = self.identity.vertices.iter().zip(snapshots);
            let vertices: Vec<VertexSnapshot> = vertices
                .map(|(vertex, subtasks)| VertexSnapshot {
                    subtasks,
                    ..vertex.clone()
                })
                .collect();
            let metadata = Arc::new(CheckpointMetadata {
                version: checkpoint_version(&vertices),
                job: self.identity.job.to_string(),
                job_name: self.identity.name.clone(),
                id: checkpoint.0,
                epoch: self.identity.epoch.0,
                kind,
                timestamp_ms,
                vertices,
                enumerators,
                uncommitted: uncommitted.to_vec(),
            });
            if let Some(pending) = self.pending.get_mut(&checkpoint) {
                pending.stage = Stage::Storing(Arc::clone(&metadata));
            }
            self.act(JobAction::StoreMetadata {
                checkpoint,
                directory,
                metadata,
            });
        }
    }

    /// Goes on with whatever the latest event made possible.
    ///
    /// `running`: every task runs or has finished. `sealing`: all have finished, and the last checkpoint
    /// is to be taken.
    pub(crate) fn advance(
        &mut self,
        now: Timestamp,
        (running, sealing): (bool, bool),
        uncommitted: &[StoredCommittable],
    ) {
        if !self.enabled {
            return;
        }
        self.discard_retired();
        self.store_whole(uncommitted);
        if sealing {
            self.seal_due(now);
        } else {
            self.begin_due(now, running);
        }
    }
}
