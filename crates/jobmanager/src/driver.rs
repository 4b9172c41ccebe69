//! What stands behind the ResourceManager: who provides containers.

use flott_coordination::resource::ContainerLoss;
use flott_model::{ContainerId, Failure};
use tokio::sync::mpsc;

use crate::connections::Connections;

/// Provides containers: YARN, or this process.
///
/// Calls return at once and never wait for the events to be taken: the ResourceManager makes them
/// between two events.
#[async_trait::async_trait]
pub trait ResourceDriver: Send {
    /// Slots of its containers, if not as configured.
    fn slots_per_container(&self) -> Option<u32> {
        None
    }

    /// Called first, once.
    fn start(&mut self, context: DriverContext);

    /// So many containers are to be outstanding (absolute), not counting those whose
    /// [`DriverEvent::Allocated`] was taken ([`ResourceDriver::allocation_taken`]).
    fn set_outstanding(&mut self, count: u32);

    /// The ResourceManager takes an Allocated event: from now on it is in its books.
    fn allocation_taken(&mut self, container: &ContainerId);

    /// Starts a task executor in an allocated container. Answered by its agent's connection, by
    /// LaunchFailed, or by Completed.
    fn launch(&mut self, container: &ContainerId);

    /// Gives a container back, whatever runs in it.
    fn release(&mut self, container: &ContainerId);

    /// A container seems to have ended: news of it are awaited.
    fn hurry(&mut self) {}

    /// Gives everything back.
    async fn stop(&mut self);
}

/// What a driver works with.
#[derive(Debug, Clone)]
pub struct DriverContext {
    /// Where it reports.
    pub events: mpsc::Sender<DriverEvent>,
    /// For drivers whose agents are in this process.
    pub connections: Connections,
}

/// What a driver reports.
#[derive(Debug, Clone, PartialEq)]
pub enum DriverEvent {
    /// A container was received.
    Allocated {
        /// Which.
        container: ContainerId,
        /// Where.
        host: String,
    },
    /// A container ended.
    Completed {
        /// Which.
        container: ContainerId,
        /// Who is to blame.
        loss: ContainerLoss,
        /// Exit status in words.
        failure: Failure,
    },
    /// A task executor could not be started.
    LaunchFailed {
        /// Where.
        container: ContainerId,
        /// Why.
        failure: Failure,
    },
    /// The driver cannot go on.
    Failed(Failure),
}
