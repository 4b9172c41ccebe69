//! A cluster inside this process: each container is an agent task, each worker what the factory
//! starts. Same messages, same channels, no network.

mod agent;
mod partitions;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flott_coordination::resource::ContainerLoss;
use flott_model::{ContainerId, Failure, FailureClass};
use flott_protocol::message::{WorkerCommand, WorkerMessage, WorkerSpec};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::driver::{DriverContext, DriverEvent, ResourceDriver};

/// Starts a worker in this process. The worker registers first; it ends when the job tells it to,
/// or when its commands end; dropping its sender tells that it has ended.
pub type WorkerFactory = Arc<
    dyn Fn(WorkerSpec, mpsc::Sender<WorkerMessage>, mpsc::Receiver<WorkerCommand>) + Send + Sync,
>;

const HOST: &str = "localhost";

/// Provides containers that are tasks of this process.
pub struct EmbeddedDriver {
    slots: u32,
    factory: WorkerFactory,
    context: Option<DriverContext>,
    created: u64,
    /// Allocated events the ResourceManager has not taken yet.
    untaken: u32,
    agents: BTreeMap<ContainerId, JoinHandle<()>>,
}

impl EmbeddedDriver {
    /// A driver whose containers have so many slots each.
    pub fn new(slots: u32, factory: WorkerFactory) -> Self {
        let (created, untaken) = (0, 0);
        Self {
            slots,
            factory,
            context: None,
            created,
            untaken,
            agents: BTreeMap::new(),
        }
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
    fn slots_per_container(&self) -> Option<u32> {
        Some(self.slots)
    }

    fn start(&mut self, context: DriverContext) {
        self.context = Some(context);
    }

    fn set_outstanding(&mut self, count: u32) {
        while self.untaken < count {
            self.created += 1;
            self.untaken += 1;
            let container = ContainerId(format!("embedded-{}", self.created));
            self.report(DriverEvent::Allocated {
                container,
                host: HOST.to_owned(),
            });
        }
    }

    fn allocation_taken(&mut self, _container: &ContainerId) {
        self.untaken -= 1;
    }

    fn launch(&mut self, container: &ContainerId) {
        let Some(context) = &self.context else { return };
        let (slots, factory) = (self.slots, Arc::clone(&self.factory));
        let connections = context.connections.clone();
        let agent = agent::run(container.clone(), slots, factory, connections);
        self.agents.insert(container.clone(), tokio::spawn(agent));
    }

    fn release(&mut self, container: &ContainerId) {
        if let Some(agent) = self.agents.remove(container) {
            // Its workers see their commands end, and follow.
            agent.abort();
        }
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
