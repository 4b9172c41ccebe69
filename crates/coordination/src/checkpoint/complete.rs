//! The commit point of a checkpoint and what follows; the end of the job.

use std::collections::BTreeSet;
use std::sync::Arc;

use flott_model::{CheckpointId, Failure, JobStatus};

use super::abort::Manner;
use super::begin::transient;
use super::coordinator::{Checkpoints, Effect, Retired};
use super::pending::{Pending, Stage};
use super::request::Request;
use super::settings::CheckpointRetention;
use super::stored::StoredCheckpoint;
use super::trigger::SnapshotResult;
use crate::Timestamp;
use crate::job::JobAction;

impl Checkpoints {
    /// The metadata is written, and with it the checkpoint complete; or it could not be.
    pub(crate) fn stored(
        &mut self,
        now: Timestamp,
        checkpoint: CheckpointId,
        result: Result<String, Failure>,
    ) {
        let storing = |it: &Pending| matches!(it.stage, Stage::Storing(_));
        if !self.pending.get(&checkpoint).is_some_and(storing) {
            return;
        }
        match result {
            Ok(path) => self.complete(now, checkpoint, path),
            Err(failure) => {
                let message = format!("its _metadata could not be written: {}", failure.message);
                let failure = Failure { message, ..failure };
                self.abort(now, checkpoint, failure, Manner::Failed);
            }
        }
    }

    fn complete(&mut self, now: Timestamp, checkpoint: CheckpointId, path: String) {
        let Some(Pending {
            kind,
            request,
            stage: Stage::Storing(metadata),
            directory,
            finished,
            ..
        }) = self.pending.remove(&checkpoint)
        else {
            return;
        };
        let limit = self.settings.history;
        self.statistics
            .completed(checkpoint, (now, path.clone()), limit);
        self.changed(checkpoint);
        self.schedule.completed(now);
        self.failures.completed(checkpoint);
        self.sealing = false;
        // Other savepoints are the user's alone: nothing is committed with them, no restart begins
        // from them (as Flink since 1.15: they may be deleted at any time).
        if !kind.is_savepoint() || kind.stops() {
            let stored = StoredCheckpoint {
                metadata,
                directory,
                path: path.clone(),
            };
            let covered = stored.metadata.committables().cloned().collect();
            self.restorable(now, Arc::new(stored), !kind.is_savepoint());
            self.effects.push(Effect::Covered(covered, finished));
        }
        if let Some(request) = request {
            self.fulfil(request, SnapshotResult { checkpoint, path });
        }
    }

    /// From here on a restart begins from it.
    fn restorable(&mut self, now: Timestamp, stored: Arc<StoredCheckpoint>, owned: bool) {
        let checkpoint = stored.metadata.checkpoint();
        self.full &= !owned;
        let subsumed = self.completed.add(stored, owned);
        self.retire(subsumed);
        let older = self.pending.iter();
        let older = older.filter(|(id, it)| **id < checkpoint && !it.kind.is_savepoint());
        let older: Vec<CheckpointId> = older.map(|(id, _)| *id).collect();
        for id in older {
            let why = format!("checkpoint {checkpoint} is complete and newer");
            self.abort(now, id, transient(&why), Manner::GivenUp);
        }
        self.effects.push(Effect::NotifyCompleted(checkpoint));
    }

    /// These are not needed any more, but what is on its way may have taken over files of theirs.
    pub(super) fn retire(&mut self, subsumed: Vec<Arc<StoredCheckpoint>>) {
        let sharing = self
            .pending
            .iter()
            .filter(|(_, it)| !it.kind.is_savepoint());
        let sharing: BTreeSet<CheckpointId> = sharing.map(|(id, _)| *id).collect();
        let retired = subsumed.into_iter().map(|stored| Retired {
            stored,
            awaits: sharing.clone(),
        });
        self.retired.extend(retired);
    }

    /// Deletes those that nothing on its way can need.
    pub(super) fn discard_retired(&mut self) {
        let pending = &self.pending;
        for retired in &mut self.retired {
            retired.awaits.retain(|id| pending.contains_key(id));
        }
        // One by one: a file goes with the last that has it.
        while let Some(free) = self.retired.iter().position(|it| it.awaits.is_empty()) {
            let retired = self.retired.remove(free);
            self.discard_stored(&retired.stored);
        }
    }

    fn fulfil(&mut self, request: Request, result: SnapshotResult) {
        if let Some(closing) = &mut self.closing {
            closing.savepoint = Some(result.clone());
        }
        if request.kind.stops() {
            return; // Its tasks finish now.
        }
        self.act(JobAction::SnapshotRequestDone {
            request: request.number,
            result: Ok(result),
        });
        if request.cancel {
            self.effects.push(Effect::CancelJob);
        }
    }

    /// All tasks have finished; what they left is committed without a checkpoint.
    pub(crate) fn tasks_finished(&mut self, now: Timestamp) {
        let savepoint = self.closing.take_if(|closing| closing.savepoint.is_some());
        self.interrupted(now, "all tasks of the job have finished", false);
        self.closing = savepoint;
    }

    /// The job has ended: what is not to be retained is deleted.
    pub(crate) fn ended(&mut self, now: Timestamp, status: JobStatus) {
        if let Some(closing) = self.closing.take_if(|_| status == JobStatus::Finished) {
            match closing.savepoint {
                Some(savepoint) => self.act(JobAction::SnapshotRequestDone {
                    request: closing.request.number,
                    result: Ok(savepoint),
                }),
                None => self.request_failed(&closing.request, "the job has finished"),
            }
        }
        self.interrupted(now, &format!("the job is {status}"), false);
        self.discard_retired();
        if !self.retains(status) {
            while let Some(stored) = self.completed.pop() {
                self.discard_stored(&stored);
            }
        }
    }

    fn retains(&self, status: JobStatus) -> bool {
        match (self.settings.retention, status) {
            (_, JobStatus::Finished) | (CheckpointRetention::NoExternalizedCheckpoints, _) => false,
            (CheckpointRetention::RetainOnCancellation, _) => true,
            (CheckpointRetention::DeleteOnCancellation, status) => status != JobStatus::Canceled,
        }
    }
}
