//! Jobs that take checkpoints, and what happens to these.

use std::time::Duration;

use flott_model::{
    CheckpointId, CheckpointMetadata, EnumeratorState, ExecutionState, Failure, JobGraph,
    ShipStrategy, SnapshotKind, StateHandle, StoredCommittable, SubtaskSnapshot,
};

use super::{Script, attempt, edge, graph, settings, transient, uid};
use crate::checkpoint::{CheckpointSettings, Origin};
use crate::job::message::{JobAction, JobEvent, RestartStrategy, Timer};

/// A checkpoint every ten seconds.
pub(in crate::job) fn every_ten_seconds() -> CheckpointSettings {
    CheckpointSettings {
        interval: Some(Duration::from_secs(10)),
        ..CheckpointSettings::default()
    }
}

/// What a subtask hands over: a file, and what its sinks want committed.
pub(in crate::job) fn snapshot(file: &str, committables: &[StoredCommittable]) -> SubtaskSnapshot {
    let state = flott_model::OperatorSubtaskState {
        operator: uid(0),
        state: Some(StateHandle {
            file: file.to_owned(),
            ..StateHandle::default()
        }),
        ..flott_model::OperatorSubtaskState::default()
    };
    SubtaskSnapshot {
        operators: if file.is_empty() { vec![] } else { vec![state] },
        committables: committables.to_vec(),
        bytes: 100,
        ..SubtaskSnapshot::default()
    }
}

/// Without what only views want to know.
pub(in crate::job) fn decisions(actions: Vec<String>) -> Vec<String> {
    let shown = |action: &String| !action.starts_with('v') && !action.starts_with("changed");
    actions.into_iter().filter(shown).collect()
}

impl Script {
    /// [`Script::two_by_two`], running on a#0 and b#1 with checkpoints, restarted nine times.
    pub(in crate::job) fn checkpointing(checkpoints: CheckpointSettings) -> Self {
        let edges = [edge(0, 1, ShipStrategy::Hash)];
        Self::checkpointing_graph(checkpoints, &graph(&[("source", 2), ("sink", 2)], &edges))
    }

    /// A job on a#0 and b#1 with a slot each, with checkpoints.
    pub(in crate::job) fn checkpointing_graph(
        checkpoints: CheckpointSettings,
        graph: &JobGraph,
    ) -> Self {
        let mut script = Self::beginning(checkpoints, graph, Origin::default());
        script.start_on_two();
        script.run_all();
        script
    }

    pub(in crate::job) fn beginning(
        checkpoints: CheckpointSettings,
        graph: &JobGraph,
        origin: Origin,
    ) -> Self {
        let strategy = RestartStrategy::FixedDelay {
            attempts: 9,
            delay: Duration::from_secs(5),
        };
        let mut settings = settings(strategy);
        settings.checkpoints = checkpoints;
        Self::of(settings, graph, origin)
    }

    pub(in crate::job) fn start_on_two(&mut self) -> Vec<String> {
        let mut actions = self.send(JobEvent::Started);
        actions.extend(self.grant("a@h1:0 b@h2:0"));
        actions.extend(self.register("a#0"));
        actions.extend(self.register("b#1"));
        actions
    }

    /// Every task that was deployed runs.
    pub(in crate::job) fn run_all(&mut self) -> Vec<String> {
        let deploying: Vec<_> = self
            .core
            .executions()
            .filter(|it| it.state == ExecutionState::Deploying)
            .map(|it| it.attempt)
            .collect();
        let mut actions = Vec::new();
        for attempt in deploying {
            actions.extend(self.task_with(attempt, ExecutionState::Running, None, Vec::new()));
        }
        decisions(actions)
    }

    /// It is time for a periodic checkpoint.
    pub(in crate::job) fn due(&mut self, number: u64, seconds: u64) -> Vec<String> {
        self.seconds = seconds;
        decisions(self.fire(Timer::CheckpointDue(number)))
    }

    pub(in crate::job) fn opened(&mut self, checkpoint: u64) -> Vec<String> {
        self.place(checkpoint, Ok(format!("/c/chk-{checkpoint}")))
    }

