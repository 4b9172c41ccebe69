//! The agent's main loop: one connection to the JobManager at a time, commands in, reports out.

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use flott_model::PROTOCOL_VERSION;
use flott_protocol::message::{
    AgentCommand, AgentMessage, RegisterAgent, WorkerExited, WorkerSpec, agent_command,
    agent_message,
};
use flott_protocol::node::Node;
use flott_protocol::rpc::{ConnectError, Secret, connect_agent};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::bundle::Verified;
use crate::local_state::LocalState;
use crate::memory::{self, MemoryMeter};
use crate::partitions::Partitions;
use crate::supervisor::Place;
use crate::workers::{Allotment, Workers};

/// Pause between two tries to connect, growing from the first to the second.
const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Heartbeats until the JobManager says how often it wants them.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);
/// How often the memory of workers is looked at.
const GUARDED: Duration = Duration::from_millis(100);
/// Between SIGTERM and SIGKILL when the agent itself ends; YARN gives a container little time.
const END_GRACE: Duration = Duration::from_millis(200);

/// What an agent is told at its start.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Its container.
    pub container: String,
    /// Its host, as others reach it.
    pub host: String,
    /// `host:port` of the JobManager.
    pub job_manager: String,
    /// Secret of the application.
    pub secret: Secret,
    /// How many slots it offers.
    pub slots: u32,
    /// Container memory in bytes.
    pub memory_bytes: u64,
    /// Without a JobManager for that long it stops.
    pub job_manager_lost_timeout: Duration,
    /// Its working directory, where localized files are.
    pub directory: PathBuf,
    /// Where logs go.
    pub log_directory: PathBuf,
    /// Where finished partitions are kept: its own, cleared at its start and removed at its end.
    pub partition_directory: PathBuf,
    /// Where workers keep copies of their state, unless their job says otherwise: as that one.
    pub local_state_directory: PathBuf,
}

/// Why an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEnd {
    /// It was told to, by the JobManager or a signal.
    Stopped,
    /// It had no JobManager for too long.
    Lost,
}

/// A task executor.
#[derive(Debug)]
pub struct Agent {
    settings: AgentSettings,
    node: Node,
    workers: Workers,
    partitions: Partitions,
    local_state: LocalState,
    memory: MemoryMeter,
    /// Exits the JobManager was not told of yet.
    unreported: VecDeque<WorkerExited>,
    /// Highest term of a JobManager seen.
    epoch: u32,
}

/// Why a connection was left.
#[derive(Debug, PartialEq, Eq)]
enum SessionEnd {
    Closed,
    Stopped,
}

type Connection = (mpsc::Sender<AgentMessage>, mpsc::Receiver<AgentCommand>);

impl Agent {
    /// An agent that has not connected yet.
    pub fn new(settings: AgentSettings) -> Self {
        let node = Node::detect(&settings.host);
        let place = Place {
            node: node.clone(),
            container: settings.container.clone(),
            directory: settings.directory.clone(),
            log_directory: settings.log_directory.clone(),
            job_manager: settings.job_manager.clone(),
            secret: settings.secret.clone(),
            verified: Verified::default(),
        };
        Self {
            node,
            workers: Workers::new(place),
            partitions: Partitions::default(),
            local_state: LocalState::new(
                &settings.container,
                settings.local_state_directory.clone(),
            ),
            memory: MemoryMeter::default(),
            unreported: VecDeque::new(),
            epoch: 0,
            settings,
        }
    }

    /// Serves until told to stop, until `signal` completes, or until the JobManager is lost.
    /// All its workers have ended when it returns.
    pub async fn run(
        mut self,
        signal: impl Future<Output = &'static str>,
    ) -> Result<AgentEnd, ConnectError> {
        tracing::info!(
            container = self.settings.container,
            host = self.settings.host,
            slots = self.settings.slots,
            glibc = self.node.glibc(),
            job_manager = self.settings.job_manager,
            "task executor started"
        );
        self.local_state.clear();
        let directory = self.settings.partition_directory.clone();
        self.partitions =
            Partitions::start(directory, &self.settings.host, &self.settings.secret).await;
        let mut signal = pin!(signal);
        let end = tokio::select! {
            end = self.serve() => end,
            name = &mut signal => {
                tracing::info!(signal = name, "told to stop");
                Ok(AgentEnd::Stopped)
            }
        };
        self.workers.end_all(END_GRACE).await;
        self.partitions.end().await;
        self.local_state.end().await;
        let used = self.memory.sample();
        tracing::info!(
            peak_resident_bytes = used.peak_resident_bytes,
            resident_bytes = used.resident_bytes,
            virtual_bytes = used.virtual_bytes,
            "task executor ends"
        );
        end
    }

    async fn serve(&mut self) -> Result<AgentEnd, ConnectError> {
        loop {
            let Some(connection) = self.connect().await? else {
                tracing::error!(
                    timeout = ?self.settings.job_manager_lost_timeout,
                    "no JobManager for too long (flott.jobmanager.lost-timeout): stopping"
                );
                return Ok(AgentEnd::Lost);
            };
            match self.session(connection).await {
                SessionEnd::Stopped => return Ok(AgentEnd::Stopped),
                SessionEnd::Closed => tracing::warn!("the connection to the JobManager was lost"),
            }
        }
    }

