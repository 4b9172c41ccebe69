//! The worker: obeys its JobMaster, runs the tasks of one job in one container.

mod channels;
mod checkpoints;
mod collected;
mod commit;
mod coordination;
mod inspect;
mod partitions;
mod report;
mod session;
mod state;
mod tasks;
mod threads;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use flott_config::{Configuration, ExecutorMemory, options};
use flott_filesystem::FileSystems;
use flott_model::Failure;
use flott_network::{NetworkError, NetworkSettings};
use flott_protocol::message::{
    WorkerCommand, WorkerMessage, WorkerSpec, worker_command, worker_message,
};
use tokio::sync::mpsc;

use crate::plan::Plan;
use session::{Lost, Session};

/// Why a worker ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The data plane could not be opened.
    #[error("cannot open the data plane of the worker")]
    Network(#[source] NetworkError),
    /// The threads could not be started.
    #[error("cannot start the task threads of the worker")]
    Threads(#[source] std::io::Error),
    /// The job's configuration cannot be read.
    #[error("the configuration of the job cannot be used: {0}")]
    Configuration(String),
    /// The file systems could not be set up.
    #[error("cannot set up the file systems of the worker: {0}")]
    FileSystems(String),
    /// Nothing can be kept on disk.
    #[error("cannot use '{directory}' for state that does not fit into memory: {source}")]
    State {
        /// Where that was tried.
        directory: String,
        /// What is wrong.
        source: std::io::Error,
    },
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

impl Worker {
    /// Registers, then obeys until told to stop (`Ok`) or until the JobMaster is lost.
    pub async fn run(self) -> Result<(), WorkerError> {
        let Self {
            spec,
            plan,
            messages,
            mut commands,
        } = self;
        let lost = WorkerError::JobMasterLost(spec.job_master.clone());
        let (mut session, mut inputs, register) = Session::start(spec, plan, messages)?;
        let mut alive = session.say(worker_message::Kind::Register(register)).await;
        while alive.is_ok() {
            alive = tokio::select! {
                // Ends before commands: a task that ended is not cancelled.
                biased;
                Some(frame) = inputs.collected.recv() => {
                    session.say(worker_message::Kind::Collected(frame)).await
                }
                Some((attempt, snapshot)) = session.checkpoints.next() => {
                    session.snapshotted(attempt, snapshot);
                    Ok(())
                }
                Some(ended) = inputs.ended.recv() => session.task_ended(ended).await,
                Some(tasks) = inputs.fetched.recv() => session.deploy(tasks).await,
                command = commands.recv() => match command.and_then(|command| command.kind) {
                    Some(worker_command::Kind::Stop(stop)) => {
                        tracing::info!(reason = stop.reason, "stopping");
                        return Ok(());
                    }
                    Some(command) => session.obey(command).await,
                    None => Err(Lost),
                },
                route = session.exchange.next() => session.coordinate(route).await,
                _ = session.report.tick() => session.report().await,
                _ = session.meters.tick() => {
                    session.tasks.update_meters();
                    Ok(())
                }
            };
        }
        Err(lost)
    }
}

fn file_systems(spec: &WorkerSpec) -> Result<Arc<FileSystems>, WorkerError> {
    let user = (!spec.user.is_empty()).then(|| spec.user.clone());
    let default = spec.hadoop.get("fs.defaultFS").cloned();
    FileSystems::new(spec.hadoop.clone(), user, default)
        .map(Arc::new)
        .map_err(|error| WorkerError::FileSystems(error.to_string()))
}

fn configuration(spec: &WorkerSpec) -> Result<Configuration, WorkerError> {
    Configuration::from_map(spec.graph.configuration.clone())
        .map_err(|error| WorkerError::Configuration(error.to_string()))
}

/// Shares of the container's memory that the data plane may use; see the option table.
fn network_settings(spec: &WorkerSpec, configuration: &Configuration) -> NetworkSettings {
    let ports = configuration.get(&options::TASKMANAGER_DATA_PORT);
    let memory = match spec.container_memory_bytes {
        0 => ExecutorMemory::configured(configuration),
        bytes => ExecutorMemory::of(configuration, bytes),
    };
    NetworkSettings {
        bind: bind_address(&spec.host),
        memory_bytes: memory.network_bytes,
        ports: ports.ports().collect(),
        host: spec.host.clone(),
        token: spec.token.clone(),
        container: spec.container.clone(),
        incarnation: spec.incarnation,
        ..NetworkSettings::default()
    }
}

/// Where to listen so that others reach the worker by that host: an address is taken at its word,
/// a name may stand for any interface.
fn bind_address(host: &str) -> IpAddr {
    match host.parse() {
        Ok(address) => address,
        // Embedded workers talk to each other inside one machine.
        Err(_) if host == "localhost" => Ipv4Addr::LOCALHOST.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
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
