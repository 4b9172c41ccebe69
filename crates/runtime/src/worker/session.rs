//! A registered worker: what it does with each message, and with what its own tasks say.

use std::sync::Arc;
use std::time::Duration;

use flott_model::ExecutionAttemptId;
use flott_network::Network;
use flott_operators::checkpoint::{CheckpointRequest, TaskSnapshot};
use flott_protocol::message::{
    BeginCheckpoint, CollectedFrame, EndCheckpoint, RegisterWorker, TaskDescriptor, WorkerMessage,
    WorkerReport, WorkerSpec, worker_command, worker_message,
};
use futures::future::join_all;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::checkpoints::{Checkpoints, Restored, Snapshotted, fetch};
use super::collected::Collects;
use super::coordination::{Exchange, Route};
use super::state::LocalState;
use super::tasks::{Ended, Fetched, Tasks};
use super::{WorkerError, commit, configuration, file_systems, inspect, network_settings};
use crate::plan::Plan;
use crate::scheduler::Scheduler;

/// Reports go out this often until the JobMaster says otherwise.
const FIRST_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Meters look at their counts this often; they keep one count for every five seconds.
const METER_INTERVAL: Duration = Duration::from_secs(1);

/// The JobMaster does not listen any more.
pub(super) struct Lost;

/// A registered worker.
pub(super) struct Session {
    pub(super) tasks: Tasks,
    pub(super) exchange: Exchange,
    pub(super) checkpoints: Checkpoints,
    // Bounded by deployments.
    fetched: mpsc::UnboundedSender<Vec<Fetched>>,
    plan: Arc<Plan>,
    messages: mpsc::Sender<WorkerMessage>,
    pub(super) report: tokio::time::Interval,
    pub(super) meters: tokio::time::Interval,
}

/// What comes to a session from its own worker.
pub(super) struct Inputs {
    pub(super) collected: mpsc::UnboundedReceiver<CollectedFrame>,
    pub(super) ended: mpsc::UnboundedReceiver<Ended>,
    pub(super) fetched: mpsc::UnboundedReceiver<Vec<Fetched>>,
}

impl Session {
    /// Opens the data plane and starts the threads. With what to register with.
    pub(super) fn start(
        spec: WorkerSpec,
        plan: Arc<Plan>,
        messages: mpsc::Sender<WorkerMessage>,
    ) -> Result<(Self, Inputs, RegisterWorker), WorkerError> {
        let configuration = configuration(&spec)?;
        let network = network_settings(&spec, &configuration);
        let network = Network::start(network).map_err(WorkerError::Network)?;
        let scheduler =
            Scheduler::start(spec.threads.max(1) as usize).map_err(WorkerError::Threads)?;
        let files = file_systems(&spec)?;
        let register = RegisterWorker {
            job: spec.job.clone(),
            container: spec.container.clone(),
            incarnation: spec.incarnation,
            data_address: network.address().to_owned(),
            pid: std::process::id(),
        };
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let (tell_fetched, fetched) = mpsc::unbounded_channel();
        let exchange = Exchange::new(&spec);
        let (collects, collected) = Collects::new();
        let checkpoints = Checkpoints::new(Arc::clone(&files), &configuration, messages.clone());
        let local_state = LocalState::of(&spec, &configuration)?;
        let tasks = Tasks::new(
            spec,
            Arc::clone(&plan),
            network,
            scheduler,
            (files, local_state),
            (tell_ended, checkpoints.sender()),
            (exchange.ports(), collects),
        );
        let session = Self {
            tasks,
            exchange,
            checkpoints,
            fetched: tell_fetched,
            plan,
            messages,
            report: report_timer(FIRST_REPORT_INTERVAL),
            meters: report_timer(METER_INTERVAL),
        };
        let inputs = Inputs {
            collected,
            ended,
            fetched,
        };
        Ok((session, inputs, register))
    }
    pub(super) async fn say(&self, kind: worker_message::Kind) -> Result<(), Lost> {
        self.messages
            .send(WorkerMessage { kind: Some(kind) })
            .await
            .map_err(|_| Lost)
    }

    async fn say_all(&self, kinds: Vec<worker_message::Kind>) -> Result<(), Lost> {
        for kind in kinds {
            self.say(kind).await?;
        }
        Ok(())
    }

    pub(super) async fn task_ended(&mut self, ended: Ended) -> Result<(), Lost> {
        match self.tasks.ended(ended, &mut self.checkpoints) {
            Some(report) => self.say(report).await,
            None => Ok(()),
        }
    }

