//! What sources say to the coordinator of the job and back, seen from one worker: delivered here, or
//! relayed by the JobMaster.

use std::sync::Arc;

use flott_filesystem::FileSystems;
use flott_model::{CheckpointId, ExecutionAttemptId};
use flott_operators::TaskError;
use flott_operators::source::Coordination;
use flott_protocol::message::{
    Coordinate, EndCheckpoint, EnumeratorsSnapshotted, RunCoordinator, SnapshotEnumerators,
    WorkerMessage, WorkerSpec, worker_message,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::coordinator::Coordinator;
use crate::plan::Plan;

/// Where a message is to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To a subtask of this worker.
    Deliver(Coordinate),
    /// To the JobMaster.
    Relay(Coordinate),
    /// To the JobMaster, which keeps it, and to a subtask of this worker.
    Both(Coordinate),
    /// It was taken.
    Done,
}

/// Gives tasks their connections to the coordinator.
#[derive(Clone)]
pub(super) struct Ports {
    requests: UnboundedSender<Coordinate>,
    host: String,
    container: String,
    incarnation: u64,
}

impl Ports {
    pub(super) fn of_task(&self, attempt: ExecutionAttemptId) -> Coordination {
        let ports = self.clone();
        Coordination::new(&self.host, move |operator, payload| {
            // Nobody wants it when the worker ends.
            let _ = ports.requests.send(Coordinate {
                operator,
                attempt: attempt.into(),
                container: ports.container.clone(),
                incarnation: ports.incarnation,
                payload,
                journal: false,
            });
        })
    }
}

/// The messages of one worker.
pub(super) struct Exchange {
    ports: Ports,
    // Bounded by the subtasks: each has one question at a time, and reports rarely.
    requests: UnboundedReceiver<Coordinate>,
    answers: UnboundedReceiver<Coordinate>,
    answer: UnboundedSender<Coordinate>,
    coordinator: Option<Coordinator>,
}

impl Exchange {
    pub(super) fn new(spec: &WorkerSpec) -> Self {
        let (request, requests) = unbounded_channel();
        let (answer, answers) = unbounded_channel();
        Self {
            ports: Ports {
                requests: request,
                host: spec.host.clone(),
                container: spec.container.clone(),
                incarnation: spec.incarnation,
            },
            requests,
            answers,
            answer,
            coordinator: None,
        }
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// This worker coordinates from now on.
    pub(super) fn begin(
        &mut self,
        start: RunCoordinator,
        plan: &Arc<Plan>,
        files: Arc<FileSystems>,
    ) {
        if start.anew || self.coordinator.is_none() {
            let (plan, answer) = (Arc::clone(plan), self.answer.clone());
            self.coordinator = Some(Coordinator::new(plan, files, start, answer));
        }
    }

    /// Answers with the states of the enumerators.
    pub(super) fn snapshot(
        &mut self,
        ask: SnapshotEnumerators,
        messages: mpsc::Sender<WorkerMessage>,
    ) {
        let received = ask.received.iter();
        let received = received.map(|one| (one.attempt.into(), one.splits));
        let checkpoint = CheckpointId(ask.checkpoint);
        let coordinator = self.coordinator.as_mut();
        let states = coordinator.map(|it| it.snapshot(checkpoint, received.collect()));
        tokio::spawn(async move {
            let result = match states {
                Some(states) => states.await,
                None => Err(TaskError::transient(
                    "this worker does not coordinate the sources of the job",
                )),
            };
            let (states, failure) = match result {
                Ok(states) => (states, None),
                Err(error) => (Vec::new(), Some(error.to_failure())),
            };
            let kind = worker_message::Kind::Enumerators(EnumeratorsSnapshotted {
                checkpoint: ask.checkpoint,
                states,
                failure,
            });
            // Nobody wants to know when the worker ends.
            let _ = messages.send(WorkerMessage { kind: Some(kind) }).await;
        });
    }

    /// A checkpoint is complete, or was given up.
    pub(super) fn checkpoint_ended(&self, end: EndCheckpoint) {
        if let Some(coordinator) = &self.coordinator {
            coordinator.checkpoint_ended(CheckpointId(end.checkpoint), end.completed);
        }
    }

    /// The next message of this worker's tasks or coordinator.
    pub(super) async fn next(&mut self) -> Route {
        tokio::select! {
            Some(request) = self.requests.recv() => match &mut self.coordinator {
                Some(coordinator) => {
                    coordinator.take(request);
                    Route::Done
                }
                None => Route::Relay(request),
            },
            Some(answer) = self.answers.recv() => match (self.is_here(&answer), answer.journal) {
                (true, true) => Route::Both(answer),
                (true, false) => Route::Deliver(answer),
                (false, _) => Route::Relay(answer),
            },
        }
    }

    /// A message that the JobMaster relayed.
    pub(super) fn relayed(&mut self, message: Coordinate) -> Route {
        if let Some(coordinator) = &mut self.coordinator {
            // Its own tasks reach it without the JobMaster: this is another worker's question.
            coordinator.take(message);
            Route::Done
        } else if self.is_here(&message) {
            Route::Deliver(message)
        } else {
            Route::Done
        }
    }

    fn is_here(&self, message: &Coordinate) -> bool {
        message.container == self.ports.container && message.incarnation == self.ports.incarnation
    }
}
