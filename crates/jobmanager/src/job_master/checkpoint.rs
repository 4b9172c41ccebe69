//! What the shell of a job does about checkpoints.

use flott_coordination::job::{JobAction, JobEvent, WorkerId};
use flott_model::{CheckpointId, Failure};
use flott_protocol::message::{
    BeginCheckpoint, EndCheckpoint, EnumeratorsSnapshotted, TaskSnapshotted, worker_command,
};

use super::Shell;
use crate::checkpoints::NOT_ADDRESSABLE;

impl Shell {
    /// Something was done in storage.
    pub(super) fn on_storage(&mut self, event: JobEvent) {
        if let JobEvent::CheckpointOpened {
            checkpoint,
            timestamp_ms,
            ..
        } = &event
        {
            self.checkpoints.opened(*checkpoint, *timestamp_ms);
        }
        self.pending.push_back(event);
    }

    pub(super) fn on_snapshot(&mut self, report: TaskSnapshotted) {
        let checkpoint = CheckpointId(report.checkpoint);
        let attempt = report.attempt.into();
        if let Some(splits) = report.splits_received {
            self.checkpoints.received(checkpoint, attempt, splits);
        }
        let event = match (report.snapshot, report.failure) {
            (Some(snapshot), None) => JobEvent::CheckpointAcknowledged {
                attempt,
                checkpoint,
                snapshot,
            },
            (_, failure) => JobEvent::CheckpointDeclined {
                attempt,
                checkpoint,
                failure: failure.unwrap_or_default(),
            },
        };
        self.pending.push_back(event);
    }

    pub(super) fn on_enumerators(&mut self, worker: WorkerId, answer: EnumeratorsSnapshotted) {
        self.pending.push_back(JobEvent::EnumeratorsSnapshotted {
            checkpoint: CheckpointId(answer.checkpoint),
            worker: Some(worker),
            result: match answer.failure {
                Some(failure) => Err(failure),
                None => Ok(answer.states),
            },
        });
    }

    /// The process that coordinated the sources is gone: nobody knows any more what was given out
    /// since the newest checkpoint.
    pub(super) fn enumerators_lost(&mut self, coordinated: bool, failure: &Failure) {
        if coordinated && self.master.has_checkpoints {
            self.pending
                .push_back(JobEvent::EnumeratorsLost(failure.clone()));
        }
    }

    /// Whether the job has completed a checkpoint, or began from one.
    pub(super) fn has_checkpointed(&self) -> bool {
        let statistics = self.master.core.checkpoints();
        statistics.counts.completed > 0 || statistics.counts.restored > 0
    }

    /// Performs an action on checkpoints.
    pub(super) fn checkpoint(&mut self, action: JobAction) {
        match action {
            JobAction::OpenCheckpoint {
                checkpoint,
                kind,
                directory,
            } => self.checkpoints.open(checkpoint, kind, directory),
            JobAction::TriggerCheckpoint {
                worker,
                attempts,
                trigger,
            } => {
                let begin = BeginCheckpoint {
                    checkpoint: trigger.checkpoint.0,
                    kind: trigger.kind.number(),
                    timestamp_ms: self.checkpoints.triggered_ms(trigger.checkpoint),
                    directory: match trigger.directory.as_str() {
                        NOT_ADDRESSABLE => String::new(),
                        directory => directory.to_owned(),
                    },
                    attempts: attempts.into_iter().map(Into::into).collect(),
                    unaligned: trigger.options.unaligned,
                    aligned_timeout_ms: u64::try_from(trigger.options.aligned_timeout.as_millis())
                        .unwrap_or(u64::MAX),
                };
                self.tell(&worker, worker_command::Kind::BeginCheckpoint(begin));
            }
            JobAction::SnapshotEnumerators { checkpoint } => self.ask_enumerators(checkpoint),
            JobAction::StoreMetadata {
                checkpoint,
                directory,
                metadata,
            } => self
                .checkpoints
                .storage
                .store(checkpoint, directory, metadata),
            JobAction::NotifyCompleted {
                worker, checkpoint, ..
            } => self.end_checkpoint(&worker, checkpoint, true),
            JobAction::NotifyAborted {
                worker, checkpoint, ..
            } => self.end_checkpoint(&worker, checkpoint, false),
            JobAction::Discard {
                checkpoint,
                directory,
                keep,
                files,
            } => {
                let storage = &self.checkpoints.storage;
                storage.discard(checkpoint, directory, keep, files);
            }
            JobAction::CheckpointChanged(_) => {
                let statistics = self.master.core.checkpoints().clone();
                self.master.view.checkpoints(statistics);
            }
            JobAction::SnapshotRequestDone { request, result } => {
                self.checkpoints.answer(request, result);
            }
            JobAction::ResetEnumerators { states, .. } => self.coordination.restart(states),
            _ => (),
        }
    }

    fn end_checkpoint(&mut self, worker: &WorkerId, checkpoint: CheckpointId, completed: bool) {
        let stops = self.checkpoints.ended(checkpoint);
        let end = EndCheckpoint {
            checkpoint: checkpoint.0,
            completed,
            stop: completed && stops,
        };
        self.tell(worker, worker_command::Kind::EndCheckpoint(end));
    }

    /// Asks whoever coordinates the sources; if nobody does there is nothing to be stored.
    fn ask_enumerators(&mut self, checkpoint: CheckpointId) {
        let ask = self.checkpoints.ask_enumerators(checkpoint);
        match self.coordination.coordinator().cloned() {
            Some(worker) => self.tell(&worker, worker_command::Kind::SnapshotEnumerators(ask)),
            None => self.pending.push_back(JobEvent::EnumeratorsSnapshotted {
                checkpoint,
                worker: None,
                result: Ok(self.coordination.restored().to_vec()),
            }),
        }
    }
}
