//! A cluster that gives containers: none, late, too many, broken ones; and the agents in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flott_coordination::resource::{ContainerLoss, ResourceEvent};
use flott_model::{ContainerId, Failure, FailureClass, Incarnation, JobId};

use crate::record::Kind;
use crate::world::{Channel, Happening, ProcessId, World};

/// What the driver owes the ResourceManager.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) outstanding: BTreeMap<Kind, u32>,
    beating: bool,
    /// Containers that were ever allocated.
    allocated: u32,
}

/// A container that exists.
#[derive(Debug, Default)]
pub(crate) struct Container {
    host: String,
    kind: Kind,
    launched: bool,
    /// Its agent runs and has dialled.
    pub(crate) registered: bool,
    /// The agent's connection is broken.
    pub(crate) severed: bool,
    /// Newest worker of each job that the agent was asked to start.
    pub(crate) newest: BTreeMap<JobId, Incarnation>,
    /// Jobs whose partitions it is to delete.
    pub(crate) released: BTreeSet<JobId>,
}

impl World {
    pub(crate) fn ask_driver(&mut self, kind: Kind, containers: u32) {
        if containers == 0 {
            self.driver.outstanding.remove(&kind);
        } else {
            self.driver.outstanding.insert(kind, containers);
        }
        if containers > 0 && !self.driver.beating {
            self.driver.beating = true;
            let pause = self.random.millis(100..1_000);
            self.after(pause, Happening::Heartbeat);
        }
    }

    /// Gives what the cluster has at this moment.
    pub(crate) fn heartbeat(&mut self) {
        let mut outstanding = std::mem::take(&mut self.driver.outstanding);
        outstanding.entry(None).or_default(); // Also what nobody asked for may come.
        let mut rest = Vec::new();
        for (kind, wanted) in outstanding {
            if kind.is_some() && self.trouble() {
                let failure = Failure::new(FailureClass::Fatal, "too large for this cluster");
                let event = ResourceEvent::ContainersRefused {
                    profile: kind,
                    failure,
                };
                self.say(Channel::DriverToResource, Happening::Resource(event));
                continue;
            }
            let mut given = wanted;
            if self.trouble() {
                given = self.random.small(0..given + 1); // The rest comes late.
            } else if self.trouble() {
                given += self.random.small(1..3); // More than was asked for.
            }
            for _ in 0..given {
                self.allocate(kind);
            }
            rest.push((kind, wanted.saturating_sub(given)));
        }
        self.driver.beating = false;
        for (kind, wanted) in rest {
            self.ask_driver(kind, wanted);
        }
    }

    fn allocate(&mut self, kind: Kind) {
        self.driver.allocated += 1;
        let id = ContainerId(format!("container_{:03}", self.driver.allocated));
        let host = format!("host-{}", self.random.within(0..4));
        let container = Container {
            host: host.clone(),
            kind,
            ..Container::default()
        };
        self.containers.insert(id.clone(), container);
        self.record.kinds.insert(id.clone(), kind);
        let event = ResourceEvent::ContainerAllocated {
            container: id,
            host,
            profile: kind,
        };
        self.say(Channel::DriverToResource, Happening::Resource(event));
    }

    pub(crate) fn launch(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if std::mem::replace(&mut container.launched, true) {
            return;
        }
        if self.trouble() {
            self.containers.remove(id);
            let failure = Failure::new(FailureClass::Transient, "the node refused the launch");
            let event = ResourceEvent::LaunchFailed {
                container: id.clone(),
                failure,
            };
            self.say(Channel::DriverToResource, Happening::Resource(event));
        } else if self.trouble() {
            let delay = self.random.millis(0..5_000);
            self.after(delay, Happening::ContainerDies(id.clone(), true));
        } else if self.trouble() {
            // It hangs, and nobody hears of it.
        } else {
            let slow = self.trouble();
            let delay = self
                .random
                .millis(if slow { 0..40_000 } else { 300..2_000 });
            self.after(delay, Happening::AgentStarts(id.clone()));
        }
    }

    pub(crate) fn start_agent(&mut self, id: &ContainerId) {
        let default_slots = self.plan.resources.slots_per_container;
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if std::mem::replace(&mut container.registered, true) {
            return; // A launch that was doubled.
        }
        let host = container.host.clone();
        let slots = container.kind.map_or(default_slots, |_| 1);
        let event = ResourceEvent::AgentRegistered {
            container: id.clone(),
            host,
            slots,
        };
        let channel = Channel::AgentToResource(id.clone());
        self.say(channel, Happening::FromAgent(id.clone(), event));
    }

    /// A container ends with everything in it; driver and connections tell, each in its time.
    pub(crate) fn kill_container(&mut self, id: &ContainerId, blame: bool) {
        let Some(container) = self.containers.remove(id) else {
            return;
        };
        let (loss, why) = if blame {
            (ContainerLoss::Application, "exit code 137")
        } else {
            (
                ContainerLoss::Surroundings,
                "released, preempted, or its node was lost",
            )
        };
        let failure = Failure::new(FailureClass::Transient, why);
        if container.registered {
            self.report_agent_lost(id, 1_000);
        }
        let delay = self.random.millis(0..3_000);
        let event = ResourceEvent::ContainerCompleted {
            container: id.clone(),
            loss,
            failure,
        };
        self.after(delay, Happening::Resource(event));
        let inside: Vec<ProcessId> = self
            .processes
            .keys()
            .filter(|(_, worker)| worker.container == *id)
            .cloned()
            .collect();
        for process in inside {
            self.kill_worker(&process, "killed by SIGKILL");
        }
        self.lose_partitions(id, &container);
    }

    /// An agent cannot be reached any more, though its container lives.
    pub(crate) fn sever_agent(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if container.registered && !container.severed {
            container.severed = true;
            self.report_agent_lost(id, 10_000);
            // It gives itself up when it finds no leader, whether anybody releases it or not.
            let end = Duration::from_secs(60);
            self.after(end, Happening::ContainerDies(id.clone(), true));
        }
    }

    fn report_agent_lost(&mut self, id: &ContainerId, within: u64) {
        let failure = Failure::new(FailureClass::Transient, "the agent's connection was lost");
        let event = ResourceEvent::AgentLost {
            container: id.clone(),
            failure,
        };
        let delay = self.random.millis(0..within);
        self.after(delay, Happening::Resource(event));
    }
}