    /// Tries until it succeeds; `None` if that takes too long. Workers go on meanwhile.
    async fn connect(&mut self) -> Result<Option<Connection>, ConnectError> {
        let deadline = Instant::now() + self.settings.job_manager_lost_timeout;
        let mut pause = RECONNECT_PAUSE.0;
        let address = self.settings.job_manager.clone();
        let secret = self.settings.secret.clone();
        loop {
            let connected = self.meanwhile(connect_agent(&address, &secret)).await;
            match connected {
                Ok(connection) => return Ok(Some(connection)),
                // Of another application: trying again cannot help.
                Err(error @ ConnectError::Unauthenticated { .. }) => return Err(error),
                Err(error) => tracing::info!(%error, "the JobManager cannot be reached"),
            }
            if Instant::now() + pause >= deadline {
                return Ok(None);
            }
            self.meanwhile(tokio::time::sleep(pause)).await;
            pause = RECONNECT_PAUSE.1.min(pause * 2);
        }
    }

    /// Looks after workers until something has happened.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> T {
        let mut something = pin!(something);
        let mut guard = tokio::time::interval(GUARDED);
        loop {
            tokio::select! {
                happened = &mut something => return happened,
                Some(exited) = self.workers.next_exit() => self.unreported.push_back(exited),
                _ = guard.tick() => self.workers.guard(self.settings.memory_bytes),
            }
        }
    }

    async fn session(&mut self, (messages, mut commands): Connection) -> SessionEnd {
        if !send(
            &messages,
            agent_message::Kind::Register(self.registration()),
        )
        .await
        {
            return SessionEnd::Closed;
        }
        let mut heartbeat = tokio::time::interval(FIRST_HEARTBEAT);
        let mut guard = tokio::time::interval(GUARDED);
        guard.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(exited) = self.unreported.front() {
                let report = agent_message::Kind::WorkerExited(exited.clone());
                if !send(&messages, report).await {
                    return SessionEnd::Closed;
                }
                self.unreported.pop_front();
            }
            tokio::select! {
                command = commands.recv() => {
                    let Some(command) = command else { return SessionEnd::Closed };
                    if let Some(end) = self.obey(command, &mut heartbeat) {
                        return end;
                    }
                }
                Some(exited) = self.workers.next_exit() => {
                    tracing::info!(
                        job = exited.job,
                        incarnation = exited.incarnation,
                        expected = exited.expected,
                        how = exited.failure.message,
                        "worker ended"
                    );
                    self.unreported.push_back(exited);
                    self.delete_released();
                }
                _ = guard.tick() => self.workers.guard(self.settings.memory_bytes),
                _ = heartbeat.tick() => {
                    let used = self.memory.sample();
                    if !send(&messages, agent_message::Kind::Heartbeat(used)).await {
                        return SessionEnd::Closed;
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: AgentCommand, heartbeat: &mut Interval) -> Option<SessionEnd> {
        match command.kind? {
            agent_command::Kind::Registered(registered) => {
                if registered.epoch < self.epoch {
                    tracing::warn!(epoch = registered.epoch, "an outdated JobManager answered");
                    return Some(SessionEnd::Closed);
                }
                self.epoch = registered.epoch;
                let period = Duration::from_millis(registered.heartbeat_interval_ms.max(1));
                *heartbeat = tokio::time::interval(period);
                tracing::info!(epoch = self.epoch, "registered with the JobManager");
            }
            agent_command::Kind::StartWorker(mut start) => {
                if start.epoch >= self.epoch {
                    let allotment;
                    (start.spec, allotment) = self.complete(start.spec);
                    self.workers.start(start, allotment);
                }
            }
            agent_command::Kind::StopWorker(stop) => self.workers.stop(&stop),
            agent_command::Kind::ReleasePartitions(release) => {
                self.partitions.release(&release.job);
                self.local_state.release(&release.job);
                self.delete_released();
            }
            agent_command::Kind::Stop(stop) => {
                tracing::info!(reason = stop.reason, "told to stop");
                return Some(SessionEnd::Stopped);
            }
        }
        None
    }

    /// Adds to a worker's spec what only its agent knows. What is not a spec is the worker's to complain
    /// about.
    fn complete(&mut self, spec: Vec<u8>) -> (Vec<u8>, Allotment) {
        let Ok(mut read) = WorkerSpec::decode(spec.as_slice()) else {
            return (spec, Allotment::default());
        };
        self.partitions.tell(&mut read);
        self.local_state.tell(&mut read);
        memory::allot(&mut read, self.settings.memory_bytes, self.settings.slots);
        let allotment = Allotment {
            slots: read.slots.len() as u32,
            memory_bytes: read.memory_bytes,
        };
        (read.encode_to_vec(), allotment)
    }

    fn delete_released(&mut self) {
        let lives = |job: &str| self.workers.lives(job);
        self.partitions.delete_released(lives);
        self.local_state.delete_released(lives);
    }

    fn registration(&self) -> RegisterAgent {
        RegisterAgent {
            container: self.settings.container.clone(),
            host: self.settings.host.clone(),
            slots: self.settings.slots,
            memory_bytes: self.settings.memory_bytes,
            glibc: self.node.glibc(),
            protocol_version: PROTOCOL_VERSION,
            pid: std::process::id(),
            partition_address: self.partitions.address(),
        }
    }
}

/// Sends a message; whether the connection still is.
async fn send(messages: &mpsc::Sender<AgentMessage>, kind: agent_message::Kind) -> bool {
    messages
        .send(AgentMessage { kind: Some(kind) })
        .await
        .is_ok()
}
