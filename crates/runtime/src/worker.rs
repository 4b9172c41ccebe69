//! The worker: obeys its JobMaster, runs the tasks of one job in one container.

mod channels;
mod commit;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use flott_filesystem::FileSystems;
use flott_model::Failure;
use flott_network::{Network, NetworkError, NetworkSettings};
use flott_protocol::message::{
    RegisterWorker, WorkerCommand, WorkerMessage, WorkerReport, WorkerSpec, worker_command,
    worker_message,
};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::plan::Plan;
use crate::scheduler::Scheduler;
use tasks::{Ended, Tasks};

/// Why a worker ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The data plane could not be opened.
    #[error("cannot open the data plane of the worker")]
    Network(#[source] NetworkError),
    /// The threads could not be started.
    #[error("cannot start the task threads of the worker")]
    Threads(#[source] std::io::Error),
    /// The file systems could not be set up.
    #[error("cannot set up the file systems of the worker: {0}")]
    FileSystems(String),
    /// Nobody is there to obey.
    #[error("the connection to the JobMaster at {0} is lost")]
    JobMasterLost(String),
}

/// What a worker works with.
pub struct Worker {
    /// Who it is.
    pub spec: WorkerSpec,
    /// The job with its code.
    pub plan: Arc<Plan>,
    /// To the JobMaster.
    pub messages: mpsc::Sender<WorkerMessage>,
    /// From the JobMaster.
    pub commands: mpsc::Receiver<WorkerCommand>,
}

/// Reports go out this often until the JobMaster says otherwise.
const FIRST_REPORT_INTERVAL: Duration = Duration::from_secs(1);

impl Worker {
    /// Registers, then obeys until told to stop (`Ok`) or until the JobMaster is lost.
    pub async fn run(self) -> Result<(), WorkerError> {
        let Self {
            spec,
            plan,
            messages,
            mut commands,
        } = self;
        let network =
            Network::start(network_settings(&spec, &plan)).map_err(WorkerError::Network)?;
        let scheduler =
            Scheduler::start(spec.threads.max(1) as usize).map_err(WorkerError::Threads)?;
        let files = file_systems(&spec)?;
        let lost = || WorkerError::JobMasterLost(spec.job_master.clone());
        let register = RegisterWorker {
            job: spec.job.clone(),
            container: spec.container.clone(),
            incarnation: spec.incarnation,
            data_address: network.address().to_owned(),
            pid: std::process::id(),
        };
        send(&messages, worker_message::Kind::Register(register))
            .await
            .map_err(|()| lost())?;
        let (ended_tx, mut ended_rx) = mpsc::unbounded_channel();
        let mut tasks = Tasks::new(
            spec.clone(),
            Arc::clone(&plan),
            network,
            scheduler,
            files,
            ended_tx,
        );
        let mut report = report_timer(FIRST_REPORT_INTERVAL);
        loop {
            tokio::select! {
                // Ends before commands: a task that ended is not cancelled.
                biased;
                Some(ended) = ended_rx.recv() => {
                    let Ended { attempt, exit } = ended;
                    if let Some(message) = tasks.ended(attempt, exit) {
                        send(&messages, message).await.map_err(|()| lost())?;
                    }
                }
                command = commands.recv() => {
                    let Some(command) = command.and_then(|command| command.kind) else {
                        return Err(lost());
                    };
                    match command {
                        worker_command::Kind::Registered(registered) => {
                            let interval = Duration::from_millis(registered.heartbeat_interval_ms);
                            report = report_timer(interval.max(Duration::from_millis(10)));
                        }
                        worker_command::Kind::Stop(stop) => {
                            tracing::info!(reason = stop.reason, "stopping");
                            return Ok(());
                        }
                        worker_command::Kind::Commit(request) => {
                            commit::spawn(request, &plan, tasks.files(), messages.clone());
                        }
                        worker_command::Kind::Deploy(deploy) => {
                            for message in tasks.deploy(deploy.tasks) {
                                send(&messages, message).await.map_err(|()| lost())?;
                            }
                        }
                        worker_command::Kind::Cancel(cancel) => {
                            for message in tasks.cancel(&cancel.attempts) {
                                send(&messages, message).await.map_err(|()| lost())?;
                            }
                        }
                    }
                }
                _ = report.tick() => {
                    let report = WorkerReport { tasks: tasks.metrics() };
                    send(&messages, worker_message::Kind::Report(report)).await.map_err(|()| lost())?;
                }
            }
        }
    }
}

fn report_timer(interval: Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

async fn send(
    messages: &mpsc::Sender<WorkerMessage>,
    kind: worker_message::Kind,
) -> Result<(), ()> {
    messages
        .send(WorkerMessage { kind: Some(kind) })
        .await
        .map_err(|_| ())
}

fn file_systems(spec: &WorkerSpec) -> Result<Arc<FileSystems>, WorkerError> {
    let user = (!spec.user.is_empty()).then(|| spec.user.clone());
    let default = spec.hadoop.get("fs.defaultFS").cloned();
    FileSystems::new(spec.hadoop.clone(), user, default)
        .map(Arc::new)
        .map_err(|error| WorkerError::FileSystems(error.to_string()))
}

fn network_settings(spec: &WorkerSpec, plan: &Plan) -> NetworkSettings {
    let _ = plan;
    NetworkSettings {
        host: spec.host.clone(),
        token: spec.token.clone(),
        container: spec.container.clone(),
        incarnation: spec.incarnation,
        ..NetworkSettings::default()
    }
}

/// The place named in failures of this worker's tasks.
fn location(spec: &WorkerSpec) -> String {
    if spec.host.is_empty() {
        spec.container.clone()
    } else {
        format!("{} ({})", spec.container, spec.host)
    }
}

fn failure_at(failure: Failure, task: &str, spec: &WorkerSpec) -> Failure {
    failure.in_task(task).at(location(spec))
}
