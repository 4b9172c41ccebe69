//! The agent of an embedded container: what a task executor's process does, as a task.

use std::collections::BTreeMap;
use std::time::Duration;

use flott_model::{ContainerId, Failure, FailureClass, JobId, PROTOCOL_VERSION};
use flott_protocol::message::{
    AgentCommand, AgentMessage, MemoryUse, RegisterAgent, StartWorker, StopWorker, WorkerCommand,
    WorkerExited, WorkerMessage, WorkerSpec, agent_command, agent_message,
};
use flott_protocol::rpc::CHANNEL_CAPACITY;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::partitions::Partitions;
use super::{HOST, WorkerFactory};
use crate::connections::Connections;

/// How long workers may take to end with their agent.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);

/// A worker, by job and incarnation.
type WorkerKey = (String, u64);

struct Agent {
    factory: WorkerFactory,
    connections: Connections,
    workers: JoinSet<WorkerKey>,
    /// Ends the commands of a worker.
    stops: BTreeMap<WorkerKey, (AbortHandle, bool)>,
    partitions: Partitions,
}

/// Registers, starts and watches workers until told to stop.
pub(super) async fn run(
    container: ContainerId,
    slots: u32,
    factory: WorkerFactory,
    connections: Connections,
) {
    let (messages, incoming) = mpsc::channel(CHANNEL_CAPACITY);
    let (outgoing, mut commands) = mpsc::channel::<AgentCommand>(CHANNEL_CAPACITY);
    connections.agent_connected(incoming, outgoing);
    let partitions = Partitions::start().await;
    let register = RegisterAgent {
        container: container.0,
        host: HOST.to_owned(),
        slots,
        protocol_version: PROTOCOL_VERSION,
        pid: std::process::id(),
        partition_address: partitions.address(),
        ..RegisterAgent::default()
    };
    let mut agent = Agent {
        factory,
        connections,
        workers: JoinSet::new(),
        stops: BTreeMap::new(),
        partitions,
    };
    let mut heartbeat = tokio::time::interval(FIRST_HEARTBEAT);
    let mut peak = 0;
    send(&messages, agent_message::Kind::Register(register)).await;
    loop {
        tokio::select! {
            command = commands.recv() => match command.map(|command| command.kind) {
                None | Some(Some(agent_command::Kind::Stop(_))) => break,
                Some(Some(agent_command::Kind::Registered(registered))) => {
                    let period = Duration::from_millis(registered.heartbeat_interval_ms.max(1));
                    heartbeat = tokio::time::interval(period);
                }
                Some(Some(agent_command::Kind::StartWorker(start))) => {
                    if let Some(exited) = agent.start(start) {
                        send(&messages, agent_message::Kind::WorkerExited(exited)).await;
                    }
                }
                Some(Some(agent_command::Kind::StopWorker(stop))) => agent.stop(&stop),
                Some(Some(agent_command::Kind::ReleasePartitions(release))) => {
                    agent.partitions.release(&release.job);
                    agent.delete_released();
                }
                Some(None) => (), // A kind of a later version.
            },
            Some(ended) = agent.workers.join_next() => {
                let exited = agent.ended(ended.ok());
                agent.delete_released();
                for exited in exited {
                    send(&messages, agent_message::Kind::WorkerExited(exited)).await;
                }
            }
            _ = heartbeat.tick() => {
                let memory = own_memory(&mut peak);
                send(&messages, agent_message::Kind::Heartbeat(memory)).await;
            }
        }
    }
    agent.workers.abort_all();
    while agent.workers.join_next().await.is_some() {}
}

async fn send(messages: &mpsc::Sender<AgentMessage>, kind: agent_message::Kind) {
    // If the ResourceManager is gone, the end of the commands tells so.
    let _ = messages.send(AgentMessage { kind: Some(kind) }).await;
}

