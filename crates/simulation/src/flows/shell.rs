//! The shell of a job with checkpoints: performs its actions, and the workers hear of them.

use flott_coordination::checkpoint::CheckpointTrigger;
use flott_coordination::job::{JobAction, WorkerId};
use flott_model::{CheckpointId, ExecutionAttemptId, JobId, StoredCommittable};

use super::Content;
use super::storage::StorageCall;
use super::task::Role;
use crate::world::{Channel, Happening, ProcessId, World};

/// What a worker hears about a checkpoint.
#[derive(Debug, Clone)]
pub(crate) enum ShellCall {
    Trigger(CheckpointTrigger, Vec<ExecutionAttemptId>),
    Completed(CheckpointId, Vec<ExecutionAttemptId>),
    Aborted(CheckpointId),
}

impl World {
    /// An action on checkpoints.
    pub(crate) fn perform_on_checkpoint(&mut self, job: JobId, action: JobAction) {
        self.judge_checkpoint_action(job, &action);
        match action {
            JobAction::OpenCheckpoint {
                checkpoint,
                kind,
                directory,
            } => self.call_storage(job, checkpoint, StorageCall::Open(kind, directory)),
            JobAction::StoreMetadata {
                checkpoint,
                directory,
                metadata,
            } => self.call_storage(job, checkpoint, StorageCall::Store(directory, metadata)),
            JobAction::Discard {
                checkpoint,
                directory,
                keep,
                files,
            } => {
                let call = StorageCall::Discard {
                    directory,
                    keep,
                    files,
                };
                self.call_storage(job, checkpoint, call);
            }
            JobAction::TriggerCheckpoint {
                worker,
                attempts,
                trigger,
            } => self.call_worker(job, worker, ShellCall::Trigger(trigger, attempts)),
            JobAction::NotifyCompleted {
                worker,
                checkpoint,
                attempts,
            } => self.call_worker(job, worker, ShellCall::Completed(checkpoint, attempts)),
            JobAction::NotifyAborted {
                worker, checkpoint, ..
            } => self.call_worker(job, worker, ShellCall::Aborted(checkpoint)),
            JobAction::SnapshotEnumerators { checkpoint } => {
                let delay = self.random.millis(0..500);
                let epoch = self.epoch_of(job);
                self.after(delay, Happening::EnumeratorsAsked(job, epoch, checkpoint));
            }
            JobAction::ResetEnumerators { states, .. } => self.reset_enumerators(job, &states),
            JobAction::SnapshotRequestDone { request, result } => {
                self.wish_is_answered(job, request, result);
            }
            _ => (),
        }
    }

    fn call_worker(&mut self, job: JobId, worker: WorkerId, call: ShellCall) {
        let process = (job, worker);
        let channel = Channel::JobToWorker(process.clone());
        self.say(channel, Happening::WorkerHears(process, call));
    }

    /// A worker hears about a checkpoint.
    pub(crate) fn worker_hears(&mut self, process: &ProcessId, call: ShellCall) {
        let Some(worker) = self.processes.get_mut(process).filter(|it| !it.severed) else {
            return;
        };
        match call {
            ShellCall::Trigger(trigger, attempts) => {
                let place = (trigger.directory.clone(), trigger.options.full);
                worker.triggers.insert(trigger.checkpoint, place);
                for attempt in attempts {
                    let trigger = trigger.clone();
                    self.with_flow(process, attempt, |flow| flow.triggers.push_back(trigger));
                }
            }
            ShellCall::Completed(checkpoint, attempts) => {
                for attempt in attempts {
                    self.with_flow(process, attempt, |flow| {
                        if let Some(files) = flow.files.get(&checkpoint) {
                            flow.confirmed.clone_from(files);
                        }
                        flow.files = flow.files.split_off(&checkpoint);
                        if let Role::Sink { prepared, .. } = &mut flow.role {
                            prepared.retain(|(handed, _)| *handed > checkpoint);
                        }
                        flow.ends |= flow.stopped == Some(checkpoint);
                    });
                }
            }
            ShellCall::Aborted(checkpoint) => {
                worker.aborted.insert(checkpoint);
                let attempts: Vec<ExecutionAttemptId> = worker.tasks.keys().copied().collect();
                for attempt in attempts {
                    self.with_flow(process, attempt, |flow| {
                        flow.aborted.insert(checkpoint);
                        flow.files.remove(&checkpoint);
                        if flow
                            .aligning
                            .is_some_and(|(current, _)| current == checkpoint)
                        {
                            flow.stop_aligning();
                        }
                    });
                }
            }
        }
    }

    /// Commits take effect, each once; a commit that is interrupted does in part.
    pub(crate) fn apply_commits(&mut self, job: JobId, outputs: &[StoredCommittable]) {
        let line = self.flows.line(job);
        for output in outputs {
            let place: [u8; 8] = output.committable.as_slice().try_into().expect("8 bytes");
            let Content::Output(records) = self.flows.read(u64::from_le_bytes(place)).clone()
            else {
                unreachable!("a committable is an output");
            };
            let committed = self.flows.committed.entry(line).or_default();
            if !committed.applied.insert(output.committable.clone()) {
                continue;
            }
            let mut twice = None;
            for record in records {
                let same = committed.records.range(record.original()..).next();
                if same.is_some_and(|it| it.original() == record.original()) {
                    twice.get_or_insert(record);
                }
                committed.records.insert(record);
            }
            if let Some(record) = twice {
                self.record
                    .of(job)
                    .checks
                    .fail(format!("{record:?} was committed twice"));
            }
        }
    }
}
