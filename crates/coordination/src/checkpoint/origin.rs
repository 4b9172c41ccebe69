//! What a job begins from, at first and after each failure.

use std::sync::Arc;

use flott_model::{
    CheckpointId, EnumeratorState, Failure, FailureClass, JobGraph, OperatorUid, SnapshotKind,
    StoredCommittable,
};

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
            let claimed = savepoint.filter(|it| it.claim == ClaimMode::Claim);
            new.resume(completed, claimed.map(|it| it.checkpoint.path).as_deref());
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

    /// Goes on where an earlier JobManager stopped; it may have begun from a savepoint that is the
    /// job's own since then.
    fn resume(&mut self, completed: Vec<StoredCheckpoint>, claimed: Option<&str>) {
        if !self.enabled {
            return;
        }
        for stored in completed {
            let kind = SnapshotKind::from_number(stored.metadata.kind);
            let savepoint = kind.is_some_and(SnapshotKind::is_savepoint);
            let owned = !savepoint || claimed == Some(stored.path.as_str());
            let subsumed = self.completed.add(Arc::new(stored), owned);
            self.retire(subsumed);
        }
        // When all are known: the newest may use files of the oldest.
        self.discard_retired();
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
        let id = stored.metadata.id;
        // Named anew: attempts of another job may have the names of this one's.
        let covered = covered.enumerate().map(|(place, known)| StoredCommittable {
            id: format!("r{id}#{place}"),
            ..known.clone()
        });
        let covered = covered.collect();
        self.effects.push(Effect::Covered(covered, Vec::new()));
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

    /// What enumerators knew is gone.
    pub(crate) fn enumerators_lost(&mut self) {
        self.sources_reset = true;
    }

    /// Tasks are about to be deployed anew: `everything`, or some regions.
    pub(crate) fn prepare_restore(&mut self, now: Timestamp, everything: bool) {
        self.lay_out();
        if everything && (self.plan.is_some() || self.sources_reset) {
            self.reset_enumerators();
        }
        let Some(plan) = &self.plan else { return };
        let stored = Arc::clone(plan.checkpoint());
        self.statistics.restored(RestoreRecord {
            checkpoint: stored.metadata.checkpoint(),
            kind: SnapshotKind::from_number(stored.metadata.kind)
                .unwrap_or(SnapshotKind::Checkpoint),
            at: now,
            path: stored.path.clone(),
        });
        self.act(JobAction::CheckpointChanged(None));
    }

    /// Enumerators begin with what tasks are deployed with.
    pub(crate) fn reset_enumerators(&mut self) {
        self.sources_reset = false;
        let stored = self.plan.as_ref().map(|plan| Arc::clone(plan.checkpoint()));
        let states = stored.as_ref().map(|it| self.known_enumerators(it));
        self.act(JobAction::ResetEnumerators {
            checkpoint: stored.as_ref().map(|it| it.metadata.checkpoint()),
            states: states.unwrap_or_default(),
        });
    }

    /// The states of sources that the job still has.
    fn known_enumerators(&self, stored: &StoredCheckpoint) -> Vec<EnumeratorState> {
        let operators = self.shape.operators();
        let known = |state: &&EnumeratorState| {
            let uid = state.operator.as_slice().try_into();
            uid.is_ok_and(|uid| operators.contains(&OperatorUid(u128::from_be_bytes(uid))))
        };
        let states = stored.metadata.enumerators.iter();
        states.filter(known).cloned().collect()
    }
}
