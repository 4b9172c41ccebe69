//! What stands behind the ResourceManager: who provides containers.

use flott_coordination::resource::{ContainerLoss, SlotSize};
use flott_model::{ContainerId, Failure, ResourceProfile};
use tokio::sync::mpsc;

use crate::connections::Connections;

/// Provides containers: YARN, or this process.
///
/// Calls return at once and never wait for the events to be taken: the ResourceManager makes them
/// between two events.
#[async_trait::async_trait]
pub trait ResourceDriver: Send {
    /// Its containers of default size, if not as configured.
    fn default_container(&self) -> Option<DefaultContainer> {
        None
    }

    /// Called first, once.
    fn start(&mut self, context: DriverContext);

    /// So many containers of a kind are to be outstanding (absolute), not counting those whose
    /// [`DriverEvent::Allocated`] was taken ([`ResourceDriver::allocation_taken`]). `None`: of default
    /// size; else each for one slot that offers that. If it cannot have such containers it says
    /// [`DriverEvent::Refused`].
    fn set_outstanding(&mut self, profile: Option<ResourceProfile>, count: u32);

    /// The ResourceManager takes an Allocated event of a kind: from now on it is in its books.
    fn allocation_taken(&mut self, container: &ContainerId, profile: Option<ResourceProfile>);

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

/// A container of default size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultContainer {
    /// How many slots it has.
    pub slots: u32,
    /// What each of them offers.
    pub slot: SlotSize,
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
        /// Of which kind, as it was asked for.
        profile: Option<ResourceProfile>,
    },
    /// Containers of a kind cannot be had.
    Refused {
        /// Of which.
        profile: Option<ResourceProfile>,
        /// Why, and what limits it.
        failure: Failure,
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
