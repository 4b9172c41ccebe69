//! The worker: obeys its JobMaster, runs the tasks of one job in one container.

mod channels;
mod collected;
mod commit;
mod coordination;
mod inspect;
mod partitions;
mod report;
mod tasks;
mod threads;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use flott_config::{Configuration, options};
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
use collected::Collects;
use coordination::{Exchange, Route};
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
    /// The job's configuration cannot be read.
    #[error("the configuration of the job cannot be used: {0}")]
    Configuration(String),
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
/// Meters look at their counts this often; they keep one count for every five seconds.
const METER_INTERVAL: Duration = Duration::from_secs(1);

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
        let network = Network::start(network_settings(&spec)?).map_err(WorkerError::Network)?;
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
        let (ended_tx, mut ended_rx) = mpsc::unbounded_channel();
        let exchange = Exchange::new(&spec);
        let ports = exchange.ports();
        let (collects, mut collected) = Collects::new();
        let tasks = Tasks::new(
            spec,
            Arc::clone(&plan),
            network,
            scheduler,
            files,
            ended_tx,
            (ports, collects),
        );
        let mut session = Session {
            tasks,
            exchange,
            plan,
            messages,
            report: report_timer(FIRST_REPORT_INTERVAL),
            meters: report_timer(METER_INTERVAL),
        };
        let mut alive = session.say(worker_message::Kind::Register(register)).await;
        while alive.is_ok() {
            alive = tokio::select! {
                // Ends before commands: a task that ended is not cancelled.
                biased;
                Some(frame) = collected.recv() => {
                    session.say(worker_message::Kind::Collected(frame)).await
                }
                Some(ended) = ended_rx.recv() => session.task_ended(ended).await,
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

/// The JobMaster does not listen any more.
struct Lost;

/// A registered worker.
struct Session {
    tasks: Tasks,
    exchange: Exchange,
    plan: Arc<Plan>,
    messages: mpsc::Sender<WorkerMessage>,
    report: tokio::time::Interval,
    meters: tokio::time::Interval,
}

impl Session {
    async fn say(&self, kind: worker_message::Kind) -> Result<(), Lost> {
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

    async fn task_ended(&mut self, ended: Ended) -> Result<(), Lost> {
        match self.tasks.ended(ended) {
            Some(report) => self.say(report).await,
            None => Ok(()),
        }
    }

    /// Takes a message of a source or of the coordinator where it is to go.
    async fn coordinate(&mut self, route: Route) -> Result<(), Lost> {
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

    async fn report(&self) -> Result<(), Lost> {
        let report = WorkerReport {
            tasks: self.tasks.metrics(),
        };
        self.say(worker_message::Kind::Report(report)).await
    }

    async fn obey(&mut self, command: worker_command::Kind) -> Result<(), Lost> {
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
                let reports = self.tasks.deploy(deploy.tasks);
                self.say_all(reports).await
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

fn file_systems(spec: &WorkerSpec) -> Result<Arc<FileSystems>, WorkerError> {
    let user = (!spec.user.is_empty()).then(|| spec.user.clone());
    let default = spec.hadoop.get("fs.defaultFS").cloned();
    FileSystems::new(spec.hadoop.clone(), user, default)
        .map(Arc::new)
        .map_err(|error| WorkerError::FileSystems(error.to_string()))
}

/// Shares of the container's memory that the data plane may use; see the option table.
fn network_settings(spec: &WorkerSpec) -> Result<NetworkSettings, WorkerError> {
    let configuration = Configuration::from_map(spec.graph.configuration.clone())
        .map_err(|error| WorkerError::Configuration(error.to_string()))?;
    let ports = configuration.get(&options::TASKMANAGER_DATA_PORT);
    let process = configuration
        .get(&options::TASKMANAGER_MEMORY_PROCESS_SIZE)
        .bytes();
    let fraction = configuration
        .get(&options::TASKMANAGER_MEMORY_NETWORK_FRACTION)
        .get();
    let least = configuration
        .get(&options::TASKMANAGER_MEMORY_NETWORK_MIN)
        .bytes();
    let most = configuration
        .get(&options::TASKMANAGER_MEMORY_NETWORK_MAX)
        .bytes();
    let share = (process as f64 * fraction) as u64;
    Ok(NetworkSettings {
        bind: bind_address(&spec.host),
        memory_bytes: share.max(least).min(most.max(least)),
        ports: ports.ports().collect(),
        host: spec.host.clone(),
        token: spec.token.clone(),
        container: spec.container.clone(),
        incarnation: spec.incarnation,
        ..NetworkSettings::default()
    })
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
