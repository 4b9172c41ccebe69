//! What a job begins from, at first and after each failure.

use std::sync::Arc;

use flott_model::{CheckpointId, Failure, FailureClass, JobGraph, SnapshotKind, StoredCommittable};

use super::completed::Completed;
use super::coordinator::{Checkpoints, Effect};
use super::restore::RestorePlan;
use super::stats::RestoreRecord;
use super::stored::{ClaimMode, Origin, SavepointRestore, StoredCheckpoint};
use crate::Timestamp;
use crate::job::{JobAction, JobSettings};

impl Checkpoints {
    pub(crate) fn new(settings: &JobSettings, graph: &JobGraph, origin: Origin) -> Self {
        let mut new = Self::blank(settings, graph);
        let Origin {
            mut completed,
            savepoint,
            seen,
        } = origin;
        completed.sort_by_key(|stored| stored.metadata.id);
        let own = completed
            .iter()
            .chain(savepoint.iter().map(|it| &it.checkpoint));
        let greatest = own
            .map(|stored| stored.metadata.checkpoint())
            .chain(seen)
            .max();
        new.newest = greatest.unwrap_or(CheckpointId(0));
        if completed.is_empty() {
            if let Some(savepoint) = savepoint {
                new.begin_from(savepoint);
            }
        } else {
            new.resume(completed);
        }
        new.cover_newest();
        new
    }

    /// Begins from what the user named.
    fn begin_from(&mut self, savepoint: SavepointRestore) {
        let SavepointRestore {
            checkpoint,
            claim,
            allow_non_restored,
        } = savepoint;
        let stored = Arc::new(checkpoint);
        if !self.enabled {
            let message = format!(
                "cannot restore from {}: the job runs in BATCH, which has no state to restore",
                stored.path
            );
            self.refusal = Some(Failure::new(FailureClass::Fatal, message));
            return;
        }
        match RestorePlan::new(&self.shape, Arc::clone(&stored), allow_non_restored) {
            Ok(plan) => self.plan = Some(plan),
            Err(failure) => {
                self.refusal = Some(failure);
                return;
            }
        }
        match claim {
            ClaimMode::Claim => {
                self.completed.add(stored, true);
            }
            ClaimMode::NoClaim => {
                self.full = true;
                let retained = self.settings.num_retained;
                self.completed = Completed::new(retained, Some(stored));
            }
        }
    }

    /// Goes on where an earlier JobManager stopped.
    fn resume(&mut self, completed: Vec<StoredCheckpoint>) {
        if !self.enabled {
            return;
        }
        for stored in completed {
            let kind = SnapshotKind::from_number(stored.metadata.kind);
            let owned = !kind.is_some_and(SnapshotKind::is_savepoint);
            for subsumed in self.completed.add(Arc::new(stored), owned) {
                self.discard_stored(&subsumed);
            }
        }
        self.lay_out();
    }

    /// Has everything committed that the newest checkpoint covers: who began that may not have ended
    /// it.
    fn cover_newest(&mut self) {
        let known = self.shape.operators();
        let Some(stored) = self.newest_stored().filter(|_| self.refusal.is_none()) else {
            return;
        };
        let covered = stored.metadata.committables();
        // Without its sink nobody can commit it; that it is left behind was allowed.
        let covered = covered.filter(|it| it.uid().is_some_and(|uid| known.contains(&uid)));
        let covered: Vec<StoredCommittable> = covered.cloned().collect();
        self.effects.push(Effect::Covered(covered));
    }

    /// Lays out the newest checkpoint for the job's subtasks.
    fn lay_out(&mut self) {
        let Some(stored) = self.newest_stored() else {
            return;
        };
        if self
            .plan
            .as_ref()
            .is_some_and(|plan| Arc::ptr_eq(plan.checkpoint(), &stored))
        {
            return;
        }
        // The job's own: what it left behind was left behind before.
        match RestorePlan::new(&self.shape, stored, true) {
            Ok(plan) => self.plan = Some(plan),
            Err(failure) => self.refusal = Some(failure),
        }
    }

    /// Tasks are about to be deployed anew: `everything`, or some regions.
    pub(crate) fn prepare_restore(&mut self, now: Timestamp, everything: bool) {
        self.lay_out();
        let Some(plan) = &self.plan else { return };
        let stored = Arc::clone(plan.checkpoint());
        let checkpoint = stored.metadata.checkpoint();
        self.statistics.restored(RestoreRecord {
            checkpoint,
            kind: SnapshotKind::from_number(stored.metadata.kind)
                .unwrap_or(SnapshotKind::Checkpoint),
            at: now,
            path: stored.path.clone(),
        });
        if everything {
            let claimed = self.shape.operators();
            let states = stored.metadata.enumerators.iter();
            let known = |bytes: &[u8]| {
                let uid = bytes.try_into().map(u128::from_be_bytes);
                uid.is_ok_and(|uid| claimed.contains(&flott_model::OperatorUid(uid)))
            };
            let states = states.filter(|state| known(&state.operator)).cloned();
            let states = states.collect();
            self.act(JobAction::ResetEnumerators {
                checkpoint: Some(checkpoint),
                states,
            });
        }
        self.act(JobAction::CheckpointChanged(None));
    }
}
