//! What a task hands over at a barrier, and how its worker stores that beside the task.

use flott_coordination::job::JobEvent;
use flott_model::{
    CheckpointId, ExecutionAttemptId, Failure, FailureClass, OperatorSubtaskState, StateHandle,
    StoredCommittable, SubtaskSnapshot, key_groups_of,
};

use super::Content;
use super::source::uid;
use super::task::{Flow, Role};
use crate::world::{Happening, ProcessId, World};

/// So often a worker looks whether it was told where a checkpoint goes.
const TRIES: u32 = 100;

/// State on its way to storage.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    state: Option<OperatorSubtaskState>,
    /// It goes to a file.
    large: bool,
    /// Shared files of the newest complete checkpoint that hold a part of it.
    reused: Vec<String>,
    committables: Vec<StoredCommittable>,
    tries: u32,
}

impl World {
    pub(super) fn take_snapshot(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
        checkpoint: CheckpointId,
    ) -> Upload {
        let mut upload = Upload {
            state: None,
            large: false,
            reused: Vec::new(),
            committables: Vec::new(),
            tries: 0,
        };
        let state = OperatorSubtaskState {
            operator: uid(attempt.vertex.0),
            own: true,
            ..OperatorSubtaskState::default()
        };
        match &mut flow.role {
            Role::Reader { received, open, .. } => {
                let content = Content::Reader {
                    received: *received,
                    open: open.clone(),
                };
                upload.state = Some(OperatorSubtaskState {
                    state: Some(handle(self.flows.write(content))),
                    ..state
                });
            }
            Role::Counter(counts) => {
                let content = Content::Counts(counts.clone());
                let (subtask, parallelism) = self.place_of(process.0, attempt);
                let (first_key_group, key_groups) = key_groups_of(subtask, parallelism, 128);
                upload.state = Some(OperatorSubtaskState {
                    keyed: Some(handle(self.flows.write(content))),
                    first_key_group,
                    key_groups,
                    ..state
                });
                upload.large = true;
                let confirmed = flow.confirmed.iter();
                let random = &mut self.random;
                upload.reused = confirmed.filter(|_| random.percent(70)).cloned().collect();
            }
            Role::Sink { open, prepared } => {
                let records = std::mem::take(open);
                let mut handed = std::mem::take(prepared);
                let new = self.committable(attempt, records);
                handed.extend(new.map(|committable| (checkpoint, committable)));
                upload.committables = handed.iter().map(|(_, it)| it.clone()).collect();
                if let Role::Sink { prepared, .. } = &mut flow.role {
                    *prepared = handed;
                }
            }
            Role::Map => (),
        }
        upload
    }

    /// A worker has had the time to store a snapshot.
    pub(crate) fn snapshot_stored(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        mut upload: Upload,
    ) {
        let Some(worker) = self.processes.get(process) else {
            return;
        };
        if worker.aborted.contains(&checkpoint) {
            return;
        }
        let Some((directory, full)) = worker.triggers.get(&checkpoint).cloned() else {
            // The barrier was faster than the JobMaster's word.
            upload.tries += 1;
            if upload.tries < TRIES {
                let again = Happening::SnapshotStored(process.clone(), attempt, checkpoint, upload);
                self.after(std::time::Duration::from_millis(100), again);
            }
            return;
        };
        if self.trouble() {
            if self.random.percent(50) {
                self.decline(process, attempt, checkpoint, "disk full");
            }
            return; // Or it is lost.
        }
        match self.write_snapshot(&directory, full, upload) {
            Some((snapshot, shared)) => {
                self.note_stored(process.0, checkpoint, attempt);
                self.with_flow(process, attempt, |flow| {
                    flow.files.insert(checkpoint, shared);
                });
                self.answer(
                    process,
                    JobEvent::CheckpointAcknowledged {
                        attempt,
                        checkpoint,
                        snapshot,
                    },
                );
            }
            None => self.decline(process, attempt, checkpoint, "the storage does not answer"),
        }
    }

    /// The snapshot with its handles, and its shared files.
    fn write_snapshot(
        &mut self,
        directory: &str,
        full: bool,
        upload: Upload,
    ) -> Option<(SubtaskSnapshot, Vec<String>)> {
        if !self.flows.storage.works(self.now) {
            return None;
        }
        let mut operators: Vec<OperatorSubtaskState> = upload.state.into_iter().collect();
        let mut shared = Vec::new();
        if upload.large {
            let number = self.flows.storage.unique();
            let alone = full || self.random.percent(40);
            let (name, path) = if alone {
                (format!("p{number}"), format!("{directory}/p{number}"))
            } else {
                (format!("/shared/{number}"), format!("/shared/{number}"))
            };
            if !self.flows.storage.write_file(&path) {
                return None;
            }
            if !alone {
                shared.push(name.clone());
            }
            if let Some(keyed) = operators.first_mut().and_then(|it| it.keyed.as_mut()) {
                keyed.file = name;
            }
            if !full {
                shared.extend(upload.reused);
            }
        }
        // Further files of the same state: they hold no key group of their own in this model.
        let further = shared.iter().map(|file| OperatorSubtaskState {
            operator: operators[0].operator.clone(),
            keyed: Some(StateHandle {
                file: file.clone(),
                ..StateHandle::default()
            }),
            ..OperatorSubtaskState::default()
        });
        let further: Vec<OperatorSubtaskState> = further.collect();
        operators.extend(further);
        let snapshot = SubtaskSnapshot {
            operators,
            committables: upload.committables,
            bytes: 1,
            ..SubtaskSnapshot::default()
        };
        Some((snapshot, shared))
    }

    fn decline(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        why: &str,
    ) {
        self.answer(
            process,
            JobEvent::CheckpointDeclined {
                attempt,
                checkpoint,
                failure: Failure::new(FailureClass::Transient, why),
            },
        );
    }
}

fn handle(place: u64) -> StateHandle {
    StateHandle {
        inline: vec![1],
        offset: place,
        ..StateHandle::default()
    }
}
