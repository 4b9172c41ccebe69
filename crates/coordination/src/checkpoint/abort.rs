//! Checkpoints that will not be complete, and what follows from that.

use flott_model::{CheckpointId, Failure, FailureClass, SnapshotKind};

use super::begin::transient;
use super::completed::files_of;
use super::coordinator::{Checkpoints, Effect};
use super::pending::Pending;
use super::request::Request;
use crate::Timestamp;
use crate::job::JobAction;

/// Why a checkpoint is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It has failed: that counts.
    Failed,
    /// Another one takes its place.
    GivenUp,
    /// It is begun anew at once.
    Again,
    /// Tasks of the job stop.
    Interrupted,
}

impl Checkpoints {
    /// Gives a checkpoint up, if it is on its way.
    pub(super) fn abort(
        &mut self,
        now: Timestamp,
        checkpoint: CheckpointId,
        failure: Failure,
        manner: Manner,
    ) {
        let Some(pending) = self.pending.remove(&checkpoint) else {
            return;
        };
        let limit = self.settings.history;
        self.statistics
            .failed(checkpoint, (now, failure.clone()), limit);
        self.changed(checkpoint);
        if pending.is_triggered() {
            self.effects.push(Effect::NotifyAborted(checkpoint));
        }
        self.discard_pending(checkpoint, &pending);
        self.end_of_attempt(now, pending, &failure, manner);
        if manner == Manner::Failed {
            self.count(checkpoint, &failure);
        }
    }

    fn discard_pending(&mut self, checkpoint: CheckpointId, pending: &Pending) {
        let snapshots = pending.snapshots().into_iter();
        let files = snapshots.flat_map(|it| files_of(it, &pending.directory));
        let files = files.collect();
        self.discard(checkpoint, &pending.directory, files);
        self.remember_aborted(checkpoint, pending.directory.clone());
    }

    /// What becomes of the wish for it.
    fn end_of_attempt(
        &mut self,
        now: Timestamp,
        pending: Pending,
        failure: &Failure,
        manner: Manner,
    ) {
        match (pending.request, manner) {
            (Some(request), Manner::Again) => self.queue.push_front(request),
            (None, Manner::Again) => self.schedule.hurry(now),
            (Some(request), Manner::Failed) => self.give_up(&request, failure),
            (Some(request), Manner::GivenUp | Manner::Interrupted) => {
                self.request_failed(&request, &failure.message);
            }
            (None, Manner::Failed) if self.sealing => self.seal_again(now),
            (None, Manner::Failed | Manner::GivenUp | Manner::Interrupted) => (),
        }
    }

    /// A wish comes to nothing. Sources that have stopped for it do not go on by themselves.
    pub(super) fn give_up(&mut self, request: &Request, failure: &Failure) {
        let stopped = self.closing.as_ref().is_some_and(|it| it.stopped);
        self.request_failed(request, &failure.message);
        if request.kind.stops() && stopped {
            let message = format!(
                "{} failed, and its sources had stopped: {}",
                request.name(),
                failure.message
            );
            self.effects.push(Effect::FailJob(Failure {
                // Trying again is what helps.
                class: forgivable(failure).into(),
                message,
                ..failure.clone()
            }));
        }
    }

    /// Answers a wish that comes to nothing.
    pub(super) fn request_failed(&mut self, request: &Request, why: &str) {
        let number = request.number;
        if self
            .closing
            .as_ref()
            .is_some_and(|it| it.request.number == number)
        {
            self.closing = None;
        }
        self.act(JobAction::SnapshotRequestDone {
            request: number,
            result: Err(request.failed(why)),
        });
    }

    /// Checkpoints that fail one after the other fail the job; savepoints never do.
    fn count(&mut self, checkpoint: CheckpointId, failure: &Failure) {
        let kind = self.statistics.get(checkpoint).map(|record| record.kind);
        if kind.is_some_and(SnapshotKind::is_savepoint) {
            return;
        }
        if let Some(failure) = self.failures.failed(checkpoint, failure) {
            self.effects.push(Effect::FailJob(failure));
        }
    }

    /// Whether the savepoint that the job stops with is complete: all tasks are to finish.
    pub(crate) fn is_finishing(&self) -> bool {
        let closing = self.closing.as_ref();
        closing.is_some_and(|it| it.savepoint.is_some() && it.request.kind.stops())
    }

    /// Tasks stop, by a failure or because somebody wants that: nothing that is on its way will be
    /// complete. `survivors`: some tasks go on.
    pub(crate) fn interrupted(&mut self, now: Timestamp, why: &str, survivors: bool) {
        self.schedule.stop();
        self.sealing = false;
        let closing = self.closing.as_ref();
        if survivors && closing.is_some_and(|it| it.stopped && it.request.kind.stops()) {
            // Sources of the survivors have stopped, or they have finished for that.
            self.effects.push(Effect::TakeAllBack);
        }
        let pending: Vec<CheckpointId> = self.pending.keys().copied().collect();
        for checkpoint in pending {
            self.abort(now, checkpoint, transient(why), Manner::Interrupted);
        }
        for request in std::mem::take(&mut self.queue) {
            self.request_failed(&request, why);
        }
        let Some(closing) = self.closing.take() else {
            return;
        };
        if closing.request.cancel && closing.savepoint.is_some() {
            return; // It was answered, and this is what was wanted.
        }
        let why = match &closing.savepoint {
            Some(savepoint) => format!(
                "the savepoint is complete at {}, but the job did not finish: {why}",
                savepoint.path
            ),
            None => why.to_owned(),
        };
        self.request_failed(&closing.request, &why);
    }
}

fn forgivable(failure: &Failure) -> FailureClass {
    match failure.class() {
        FailureClass::UserCode => FailureClass::UserCode,
        FailureClass::Transient | FailureClass::Fatal => FailureClass::Transient,
    }
}
