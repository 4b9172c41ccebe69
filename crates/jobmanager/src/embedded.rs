//! A cluster inside this process: each container is an agent task, each worker what the factory
//! starts. Same messages, same channels, no network.

mod agent;
mod partitions;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flott_coordination::resource::{ContainerLoss, SlotSize};
use flott_model::{ContainerId, Failure, FailureClass, ResourceProfile};
use flott_protocol::message::{WorkerCommand, WorkerMessage, WorkerSpec};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::driver::{DefaultContainer, DriverContext, DriverEvent, ResourceDriver};

/// Starts a worker in this process. The worker registers first; it ends when the job tells it to,
/// or when its commands end; dropping its sender tells that it has ended.
pub type WorkerFactory = Arc<
    dyn Fn(WorkerSpec, mpsc::Sender<WorkerMessage>, mpsc::Receiver<WorkerCommand>) + Send + Sync,
>;

const HOST: &str = "localhost";
const MEBIBYTE: u64 = 1 << 20;

/// Provides containers that are tasks of this process.
pub struct EmbeddedDriver {
    slots: u32,
    /// Memory that a container may have at most, in bytes; `None`: any.
    memory_bytes: Option<u64>,
    factory: WorkerFactory,
    context: Option<DriverContext>,
    created: u64,
    /// Allocated events the ResourceManager has not taken yet.
    untaken: BTreeMap<Option<ResourceProfile>, u32>,
    /// Slots of each container that was created and not released.
    containers: BTreeMap<ContainerId, u32>,
    agents: BTreeMap<ContainerId, JoinHandle<()>>,
}

impl EmbeddedDriver {
    /// A driver whose containers have so many slots each, and any amount of memory and cores.
    pub fn new(slots: u32, factory: WorkerFactory) -> Self {
        Self {
            slots,
            memory_bytes: None,
            factory,
            context: None,
            created: 0,
            untaken: BTreeMap::new(),
            containers: BTreeMap::new(),
            agents: BTreeMap::new(),
        }
    }

    /// Gives each container that much memory, in bytes, which its slots share. It limits what slots
    /// may be asked to offer, not what is used.
    pub fn with_memory(self, bytes: u64) -> Self {
        Self {
            memory_bytes: Some(bytes),
            ..self
        }
    }

    /// Why a container for a profile cannot be had, if so. Cores are shared by all that runs here.
    fn refusal(&self, profile: Option<ResourceProfile>) -> Option<Failure> {
        let (profile, limit) = (profile?, self.memory_bytes?);
        let needed = profile.memory_bytes();
        (needed > limit).then(|| {
            let message = format!(
                "a slot that offers {profile} needs {} MiB of memory, but this machine, which is the \
                 embedded cluster, has {} MiB: lower the memory of the slot sharing group, or run the \
                 job on YARN",
                needed.div_ceil(MEBIBYTE),
                limit / MEBIBYTE,
            );
            Failure::new(FailureClass::Fatal, message)
        })
    }

    fn report(&self, event: DriverEvent) {
        let Some(context) = &self.context else { return };
        let events = context.events.clone();
        // The ResourceManager cannot take the event while it is calling.
        tokio::spawn(async move {
            // Without a ResourceManager nobody needs to know.
            let _ = events.send(event).await;
        });
    }
}

impl fmt::Debug for EmbeddedDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedDriver")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl ResourceDriver for EmbeddedDriver {
    fn default_container(&self) -> Option<DefaultContainer> {
        let slot = SlotSize {
            memory_bytes: self
                .memory_bytes
                .map_or(u64::MAX, |bytes| bytes / u64::from(self.slots.max(1))),
            ..SlotSize::UNLIMITED
        };
        let slots = self.slots;
        Some(DefaultContainer { slots, slot })
    }

    fn start(&mut self, context: DriverContext) {
        self.context = Some(context);
    }

    fn set_outstanding(&mut self, profile: Option<ResourceProfile>, count: u32) {
        if let Some(failure) = self.refusal(profile).filter(|_| count > 0) {
            self.report(DriverEvent::Refused { profile, failure });
            return;
        }
        let untaken = self.untaken.entry(profile).or_default();
        let new = count.saturating_sub(*untaken);
        *untaken += new;
        for _ in 0..new {
            self.created += 1;
            let container = ContainerId(format!("embedded-{}", self.created));
            let slots = profile.map_or(self.slots, |_| 1);
            self.containers.insert(container.clone(), slots);
            self.report(DriverEvent::Allocated {
                container,
                host: HOST.to_owned(),
                profile,
            });
        }
    }

    fn allocation_taken(&mut self, _container: &ContainerId, profile: Option<ResourceProfile>) {
        if let Some(untaken) = self.untaken.get_mut(&profile) {
            *untaken = untaken.saturating_sub(1);
        }
    }

    fn launch(&mut self, container: &ContainerId) {
        let Some(context) = &self.context else { return };
        let slots = self.containers.get(container).copied();
        let (slots, factory) = (slots.unwrap_or(self.slots), Arc::clone(&self.factory));
        let connections = context.connections.clone();
        let agent = agent::run(container.clone(), slots, factory, connections);
        self.agents.insert(container.clone(), tokio::spawn(agent));
    }

    fn release(&mut self, container: &ContainerId) {
        if let Some(agent) = self.agents.remove(container) {
            // Its workers see their commands end, and follow.
            agent.abort();
        }
        self.containers.remove(container);
        let failure = Failure::new(FailureClass::Transient, "the container was released");
        let (container, loss) = (container.clone(), ContainerLoss::Surroundings);
        self.report(DriverEvent::Completed {
            container,
            loss,
            failure,
        });
    }

    async fn stop(&mut self) {
        for agent in std::mem::take(&mut self.agents).into_values() {
            // Agents were told to stop; they end when their workers have.
            if tokio::time::timeout(agent::STOP_TIMEOUT, agent)
                .await
                .is_err()
            {
                tracing::warn!("an embedded task executor did not stop in time");
            }
        }
    }
}
