//! The connections of the task executors: what they offer, use, and can be told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use flott_coordination::Timestamp;
use flott_coordination::resource::{ContainerView, ResourceCore};
use flott_model::{ContainerId, JobId};
use flott_protocol::message::{
    AgentCommand, MemoryUse, RegisterAgent, ReleasePartitions, StopAgent, agent_command,
};
use tokio::sync::mpsc;

use crate::connections::ConnectionId;
use crate::deployment::PartitionAddresses;
use crate::snapshot::{AllocatedSlot, ExecutorSnapshot};

/// A registered task executor.
#[derive(Debug)]
pub(super) struct Agent {
    connection: ConnectionId,
    /// `None` while the connection is lost.
    commands: Option<mpsc::Sender<AgentCommand>>,
    register: RegisterAgent,
    memory: MemoryUse,
    last_heard: Timestamp,
    /// Jobs that have ended and whose partitions it was not told to delete yet.
    releases: VecDeque<JobId>,
}

impl Agent {
    pub(super) fn new(
        connection: ConnectionId,
        register: RegisterAgent,
        commands: mpsc::Sender<AgentCommand>,
        now: Timestamp,
    ) -> Self {
        let memory = MemoryUse::default();
        Self {
            connection,
            commands: Some(commands),
            register,
            memory,
            last_heard: now,
            releases: VecDeque::new(),
        }
    }
}

/// The registered task executors, by container.
#[derive(Debug, Default)]
pub(super) struct Agents(BTreeMap<ContainerId, Agent>);

impl Agents {
    /// Adds an agent, or replaces its connection; whether it is new.
    pub(super) fn insert(&mut self, container: &ContainerId, mut agent: Agent) -> bool {
        let before = self.0.remove(container);
        let is_new = before.is_none();
        agent.releases = before.map(|before| before.releases).unwrap_or_default();
        self.0.insert(container.clone(), agent);
        is_new
    }

    /// Has every agent delete the partitions of a job; those that cannot be told now are told later.
    pub(super) fn release_partitions(&mut self, job: JobId) {
        let containers: Vec<ContainerId> = self.0.keys().cloned().collect();
        for container in containers {
            if let Some(agent) = self.0.get_mut(&container) {
                agent.releases.push_back(job);
            }
            self.tell_releases(&container);
        }
    }

    /// Tells an agent what it was not told yet.
    pub(super) fn tell_releases(&mut self, container: &ContainerId) {
        let next = |agents: &Self| agents.0.get(container)?.releases.front().copied();
        while let Some(job) = next(self) {
            let release = ReleasePartitions {
                job: job.to_string(),
            };
            let kind = agent_command::Kind::ReleasePartitions(release);
            if self.tell(container, kind).is_err() {
                return; // With its next connection or heartbeat.
            }
            if let Some(agent) = self.0.get_mut(container) {
                agent.releases.pop_front();
            }
        }
    }

    /// Where the agents of these containers serve partitions.
    pub(super) fn partition_addresses<'a>(
        &self,
        containers: impl Iterator<Item = &'a ContainerId>,
    ) -> PartitionAddresses {
        let address = |container: &ContainerId| {
            let agent = self.0.get(container)?;
            Some((container.clone(), agent.register.partition_address.clone()))
        };
        containers.filter_map(address).collect()
    }

    pub(super) fn remove(&mut self, container: &ContainerId) {
        self.0.remove(container);
    }

    /// Notes the end of a connection; whether it was the agent's present one.
    pub(super) fn disconnect(&mut self, container: &ContainerId, connection: ConnectionId) -> bool {
        let agent = self
            .0
            .get_mut(container)
            .filter(|agent| agent.connection == connection);
        agent.map(|agent| agent.commands = None).is_some()
    }

    pub(super) fn is_disconnected(&self, container: &ContainerId, was: ConnectionId) -> bool {
        let agent = self
            .0
            .get(container)
            .filter(|agent| agent.connection == was);
        agent.is_some_and(|agent| agent.commands.is_none())
    }

    /// Notes a sign of life; whether it came on the agent's present connection.
    pub(super) fn heard(
        &mut self,
        container: &ContainerId,
        connection: ConnectionId,
        now: Timestamp,
    ) -> bool {
        let agent = self
            .0
            .get_mut(container)
            .filter(|agent| agent.connection == connection);
        agent.map(|agent| agent.last_heard = now).is_some()
    }

    pub(super) fn set_memory(&mut self, container: &ContainerId, memory: MemoryUse) {
        if let Some(agent) = self.0.get_mut(container) {
            agent.memory = memory;
        }
    }

    pub(super) fn silent(&self, now: Timestamp, timeout: Duration) -> Vec<ContainerId> {
        let silent = self
            .0
            .iter()
            .filter(|(_, agent)| now - agent.last_heard > timeout);
        silent.map(|(container, _)| container.clone()).collect()
    }

    /// Sends a command, or says why the agent cannot be told.
    pub(super) fn tell(
        &mut self,
        container: &ContainerId,
        kind: agent_command::Kind,
    ) -> Result<(), &'static str> {
        let agent = self.0.get_mut(container).ok_or("is gone")?;
        let commands = agent.commands.as_ref().ok_or("is not connected")?;
        commands
            .try_send(AgentCommand { kind: Some(kind) })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => "does not take its commands",
                mpsc::error::TrySendError::Closed(_) => "is not connected",
            })
    }

    /// Tells an agent to end, and forgets it.
    pub(super) fn stop(&mut self, container: &ContainerId, reason: &str) {
        let kind = agent_command::Kind::Stop(StopAgent {
            reason: reason.to_owned(),
        });
        // If it cannot be told, the release of its container ends it.
        let _ = self.tell(container, kind);
        self.remove(container);
    }

    pub(super) fn stop_all(&mut self, reason: &str) {
        let containers: Vec<ContainerId> = self.0.keys().cloned().collect();
        for container in containers {
            self.stop(&container, reason);
        }
    }

    pub(super) fn snapshot(&self, core: &ResourceCore, now: Timestamp) -> Vec<ExecutorSnapshot> {
        let views: BTreeMap<&ContainerId, ContainerView<'_>> = core
            .containers()
            .map(|view| (view.container, view))
            .collect();
        let agents = self.0.iter().map(|(container, agent)| {
            let view = views.get(container);
            let slots = view.map_or(&[][..], |view| view.slots);
            let allocated = slots.iter().flatten().map(|holder| AllocatedSlot {
                job: holder.job,
                profile: holder.profile,
            });
            let free = slots.iter().filter(|slot| slot.is_none()).count();
            ExecutorSnapshot {
                container: container.0.clone(),
                host: agent.register.host.clone(),
                slots: agent.register.slots,
                free_slots: u32::try_from(free).unwrap_or(u32::MAX),
                profile: view.and_then(|view| view.profile),
                allocated: allocated.collect(),
                memory_bytes: agent.register.memory_bytes,
                memory: agent.memory,
                silent_ms: u64::try_from((now - agent.last_heard).as_millis()).unwrap_or(u64::MAX),
            }
        });
        agents.collect()
    }
}
