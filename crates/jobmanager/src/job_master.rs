//! The shell of one job: a task that takes events, lets the core decide, and does what it says.

mod checkpoint;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flott_coordination::Timestamp;
use flott_coordination::job::{
    JobAction, JobCore, JobEvent, SlotOffer, TaskDeployment, Timer, WorkerId,
};
use flott_model::{
    ContainerId, ExecutionState, Failure, FailureClass, Incarnation, JobId, JobStatus,
};
use flott_protocol::message::{
    CancelTasks, CommitOutputs, Coordinate, DeployTasks, StopWorker, StopWorkerProcess, TaskReport,
    WorkerCommand, WorkerRegistered, worker_command, worker_message,
};
use tokio::sync::mpsc;

use crate::checkpoints::{CheckpointStorage, JobCheckpoints, SnapshotWish, StorageQueue};
use crate::collected::CollectedRecords;
use crate::connections::ConnectionId;
use crate::coordination::{Coordination, Relay};
use crate::deployment::{PartitionAddresses, descriptor};
use crate::inspect::{Inspections, Question};
use crate::launch::WorkerLaunch;
use crate::resource_manager::ResourceInput;
use crate::settings::WORKER_RECONNECT_GRACE;
use crate::timers::Timers;
use crate::view::JobView;

/// What users and workers have to say to a job.
#[derive(Debug)]
pub(crate) enum JobInput {
    WorkerConnected {
        connection: ConnectionId,
        worker: WorkerId,
        data_address: String,
        commands: mpsc::Sender<WorkerCommand>,
    },
    Worker {
        connection: ConnectionId,
        worker: WorkerId,
        // In a box because it is much larger than the other inputs.
        message: Box<worker_message::Kind>,
    },
    WorkerClosed {
        connection: ConnectionId,
        worker: WorkerId,
    },
    Cancel,
    /// Somebody wants a savepoint or a checkpoint.
    Snapshot(SnapshotWish),
    /// The program has taken collected records.
    CollectedTaken,
    /// Somebody wants to know what the tasks are doing.
    Inspect(Question),
    /// The JobManager ends: leave the job as it is.
    Suspend,
}

/// What the ResourceManager has to say to a job.
#[derive(Debug)]
pub(crate) enum ResourceOutput {
    Granted {
        offers: Vec<SlotOffer>,
        /// Of the containers they are in.
        partition_addresses: PartitionAddresses,
    },
    Unavailable(Failure),
    ContainerLost {
        container: ContainerId,
        failure: Failure,
    },
    WorkerExited {
        container: ContainerId,
        incarnation: Incarnation,
        failure: Failure,
    },
}

#[derive(Debug)]
enum JobTimer {
    Core(Timer),
    /// The connection was not replaced.
    Reconnect(WorkerId, ConnectionId),
    /// Look for silent workers.
    Liveness,
}

#[derive(Debug)]
struct Worker {
    connection: ConnectionId,
    /// `None` while the connection is lost.
    commands: Option<mpsc::Sender<WorkerCommand>>,
    last_heard: Timestamp,
}

/// What a JobMaster is made of.
pub(crate) struct JobMaster {
    pub(crate) id: JobId,
    pub(crate) core: JobCore,
    pub(crate) view: JobView,
    pub(crate) launch: WorkerLaunch,
    pub(crate) resource_manager: mpsc::Sender<ResourceInput>,
    /// What the job collects for its program.
    pub(crate) collected: Arc<CollectedRecords>,
    /// Where its checkpoints go.
    pub(crate) storage: CheckpointStorage,
    /// Whether lost enumerators begin from a checkpoint, not from what was assigned.
    pub(crate) has_checkpoints: bool,
}