impl Agent {
    /// Starts a worker, or says why it ended before it began.
    fn start(&mut self, start: StartWorker) -> Option<WorkerExited> {
        let key = (start.job.clone(), start.incarnation);
        let spec = WorkerSpec::decode(start.spec.as_slice());
        let job = start.job.parse::<JobId>();
        let (Ok(mut spec), Ok(job)) = (spec, job) else {
            let failure = Failure::new(FailureClass::Fatal, "the worker's spec cannot be read");
            return Some(exited(key, failure, false));
        };
        self.partitions.tell(job, &mut spec);
        let (from_worker, to_relay) = mpsc::channel(CHANNEL_CAPACITY);
        let (to_worker, commands) = mpsc::channel(CHANNEL_CAPACITY);
        let relayed = relay(self.connections.clone(), job, to_relay, to_worker);
        let ended = key.clone();
        let handle = self.workers.spawn(async move {
            relayed.await;
            ended
        });
        self.stops.insert(key, (handle, false));
        (self.factory)(spec, from_worker, commands);
        None
    }

    fn stop(&mut self, stop: &StopWorker) {
        let key = (stop.job.clone(), stop.incarnation);
        if let Some((relay, expected)) = self.stops.get_mut(&key) {
            *expected = true;
            // Its JobMaster told it to end, and its commands end. A thread cannot be killed: if it
            // does not follow in time, it is left behind.
            let (relay, grace) = (relay.clone(), Duration::from_millis(stop.grace_ms));
            tokio::spawn(async move {
                tokio::time::sleep(grace).await;
                relay.abort();
            });
        }
    }

    fn delete_released(&mut self) {
        let lives = |job: &str| self.stops.keys().any(|(owner, _)| owner == job);
        self.partitions.delete_released(lives);
    }

    /// The exits to report when a relay ended: its worker's, or those of aborted relays.
    fn ended(&mut self, key: Option<WorkerKey>) -> Vec<WorkerExited> {
        let gone: Vec<WorkerKey> = match key {
            Some(key) => vec![key],
            None => {
                let aborted = self
                    .stops
                    .iter()
                    .filter(|(_, (relay, _))| relay.is_finished());
                aborted.map(|(key, _)| key.clone()).collect()
            }
        };
        let exits = gone.into_iter().filter_map(|key| {
            let (_, expected) = self.stops.remove(&key)?;
            let how = if expected {
                "was stopped"
            } else {
                "ended unexpectedly"
            };
            let message = format!("the embedded worker {how}");
            Some(exited(
                key,
                Failure::new(FailureClass::Transient, message),
                expected,
            ))
        });
        exits.collect()
    }
}

fn exited((job, incarnation): WorkerKey, failure: Failure, expected: bool) -> WorkerExited {
    WorkerExited {
        job,
        incarnation,
        failure,
        expected,
    }
}

/// Carries messages between a worker and its JobMaster, so that the agent notices the end of
/// either. Ends when the worker has dropped its sender.
async fn relay(
    connections: Connections,
    job: JobId,
    mut from_worker: mpsc::Receiver<WorkerMessage>,
    to_worker: mpsc::Sender<WorkerCommand>,
) {
    let (messages, incoming) = mpsc::channel(CHANNEL_CAPACITY);
    let (outgoing, mut commands) = mpsc::channel(CHANNEL_CAPACITY);
    connections.worker_connected(job, incoming, outgoing);
    let mut to_worker = Some(to_worker);
    loop {
        tokio::select! {
            message = from_worker.recv() => {
                let Some(message) = message else { return };
                // A JobMaster that is gone hears nothing; the worker is told by the end below.
                let _ = messages.send(message).await;
            }
            command = commands.recv(), if to_worker.is_some() => {
                let delivered = match (command, &to_worker) {
                    (Some(command), Some(worker)) => worker.send(command).await.is_ok(),
                    _ => false,
                };
                if !delivered {
                    to_worker = None;
                }
            }
        }
    }
}

/// Memory of this process, which all embedded containers share.
fn own_memory(peak: &mut u64) -> MemoryUse {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm
        .split(' ')
        .map(|pages| pages.parse::<u64>().unwrap_or_default());
    let virtual_bytes = pages.next().unwrap_or_default() * PAGE_BYTES;
    let resident_bytes = pages.next().unwrap_or_default() * PAGE_BYTES;
    *peak = resident_bytes.max(*peak);
    MemoryUse {
        resident_bytes,
        virtual_bytes,
        peak_resident_bytes: *peak,
    }
}