    pub(in crate::job) fn place(
        &mut self,
        checkpoint: u64,
        result: Result<String, Failure>,
    ) -> Vec<String> {
        decisions(self.send(JobEvent::CheckpointOpened {
            checkpoint: CheckpointId(checkpoint),
            timestamp_ms: 7,
            result,
        }))
    }

    pub(in crate::job) fn ack(&mut self, text: &str, checkpoint: u64) -> Vec<String> {
        let mut actions = Vec::new();
        for name in text.split_whitespace() {
            actions.extend(self.ack_with(name, checkpoint, snapshot("", &[])));
        }
        actions
    }

    pub(in crate::job) fn ack_with(
        &mut self,
        text: &str,
        checkpoint: u64,
        snapshot: SubtaskSnapshot,
    ) -> Vec<String> {
        decisions(self.send(JobEvent::CheckpointAcknowledged {
            attempt: attempt(text),
            checkpoint: CheckpointId(checkpoint),
            snapshot,
        }))
    }

    pub(in crate::job) fn decline(&mut self, text: &str, checkpoint: u64) -> Vec<String> {
        decisions(self.send(JobEvent::CheckpointDeclined {
            attempt: attempt(text),
            checkpoint: CheckpointId(checkpoint),
            failure: transient("disk full"),
        }))
    }

    pub(in crate::job) fn enumerators(&mut self, checkpoint: u64, state: &[u8]) -> Vec<String> {
        let state = EnumeratorState {
            operator: uid(0),
            state: state.to_vec(),
        };
        decisions(self.send(JobEvent::EnumeratorsSnapshotted {
            checkpoint: CheckpointId(checkpoint),
            worker: None,
            result: Ok(vec![state]),
        }))
    }

    pub(in crate::job) fn stored(&mut self, checkpoint: u64) -> Vec<String> {
        let path = format!("/c/chk-{checkpoint}");
        self.metadata(checkpoint, Ok(path))
    }

    pub(in crate::job) fn metadata(
        &mut self,
        checkpoint: u64,
        result: Result<String, Failure>,
    ) -> Vec<String> {
        decisions(self.send(JobEvent::MetadataStored {
            checkpoint: CheckpointId(checkpoint),
            result,
        }))
    }

    pub(in crate::job) fn request(&mut self, request: u64, kind: SnapshotKind) -> Vec<String> {
        self.request_with(request, kind, false)
    }

    pub(in crate::job) fn request_with(
        &mut self,
        request: u64,
        kind: SnapshotKind,
        cancel: bool,
    ) -> Vec<String> {
        let directory = kind.is_savepoint().then(|| "/s".to_owned());
        decisions(self.send(JobEvent::SnapshotRequested {
            request,
            kind,
            directory,
            cancel,
        }))
    }

    /// From its place to the writing of its metadata, by all present attempts that run.
    pub(in crate::job) fn hand_over(&mut self, checkpoint: u64) -> Vec<String> {
        self.opened(checkpoint);
        let running: Vec<_> = self
            .core
            .executions()
            .filter(|it| it.state == ExecutionState::Running)
            .map(|it| it.attempt)
            .collect();
        for attempt in running {
            self.send(JobEvent::CheckpointAcknowledged {
                attempt,
                checkpoint: CheckpointId(checkpoint),
                snapshot: snapshot("", &[]),
            });
        }
        self.enumerators(checkpoint, b"e")
    }

    /// From its place to its end.
    pub(in crate::job) fn complete(&mut self, checkpoint: u64) -> Vec<String> {
        self.hand_over(checkpoint);
        self.stored(checkpoint)
    }

    /// The metadata that an event leads to.
    pub(in crate::job) fn metadata_after(&mut self, event: JobEvent) -> Vec<CheckpointMetadata> {
        let now = Duration::from_secs(self.seconds);
        let mut found = Vec::new();
        for action in self.core.handle(now, event) {
            if let JobAction::StoreMetadata { metadata, .. } = action {
                found.push((*metadata).clone());
            }
        }
        found
    }
}
