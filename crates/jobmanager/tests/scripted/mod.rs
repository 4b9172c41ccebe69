//! Workers that do as a script says, in place of real ones.

#![allow(dead_code, reason = "each test uses its part of this module")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flott_config::Configuration;
use flott_jobmanager::{DispatcherSettings, WorkerFactory};
use flott_model::{
    ExecutionState, Failure, FailureClass, JobEdge, JobGraph, JobVertex, PROTOCOL_VERSION,
    ShipStrategy, StoredCommittable,
};
use flott_protocol::message::{
    AttemptId, CommitResult, RegisterWorker, TaskDescriptor, TaskMetrics, TaskReport,
    WorkerCommand, WorkerMessage, WorkerReport, WorkerSpec, worker_command, worker_message,
};
use flott_protocol::rpc::Secret;
use tokio::sync::mpsc;

/// What a task does once it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behaviour {
    Finish,
    Fail(&'static str),
    /// Runs until cancelled.
    Run,
    /// Its worker ends without a word.
    Die,
    /// Its worker says nothing any more, but stays connected.
    FallSilent,
}

pub(crate) struct Script {
    behaviour: Box<dyn Fn(AttemptId) -> Behaviour + Send + Sync>,
    unfit: Mutex<Option<Failure>>,
    committed: AtomicUsize,
    live: AtomicUsize,
}

impl Script {
    pub(crate) fn new(
        behaviour: impl Fn(AttemptId) -> Behaviour + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            behaviour: Box::new(behaviour),
            unfit: Mutex::default(),
            committed: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
        })
    }

    pub(crate) fn unfit(&self, failure: Failure) {
        *self.unfit.lock().unwrap() = Some(failure);
    }

    pub(crate) fn committed(&self) -> usize {
        self.committed.load(Ordering::SeqCst)
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    pub(crate) fn factory(self: &Arc<Self>) -> WorkerFactory {
        let script = Arc::clone(self);
        Arc::new(move |spec, messages, commands| {
            let script = Arc::clone(&script);
            script.live.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                script.work(spec, &messages, commands).await;
                script.live.fetch_sub(1, Ordering::SeqCst);
            });
        })
    }

    async fn work(
        &self,
        spec: WorkerSpec,
        messages: &mpsc::Sender<WorkerMessage>,
        mut commands: mpsc::Receiver<WorkerCommand>,
    ) {
        let send = async |kind| {
            let _ = messages.send(WorkerMessage { kind: Some(kind) }).await;
        };
        send(worker_message::Kind::Register(RegisterWorker {
            job: spec.job,
            container: spec.container,
            incarnation: spec.incarnation,
            data_address: "127.0.0.1:1".to_owned(),
            pid: 1,
        }))
        .await;
        let unfit = self.unfit.lock().unwrap().clone();
        if let Some(failure) = unfit {
            return send(worker_message::Kind::Unfit(failure)).await;
        }
        let mut heartbeat = tokio::time::interval(Duration::from_millis(50));
        let mut silent = false;
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = heartbeat.tick(), if !silent => {
                    send(worker_message::Kind::Report(WorkerReport::default())).await;
                    continue;
                }
            };
            match command.map(|command| command.kind.unwrap()) {
                None | Some(worker_command::Kind::Stop(_)) => return,
                Some(
                    worker_command::Kind::Registered(_)
                    | worker_command::Kind::Inspect(_)
                    | worker_command::Kind::CollectedTaken(_)
                    | worker_command::Kind::BeginCheckpoint(_)
                    | worker_command::Kind::EndCheckpoint(_)
                    | worker_command::Kind::SnapshotEnumerators(_)
                    | worker_command::Kind::Coordinate(_),
                ) => (),
                Some(worker_command::Kind::Deploy(deploy)) => {
                    for task in deploy.tasks {
                        match (self.behaviour)(task.attempt) {
                            Behaviour::Die => return,
                            Behaviour::FallSilent => silent = true,
                            behaviour => {
                                for report in reports(&task, behaviour) {
                                    send(worker_message::Kind::Task(report)).await;
                                }
                            }
                        }
                    }
                }
                Some(worker_command::Kind::Cancel(cancel)) => {
                    for attempt in cancel.attempts {
                        let report = report(attempt, ExecutionState::Canceled);
                        send(worker_message::Kind::Task(report)).await;
                    }
                }
                Some(worker_command::Kind::Commit(commit)) => {
                    self.committed
                        .fetch_add(commit.outputs.len(), Ordering::SeqCst);
                    let result = CommitResult {
                        round: commit.round,
                        failure: None,
                    };
                    send(worker_message::Kind::Committed(result)).await;
                }
            }
        }
    }
}

fn report(attempt: AttemptId, state: ExecutionState) -> TaskReport {
    TaskReport {
        attempt,
        state: state.number(),
        ..TaskReport::default()
    }
}

fn reports(task: &TaskDescriptor, behaviour: Behaviour) -> Vec<TaskReport> {
    let mut reports = vec![
        report(task.attempt, ExecutionState::Initializing),
        report(task.attempt, ExecutionState::Running),
    ];
    match behaviour {
        Behaviour::Fail(message) => {
            let failure = Failure::new(FailureClass::UserCode, message);
            let failed = report(task.attempt, ExecutionState::Failed);
            reports.push(TaskReport {
                failure: Some(failure),
                ..failed
            });
        }
        Behaviour::Finish => {
            let committable = StoredCommittable {
                operator: vec![0; 16],
                ..StoredCommittable::default()
            };
            let is_sink = task.outputs.is_empty();
            reports.push(TaskReport {
                committables: if is_sink { vec![committable] } else { vec![] },
                metrics: Some(TaskMetrics {
                    records_in: 42,
                    ..TaskMetrics::default()
                }),
                ..report(task.attempt, ExecutionState::Finished)
            });
        }
        Behaviour::Run | Behaviour::Die | Behaviour::FallSilent => (),
    }
    reports
}

/// source → sink, by key.
pub(crate) fn graph(parallelism: u32, execute_index: u32) -> JobGraph {
    let vertex = |name: &str| JobVertex {
        name: name.to_owned(),
        parallelism,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
        ..JobVertex::default()
    };
    let ship = ShipStrategy::Hash.into();
    JobGraph {
        name: "scripted".to_owned(),
        vertices: vec![vertex("source"), vertex("sink")],
        edges: vec![JobEdge {
            source: 0,
            target: 1,
            ship,
            ..JobEdge::default()
        }],
        execute_index,
        protocol_version: PROTOCOL_VERSION,
        ..JobGraph::default()
    }
}

pub(crate) fn settings(restarts: u32) -> DispatcherSettings {
    let strategy = if restarts == 0 { "none" } else { "fixed-delay" };
    let texts = [
        ("heartbeat.interval", "100 ms"),
        ("heartbeat.timeout", "800 ms"),
        ("restart-strategy.type", strategy),
        (
            "restart-strategy.fixed-delay.attempts",
            &restarts.to_string(),
        ),
        ("restart-strategy.fixed-delay.delay", "10 ms"),
    ];
    let map = texts
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let configuration = Configuration::from_map(map).unwrap();
    DispatcherSettings::new("test", Secret::new(b"test"), configuration)
}