/// Runs a job to its end, or until it is suspended.
pub(crate) async fn run(
    master: JobMaster,
    mut inbox: mpsc::Receiver<JobInput>,
    mut resources: mpsc::UnboundedReceiver<ResourceOutput>,
) {
    let storage = StorageQueue::start(master.storage.clone());
    let coordination = Coordination::new(!master.has_checkpoints);
    let mut shell = Shell {
        master,
        checkpoints: JobCheckpoints::new(storage),
        workers: BTreeMap::new(),
        timers: Timers::new(),
        pending: VecDeque::new(),
        partition_addresses: PartitionAddresses::new(),
        inspections: Inspections::default(),
        coordination,
        suspended: false,
    };
    shell.start().await;
    while !shell.is_over() {
        // The ResourceManager first: the agent's word on an exit beats a closed connection.
        tokio::select! {
            biased;
            Some(output) = resources.recv() => shell.on_resource(output),
            input = inbox.recv() => match input {
                Some(input) => shell.on_input(input),
                None => shell.suspended = true,
            },
            timer = shell.timers.next() => shell.on_timer(timer),
            Some(event) = shell.checkpoints.storage.next() => shell.on_storage(event),
        }
        shell.settle().await;
    }
    shell.end();
    shell.checkpoints.storage.close().await;
}

struct Shell {
    master: JobMaster,
    workers: BTreeMap<WorkerId, Worker>,
    timers: Timers<JobTimer>,
    /// Events that wait for the core.
    pending: VecDeque<JobEvent>,
    partition_addresses: PartitionAddresses,
    inspections: Inspections,
    /// Of the sources.
    coordination: Coordination,
    checkpoints: JobCheckpoints,
    suspended: bool,
}

impl Shell {
    fn is_over(&self) -> bool {
        self.suspended || self.master.core.status().is_terminal()
    }

    async fn start(&mut self) {
        self.master
            .view
            .status_changed(&self.master.core, JobStatus::Created, None);
        self.timers
            .schedule(JobTimer::Liveness, self.liveness_period());
        self.pending.push_back(JobEvent::Started);
        self.settle().await;
    }

