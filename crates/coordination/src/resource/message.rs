//! What the ResourceManager's state machine hears and asks for.

use std::time::Duration;

use flott_model::{ContainerId, Failure, JobId, ResourceProfile, SlotId};

use super::size::SlotSize;
use crate::job::SlotOffer;
use crate::{SlotRequirement, Timestamp};

/// What the configuration says about containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSettings {
    /// Slots of one task executor (`taskmanager.numberOfTaskSlots`).
    pub slots_per_container: u32,
    /// What each of them offers.
    pub default_slot: SlotSize,
    /// A container without reserved slots is released after that (`resourcemanager.taskmanager-timeout`).
    pub idle_timeout: Duration,
    /// A launched container's agent must register within that, or the container is replaced.
    pub registration_timeout: Duration,
    /// So many failed containers are tolerated (`yarn.maximum-failed-containers`): one more, and no
    /// further ones are asked for. `None`: any number.
    pub maximum_failed_containers: Option<u32>,
}

/// Timers the core asks for; they come back as [`ResourceEvent::TimerFired`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceTimer {
    /// An agent did not register.
    Registration(ContainerId),
    /// A container may be idle for too long. The number tells idle periods apart.
    Idle(ContainerId, u64),
}

/// Who is to blame for a container that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerLoss {
    /// Preempted, node lost, released: not counted as a failure of the application.
    Surroundings,
    /// Crashed, killed for memory, could not be localized: counted.
    Application,
}

/// Everything that can happen to the ResourceManager.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceEvent {
    /// A job needs those slots in all (absolute); none when it ends.
    Required {
        /// Who.
        job: JobId,
        /// Which.
        slots: SlotRequirement,
    },
    /// A job gave slots back.
    Released {
        /// Who.
        job: JobId,
        /// Which.
        slots: Vec<SlotId>,
    },
    /// The driver received a container (YARN) or a process appeared that nobody asked for
    /// (standalone): it will register.
    ContainerAllocated {
        /// Which.
        container: ContainerId,
        /// Where.
        host: String,
        /// What it was asked for; `None`: one of default size.
        profile: Option<ResourceProfile>,
    },
    /// The driver cannot have containers for slots of that kind.
    ContainersRefused {
        /// What they were asked for.
        profile: Option<ResourceProfile>,
        /// Why, and what limits it.
        failure: Failure,
    },
    /// The launch of an allocated container failed at once.
    LaunchFailed {
        /// Which.
        container: ContainerId,
        /// Why.
        failure: Failure,
    },
    /// A container ended, as the driver says.
    ContainerCompleted {
        /// Which.
        container: ContainerId,
        /// Who is to blame.
        loss: ContainerLoss,
        /// Exit status in words.
        failure: Failure,
    },
    /// An agent is connected and offers its slots. A container that was lost or given back once
    /// is never taken back: an agent that wants back comes with a new id.
    AgentRegistered {
        /// Its container.
        container: ContainerId,
        /// Its host.
        host: String,
        /// How many slots.
        slots: u32,
    },
    /// An agent's connection is lost for good (heartbeat timeout, process exit).
    AgentLost {
        /// Its container.
        container: ContainerId,
        /// Why.
        failure: Failure,
    },
    /// The driver cannot go on.
    DriverFailed(Failure),
    /// A timer fired.
    TimerFired(ResourceTimer),
}

/// Everything the ResourceManager can ask its shell to do.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceAction {
    /// From now on so many containers of a kind are to be outstanding at the driver (absolute). Said
    /// again after each allocation of the kind, in whatever way the driver counts those.
    SetOutstanding {
        /// What they are for: each of one slot that offers that. `None`: those of default size.
        profile: Option<ResourceProfile>,
        /// How many.
        containers: u32,
    },
    /// Start a task executor in an allocated container.
    Launch(ContainerId),
    /// Give a container back (surplus, idle, unresponsive); tell its agent to stop if connected.
    ReleaseContainer {
        /// Which.
        container: ContainerId,
        /// Why, for the log.
        reason: String,
    },
    /// Give slots to a job.
    Grant {
        /// To whom.
        job: JobId,
        /// Which.
        slots: Vec<SlotOffer>,
    },
    /// Tell the jobs that held slots there that a container is gone.
    NotifyLost {
        /// Who.
        job: JobId,
        /// Which.
        container: ContainerId,
        /// Why.
        failure: Failure,
    },
    /// No further containers will come: tell every job with unmet need.
    GiveUp {
        /// Who still waits.
        job: JobId,
        /// Why: how many failed, and the last one's diagnostics.
        failure: Failure,
    },
    /// Deliver [`ResourceEvent::TimerFired`] at that time.
    ScheduleTimer(ResourceTimer, Timestamp),
}