    /// Takes a message of a source or of the coordinator where it is to go.
    pub(super) async fn coordinate(&mut self, route: Route) -> Result<(), Lost> {
        match route {
            Route::Done => Ok(()),
            Route::Deliver(message) => {
                self.tasks.deliver(message);
                Ok(())
            }
            Route::Relay(message) => self.say(worker_message::Kind::Coordinate(message)).await,
            Route::Both(message) => {
                let kept = worker_message::Kind::Coordinate(message.clone());
                self.say(kept).await?;
                self.tasks.deliver(message);
                Ok(())
            }
        }
    }

    pub(super) async fn report(&self) -> Result<(), Lost> {
        let report = WorkerReport {
            tasks: self.tasks.metrics(),
        };
        self.say(worker_message::Kind::Report(report)).await
    }

    /// Starts tasks that have what they begin from.
    pub(super) async fn deploy(&mut self, tasks: Vec<Fetched>) -> Result<(), Lost> {
        let reports = self.tasks.deploy(tasks);
        self.say_all(reports).await
    }

    /// Takes tasks, and starts them when the state they begin from is here.
    async fn take(&mut self, tasks: Vec<TaskDescriptor>) -> Result<(), Lost> {
        let (tasks, reports) = self.tasks.take(tasks);
        self.say_all(reports).await?;
        if tasks.iter().all(|task| task.restore.is_none()) {
            let tasks = tasks.into_iter();
            let fresh = tasks.map(|task| (task, Ok(Restored::default())));
            return self.deploy(fresh.collect()).await;
        }
        let from = self.tasks.restore_from();
        let reads = tasks.into_iter().map(|mut task| {
            let (from, place) = (from.clone(), self.tasks.place(task.attempt.into()));
            async move {
                let restored = match task.restore.take() {
                    Some(restore) => fetch(from, place, restore).await,
                    None => Ok(Restored::default()),
                };
                (task, restored)
            }
        });
        let (reads, fetched) = (join_all(reads), self.fetched.clone());
        tokio::spawn(async move {
            // Nobody wants them when the worker ends.
            let _ = fetched.send(reads.await);
        });
        Ok(())
    }

    pub(super) fn snapshotted(&mut self, attempt: ExecutionAttemptId, snapshot: TaskSnapshot) {
        self.checkpoints.store(Snapshotted {
            place: self.tasks.place(attempt),
            snapshot,
            committables: Vec::new(),
        });
    }

    fn begin_checkpoint(&mut self, begin: &BeginCheckpoint) {
        if let Some(barrier) = self.checkpoints.begin(begin) {
            for attempt in &begin.attempts {
                let request = CheckpointRequest::Begin(barrier);
                self.tasks.tell((*attempt).into(), request);
            }
        }
    }

    fn end_checkpoint(&mut self, end: EndCheckpoint) {
        if let Some(request) = self.checkpoints.end(end) {
            let attempts: Vec<ExecutionAttemptId> = self.tasks.attempts().collect();
            for attempt in attempts {
                self.tasks.tell(attempt, request);
            }
        } else if end.stop {
            self.tasks.finish_all();
        }
        self.exchange.checkpoint_ended(end);
    }

    pub(super) async fn obey(&mut self, command: worker_command::Kind) -> Result<(), Lost> {
        match command {
            worker_command::Kind::Registered(registered) => {
                let interval = Duration::from_millis(registered.heartbeat_interval_ms);
                self.report = report_timer(interval.max(Duration::from_millis(10)));
                Ok(())
            }
            worker_command::Kind::Commit(request) => {
                commit::spawn(
                    request,
                    &self.plan,
                    self.tasks.files(),
                    self.messages.clone(),
                );
                Ok(())
            }
            worker_command::Kind::Coordinate(message) => {
                let route = self.exchange.relayed(message);
                self.coordinate(route).await
            }
            worker_command::Kind::Deploy(deploy) => {
                if let Some(start) = deploy.coordinator {
                    self.exchange.begin(start, &self.plan, self.tasks.files());
                }
                self.take(deploy.tasks).await
            }
            worker_command::Kind::BeginCheckpoint(begin) => {
                self.begin_checkpoint(&begin);
                Ok(())
            }
            worker_command::Kind::EndCheckpoint(end) => {
                self.end_checkpoint(end);
                Ok(())
            }
            worker_command::Kind::SnapshotEnumerators(ask) => {
                self.exchange.snapshot(ask, self.messages.clone());
                Ok(())
            }
            worker_command::Kind::Cancel(cancel) => {
                let reports = self.tasks.cancel(&cancel.attempts);
                self.say_all(reports).await
            }
            worker_command::Kind::CollectedTaken(message) => {
                self.tasks.taken(message);
                Ok(())
            }
            worker_command::Kind::Inspect(request) => {
                inspect::spawn(request, self.tasks.observed(), self.messages.clone());
                Ok(())
            }
            // Ends the session where it is received.
            worker_command::Kind::Stop(_) => Err(Lost),
        }
    }
}

fn report_timer(interval: Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