    /// Feeds the core until nothing is left to say.
    async fn settle(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            tracing::debug!(job = %self.master.id, ?event, "event");
            for action in self.master.core.handle(self.timers.now(), event) {
                self.perform(action).await;
            }
        }
    }

    fn end(&mut self) {
        if self.suspended && !self.master.core.status().is_terminal() {
            self.master.view.suspended();
        }
        let workers = std::mem::take(&mut self.workers);
        for worker in workers.into_values() {
            self.tell_to_stop(&worker);
        }
    }

    fn liveness_period(&self) -> Duration {
        self.master.launch.settings.heartbeat_timeout() / 4
    }

    // --- what comes in ---

    fn on_resource(&mut self, output: ResourceOutput) {
        match output {
            ResourceOutput::Granted {
                offers,
                partition_addresses,
            } => {
                self.partition_addresses.extend(partition_addresses);
                self.master.launch.cores.note(&offers);
                for offer in &offers {
                    self.master
                        .view
                        .add_host(&offer.slot.container, &offer.host);
                }
                self.pending.push_back(JobEvent::SlotsGranted(offers));
            }
            ResourceOutput::Unavailable(failure) => {
                self.pending.push_back(JobEvent::SlotsUnavailable(failure));
            }
            ResourceOutput::ContainerLost { container, failure } => {
                let coordinated = self.coordination.container_lost(&container);
                self.enumerators_lost(coordinated, &failure);
                self.workers
                    .retain(|worker, _| worker.container != container);
                self.partition_addresses.remove(&container);
                self.pending
                    .push_back(JobEvent::ContainerLost { container, failure });
            }
            ResourceOutput::WorkerExited {
                container,
                incarnation,
                failure,
            } => {
                self.lose(
                    WorkerId {
                        container,
                        incarnation,
                    },
                    failure,
                );
            }
        }
    }

    fn on_input(&mut self, input: JobInput) {
        match input {
            JobInput::WorkerConnected {
                connection,
                worker,
                data_address,
                commands,
            } => {
                self.connected(connection, worker, data_address, commands);
            }
            JobInput::Worker {
                connection,
                worker,
                message,
            } => {
                let now = self.timers.now();
                match self.workers.get_mut(&worker) {
                    Some(known) if known.connection == connection => known.last_heard = now,
                    _ => return, // A connection that was given up.
                }
                self.on_worker(worker, *message);
            }
            JobInput::WorkerClosed { connection, worker } => {
                let known = self.workers.get_mut(&worker);
                if let Some(known) = known.filter(|known| known.connection == connection) {
                    known.commands = None;
                    let due = self.timers.now() + WORKER_RECONNECT_GRACE;
                    self.timers
                        .schedule(JobTimer::Reconnect(worker, connection), due);
                }
            }
            JobInput::Inspect(question) => {
                let workers = self.workers.values();
                self.inspections.ask(
                    question,
                    workers.filter_map(|worker| worker.commands.as_ref()),
                );
            }
            JobInput::CollectedTaken => {
                if let Some((worker, taken)) = self.master.collected.taken() {
                    self.tell(&worker, worker_command::Kind::CollectedTaken(taken));
                }
            }
            JobInput::Snapshot(wish) => {
                let event = self.checkpoints.wish(wish);
                self.pending.push_back(event);
            }
            JobInput::Cancel => self.pending.push_back(JobEvent::CancelRequested),
            JobInput::Suspend => self.suspended = true,
        }
    }

    fn connected(
        &mut self,
        connection: ConnectionId,
        worker: WorkerId,
        data_address: String,
        commands: mpsc::Sender<WorkerCommand>,
    ) {
        let settings = &self.master.launch.settings;
        let heartbeat =
            u64::try_from(settings.heartbeat_interval().as_millis()).unwrap_or(u64::MAX);
        let registered = WorkerRegistered {
            epoch: settings.epoch.0,
            heartbeat_interval_ms: heartbeat,
        };
        let last_heard = self.timers.now();
        let known = Worker {
            connection,
            commands: Some(commands),
            last_heard,
        };
        self.workers.insert(worker.clone(), known);
        self.tell(&worker, worker_command::Kind::Registered(registered));
        self.pending.push_back(JobEvent::WorkerRegistered {
            worker,
            data_address,
        });
    }

    fn on_worker(&mut self, worker: WorkerId, message: worker_message::Kind) {
        match message {
            // The first message of a connection only.
            worker_message::Kind::Register(_) => (),
            worker_message::Kind::Task(report) => self.on_task(report),
            worker_message::Kind::Report(report) => {
                for metrics in report.tasks {
                    if let Some(attempt) = metrics.attempt {
                        self.master.view.metrics(attempt.into(), metrics);
                    }
                }
            }
            worker_message::Kind::Committed(result) => {
                let (round, failure) = (result.round, result.failure);
                self.pending
                    .push_back(JobEvent::Committed { round, failure });
            }
            worker_message::Kind::Coordinate(message) => self.coordinate(&worker, message),
            worker_message::Kind::Collected(frame) => self.master.collected.arrived(&worker, frame),
            worker_message::Kind::Snapshotted(report) => self.on_snapshot(report),
            worker_message::Kind::Enumerators(answer) => self.on_enumerators(worker, answer),
            worker_message::Kind::Unfit(failure) => self.lose(worker, failure),
            worker_message::Kind::Inspected(part) => self.inspections.answered(worker, part),
        }
    }

    /// Relays what sources and their coordinator say. What finds no way is asked again.
    fn coordinate(&mut self, from: &WorkerId, message: Coordinate) {
        let (worker, message) = match self.coordination.relay(from, message) {
            Relay::Nothing => return,
            Relay::To(worker, message) => (worker, message),
            Relay::NoCoordinator(message) => match self.seat_coordinator() {
                Some(worker) => (worker, message),
                None => return,
            },
        };
        let known = self.workers.get(&worker);
        if let Some(commands) = known.and_then(|known| known.commands.as_ref()) {
            let kind = Some(worker_command::Kind::Coordinate(message));
            if commands.try_send(WorkerCommand { kind }).is_err() {
                tracing::debug!(job = %self.master.id, "a message between sources was dropped");
            }
        }
    }

    /// Has a worker that has its tasks already coordinate the sources.
    fn seat_coordinator(&mut self) -> Option<WorkerId> {
        let mut workers = self.workers.iter();
        let (worker, _) = workers.find(|(_, worker)| worker.commands.is_some())?;
        let worker = worker.clone();
        let deploy = DeployTasks {
            tasks: Vec::new(),
            coordinator: self.coordination.choose(&worker),
        };
        self.tell(&worker, worker_command::Kind::Deploy(deploy));
        Some(worker)
    }

    fn on_task(&mut self, report: TaskReport) {
        let Some(state) = ExecutionState::from_number(report.state) else {
            tracing::warn!(
                state = report.state,
                "a worker reported an unknown task state"
            );
            return;
        };
        if let Some(metrics) = report.metrics {
            self.master.view.metrics(report.attempt.into(), metrics);
        }
        self.master
            .view
            .accumulators(report.attempt.into(), report.accumulators);
        self.pending.push_back(JobEvent::TaskStateChanged {
            attempt: report.attempt.into(),
            state,
            failure: report.failure,
            output: report.committables,
            missing: report
                .missing_partitions
                .into_iter()
                .map(Into::into)
                .collect(),
        });
    }

    fn on_timer(&mut self, timer: JobTimer) {
        match timer {
            JobTimer::Core(timer) => self.pending.push_back(JobEvent::TimerFired(timer)),
            JobTimer::Reconnect(worker, connection) => {
                let known = self.workers.get(&worker);
                if known.is_some_and(|known| known.connection == connection) {
                    let message = "the worker's connection to its JobMaster was lost";
                    self.lose(worker, Failure::new(FailureClass::Transient, message));
                }
            }
            JobTimer::Liveness => {
                self.lose_silent();
                let due = self.timers.now() + self.liveness_period();
                self.timers.schedule(JobTimer::Liveness, due);
            }
        }
    }

    fn lose_silent(&mut self) {
        let now = self.timers.now();
        let timeout = self.master.launch.settings.heartbeat_timeout();
        let silent = self
            .workers
            .iter()
            .filter(|(_, known)| now - known.last_heard > timeout);
        let silent: Vec<WorkerId> = silent.map(|(worker, _)| worker.clone()).collect();
        for worker in silent {
            let message = format!("the worker was silent for {timeout:?} (heartbeat.timeout)");
            self.lose(worker, Failure::new(FailureClass::Transient, message));
        }
    }

    fn lose(&mut self, worker: WorkerId, failure: Failure) {
        let coordinated = self.coordination.lost(&worker);
        self.enumerators_lost(coordinated, &failure);
        self.workers.remove(&worker);
        self.pending
            .push_back(JobEvent::WorkerLost { worker, failure });
    }

    // --- what goes out ---

    async fn perform(&mut self, action: JobAction) {
        let job = self.master.id;
        match action {
            JobAction::RequireSlots(slots) => {
                self.ask(ResourceInput::Require { job, slots }).await;
            }
            JobAction::ReleaseSlots(slots) => {
                self.ask(ResourceInput::Release { job, slots }).await;
            }
            JobAction::StartWorker { worker, slots } => self.start_worker(worker, slots).await,
            JobAction::StopWorker(worker) => self.stop(worker).await,
            JobAction::Deploy { worker, tasks } => self.deploy(&worker, tasks),
            JobAction::CancelTasks { worker, attempts } => {
                let attempts = attempts.into_iter().map(Into::into).collect();
                self.tell(
                    &worker,
                    worker_command::Kind::Cancel(CancelTasks { attempts }),
                );
            }
            JobAction::Commit {
                worker,
                round,
                outputs,
                last,
            } => {
                let commit = CommitOutputs {
                    round,
                    outputs,
                    last,
                    checkpointed: self.has_checkpointed(),
                };
                self.tell(&worker, worker_command::Kind::Commit(commit));
            }
            JobAction::ReleasePartitions => {
                self.ask(ResourceInput::ReleasePartitions { job }).await;
            }
            JobAction::ScheduleTimer(timer, due) => {
                self.timers.schedule(JobTimer::Core(timer), due);
            }
            JobAction::StatusChanged(status, failure) => {
                log_status(job, status, failure.as_ref());
                self.master
                    .view
                    .status_changed(&self.master.core, status, failure);
            }
            JobAction::ExecutionChanged {
                attempt,
                state,
                worker,
                failure,
            } => {
                tracing::debug!(%job, %attempt, %state, "execution");
                let restarts = self.master.core.restarts();
                let view = &mut self.master.view;
                view.execution_changed(attempt, state, worker.as_ref(), failure, restarts);
            }
            of_checkpoints => self.checkpoint(of_checkpoints),
        }
    }

    async fn start_worker(&mut self, worker: WorkerId, slots: Vec<u32>) {
        let host = self.master.view.host(&worker.container);
        let start = self.master.launch.start_worker(&worker, host, slots);
        let container = worker.container;
        self.ask(ResourceInput::StartWorker {
            container,
            start: Box::new(start),
        })
        .await;
    }

    fn deploy(&mut self, worker: &WorkerId, tasks: Vec<TaskDeployment>) {
        let tasks = tasks
            .into_iter()
            .map(|task| descriptor(task, &self.partition_addresses))
            .collect();
        let coordinator = self.coordination.choose(worker);
        let deploy = DeployTasks { tasks, coordinator };
        self.tell(worker, worker_command::Kind::Deploy(deploy));
    }

    async fn ask(&mut self, input: ResourceInput) {
        if self.master.resource_manager.send(input).await.is_err() {
            self.suspended = true; // The JobManager is ending.
        }
    }

    async fn stop(&mut self, worker: WorkerId) {
        let coordinated = self.coordination.lost(&worker);
        let failure = Failure::new(FailureClass::Transient, "its worker was ended");
        self.enumerators_lost(coordinated, &failure);
        if let Some(known) = self.workers.remove(&worker) {
            self.tell_to_stop(&known);
        }
        let grace = self.master.launch.settings.worker_stop_grace();
        let stop = StopWorker {
            job: self.master.id.to_string(),
            incarnation: worker.incarnation.0,
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        };
        self.ask(ResourceInput::StopWorker {
            container: worker.container,
            stop,
        })
        .await;
    }

    fn tell_to_stop(&self, worker: &Worker) {
        let reason = format!("the job is {}", self.master.core.status());
        let kind = Some(worker_command::Kind::Stop(StopWorkerProcess { reason }));
        if let Some(commands) = &worker.commands {
            // If it cannot be told, its agent ends it.
            let _ = commands.try_send(WorkerCommand { kind });
        }
    }

    /// Sends a command. A worker that cannot take it is lost: a command must not be skipped.
    fn tell(&mut self, worker: &WorkerId, kind: worker_command::Kind) {
        let commands = self
            .workers
            .get(worker)
            .and_then(|known| known.commands.as_ref());
        let Some(commands) = commands else {
            // The core addresses only registered workers: its end is being reported.
            return self.lose_untold(worker, "is not connected");
        };
        if let Err(error) = commands.try_send(WorkerCommand { kind: Some(kind) }) {
            let why = match error {
                mpsc::error::TrySendError::Full(_) => "does not take its commands",
                mpsc::error::TrySendError::Closed(_) => "is not connected",
            };
            self.lose_untold(worker, why);
        }
    }

    fn lose_untold(&mut self, worker: &WorkerId, why: &str) {
        if let Some(known) = self.workers.get_mut(worker) {
            // The grace period leaves its agent the time to say what happened.
            known.commands = None;
            tracing::info!(job = %self.master.id, ?worker, why, "a worker cannot be told anything");
            let timer = JobTimer::Reconnect(worker.clone(), known.connection);
            let due = self.timers.now() + WORKER_RECONNECT_GRACE;
            self.timers.schedule(timer, due);
        }
    }
}

fn log_status(job: JobId, status: JobStatus, failure: Option<&Failure>) {
    match failure {
        Some(failure) => tracing::warn!(%job, %status, cause = %failure, "job status"),
        None => tracing::info!(%job, %status, "job status"),
    }
}
