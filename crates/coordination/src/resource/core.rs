//! The state of the ResourceManager, its one entrance for events, and what the outside may see.

use std::collections::BTreeMap;

use flott_model::{ContainerId, Failure, FailureClass, JobId, ResourceProfile, SlotId};

use super::containers::{Container, Containers, SlotHolder, Stage};
use super::demand::Demand;
use super::departed::Departed;
use super::message::{
    ContainerLoss, ResourceAction, ResourceEvent, ResourceSettings, ResourceTimer,
};
use crate::{SlotRequirement, Timestamp};

/// What containers are made for: `None` is the default size.
pub(super) type Kind = Option<ResourceProfile>;

/// The ResourceManager as a state machine.
#[derive(Debug)]
pub struct ResourceCore {
    pub(super) settings: ResourceSettings,
    pub(super) demand: Demand,
    pub(super) containers: Containers,
    pub(super) departed: Departed,
    /// What the driver was told last of each kind; `None` if it must be told again. Of a kind that is
    /// not here, nothing is outstanding.
    pub(super) outstanding: BTreeMap<Kind, Option<u32>>,
    /// Kinds that the driver cannot have, and why.
    pub(super) refused: BTreeMap<Kind, Failure>,
    failed: u32,
    /// Set once no further containers are asked for.
    pub(super) given_up: Option<Failure>,
    idle_periods: u64,
    now: Timestamp,
    actions: Vec<ResourceAction>,
}

/// One container, as REST shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView<'a> {
    /// Which.
    pub container: &'a ContainerId,
    /// Where.
    pub host: &'a str,
    /// Whether its agent has registered.
    pub registered: bool,
    /// What it was made for; `None`: it is of default size.
    pub profile: Option<ResourceProfile>,
    /// Who holds each of its slots; empty before it registers.
    pub slots: &'a [Option<SlotHolder>],
}

impl ResourceCore {
    /// A ResourceManager that nobody has asked for anything.
    pub fn new(settings: ResourceSettings) -> Self {
        // A configuration of 0 slots could never meet any need; one is the least that can.
        let slots_per_container = settings.slots_per_container.max(1);
        Self {
            containers: Containers::new(settings.default_slot),
            settings: ResourceSettings {
                slots_per_container,
                ..settings
            },
            demand: Demand::default(),
            departed: Departed::default(),
            outstanding: BTreeMap::new(),
            refused: BTreeMap::new(),
            failed: 0,
            given_up: None,
            idle_periods: 0,
            now: Timestamp::ZERO,
            actions: Vec::new(),
        }
    }

    /// Applies one event. All control flow begins in this match.
    pub fn handle(&mut self, now: Timestamp, event: ResourceEvent) -> Vec<ResourceAction> {
        self.now = now;
        match event {
            ResourceEvent::Required { job, slots } => self.require(job, slots),
            ResourceEvent::Released { job, slots } => self.take_back(job, &slots),
            ResourceEvent::ContainerAllocated {
                container,
                host,
                profile,
            } => {
                self.allocated(container, host, profile);
            }
            ResourceEvent::ContainersRefused { profile, failure } => {
                self.refused.insert(profile, failure);
            }
            ResourceEvent::LaunchFailed { container, failure } => {
                self.launch_failed(&container, failure);
            }
            ResourceEvent::ContainerCompleted {
                container,
                loss,
                failure,
            } => {
                self.completed(&container, loss, failure);
            }
            ResourceEvent::AgentRegistered {
                container,
                host,
                slots,
            } => {
                self.register(container, host, slots);
            }
            ResourceEvent::AgentLost { container, failure } => {
                self.agent_lost(&container, &failure);
            }
            ResourceEvent::DriverFailed(failure) => self.give_up(failure),
            ResourceEvent::TimerFired(timer) => self.timer_fired(timer),
        }
        self.settle();
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        std::mem::take(&mut self.actions)
    }

    /// Every container that is coming or here, by id.
    pub fn containers(&self) -> impl Iterator<Item = ContainerView<'_>> {
        self.containers
            .by_id
            .iter()
            .map(|(id, container)| ContainerView {
                container: id,
                host: &container.host,
                registered: !container.is_launched(),
                profile: container.profile,
                slots: container.slots(),
            })
    }

    /// Slots of all registered containers.
    pub fn total_slots(&self) -> usize {
        self.containers
            .by_id
            .values()
            .map(|container| container.slots().len())
            .sum()
    }

    /// Slots that nobody holds.
    pub fn free_slots(&self) -> usize {
        self.containers.by_id.values().map(Container::free).sum()
    }

    /// Containers that the driver is asked for or that have not registered yet.
    pub fn pending_containers(&self) -> usize {
        let asked_for = self.outstanding.values().flatten();
        let coming = self.containers.by_id.values().filter(|it| it.is_launched());
        asked_for.sum::<u32>() as usize + coming.count()
    }

    /// Containers that failed so far.
    pub fn failed_containers(&self) -> u32 {
        self.failed
    }

    fn require(&mut self, job: JobId, slots: SlotRequirement) {
        for (need, _) in slots.iter() {
            // Who asks again is answered again: the cluster may have grown.
            self.refused.remove(&self.containers.made_for(need));
        }
        let ends = slots.is_empty();
        self.demand.set(job, slots);
        if ends {
            for container in self.containers.free_all(job) {
                self.watch_if_idle(&container);
            }
        }
    }

    fn take_back(&mut self, job: JobId, slots: &[SlotId]) {
        for slot in slots {
            if self.containers.free(job, slot) {
                self.watch_if_idle(&slot.container);
            }
        }
    }

    fn allocated(&mut self, container: ContainerId, host: String, profile: Kind) {
        if self.containers.by_id.contains_key(&container) {
            return; // Doubled, or its agent was faster than the driver's word.
        }
        // The driver counts this one as delivered, so it must hear the rest again.
        self.outstanding.insert(profile, None);
        if self.departed.contains(&container) {
            return; // It ended before its allocation was told.
        }
        let needed = self.needed_containers();
        let needed = needed.get(&profile).copied().unwrap_or_default();
        if self.given_up.is_some() || self.containers.launched(profile) >= needed {
            self.departed.insert(container.clone(), false);
            self.release(container, "surplus: nobody needs it any more");
            return;
        }
        self.containers.by_id.insert(
            container.clone(),
            Container {
                host,
                profile,
                stage: Stage::Launched,
            },
        );
        self.act(ResourceAction::Launch(container.clone()));
        let due = self.now.saturating_add(self.settings.registration_timeout);
        self.act(ResourceAction::ScheduleTimer(
            ResourceTimer::Registration(container),
            due,
        ));
    }

    fn launch_failed(&mut self, container: &ContainerId, failure: Failure) {
        let launched = self
            .containers
            .by_id
            .get(container)
            .is_some_and(Container::is_launched);
        if launched {
            self.release(container.clone(), "its launch failed");
            self.depart(container, &failure, false);
            self.count_failure(container, failure);
        }
    }

    fn completed(&mut self, container: &ContainerId, loss: ContainerLoss, failure: Failure) {
        let here = self.containers.by_id.contains_key(container);
        let counts = match loss {
            ContainerLoss::Surroundings => false,
            ContainerLoss::Application => here || self.departed.count(container),
        };
        if here {
            self.depart(container, &failure, false);
        } else if !self.departed.contains(container) {
            // Its allocation, if it is still to come, is stale.
            self.departed.insert(container.clone(), false);
        }
        if counts {
            self.count_failure(container, failure);
        }
    }

    fn register(&mut self, container: ContainerId, host: String, slots: u32) {
        if self.departed.contains(&container) {
            self.release(container, "it was given up before its agent registered");
            return;
        }
        let known = self.containers.by_id.get(&container);
        if known.is_some_and(|known| !known.is_launched()) {
            return; // The connection was renewed; nothing else changed.
        }
        let stage = Stage::Registered {
            slots: vec![None; slots as usize],
            idle: 0,
        };
        // One that nobody asked for is of default size.
        let profile = known.and_then(|known| known.profile);
        let registered = Container {
            host,
            profile,
            stage,
        };
        self.containers.by_id.insert(container.clone(), registered);
        self.watch_if_idle(&container);
    }

    fn agent_lost(&mut self, container: &ContainerId, failure: &Failure) {
        let registered = self
            .containers
            .by_id
            .get(container)
            .is_some_and(|it| !it.is_launched());
        if registered {
            self.release(container.clone(), "its agent was lost");
            // How the container ended, and whether that counts, is the driver's to say.
            self.depart(container, failure, true);
        }
    }

    fn timer_fired(&mut self, timer: ResourceTimer) {
        match timer {
            ResourceTimer::Registration(container) => self.registration_expired(&container),
            ResourceTimer::Idle(container, period) => self.idle_expired(&container, period),
        }
    }

    fn registration_expired(&mut self, container: &ContainerId) {
        let Some(waiting) = self
            .containers
            .by_id
            .get(container)
            .filter(|it| it.is_launched())
        else {
            return;
        };
        let message = format!(
            "the task executor did not register within {:?}",
            self.settings.registration_timeout
        );
        let failure = Failure::new(FailureClass::Transient, message)
            .at(format!("{container} ({})", waiting.host));
        self.release(container.clone(), "its agent did not register in time");
        self.depart(container, &failure, false);
        self.count_failure(container, failure);
    }

    fn idle_expired(&mut self, container: &ContainerId, period: u64) {
        let Some(found) = self
            .containers
            .by_id
            .get(container)
            .filter(|it| it.is_idle())
        else {
            return;
        };
        if matches!(found.stage, Stage::Registered { idle, .. } if idle == period) {
            self.containers.by_id.remove(container);
            self.departed.insert(container.clone(), false);
            self.release(
                container.clone(),
                "idle (resourcemanager.taskmanager-timeout)",
            );
        }
    }

    /// Begins an idle period if nobody holds anything of the container.
    fn watch_if_idle(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.by_id.get_mut(id).filter(|it| it.is_idle()) else {
            return;
        };
        if let Stage::Registered { idle, .. } = &mut container.stage {
            self.idle_periods += 1;
            *idle = self.idle_periods;
            let timer = ResourceTimer::Idle(id.clone(), self.idle_periods);
            let due = self.now.saturating_add(self.settings.idle_timeout);
            self.act(ResourceAction::ScheduleTimer(timer, due));
        }
    }

    /// Forgets a container and tells those who held slots there.
    fn depart(&mut self, id: &ContainerId, failure: &Failure, may_count: bool) {
        let Some(container) = self.containers.by_id.remove(id) else {
            return;
        };
        self.departed.insert(id.clone(), may_count);
        for job in container.holders() {
            let (container, failure) = (id.clone(), failure.clone());
            self.act(ResourceAction::NotifyLost {
                job,
                container,
                failure,
            });
        }
    }

    fn count_failure(&mut self, container: &ContainerId, failure: Failure) {
        self.failed += 1;
        let Some(maximum) = self.settings.maximum_failed_containers else {
            return;
        };
        if self.failed > maximum {
            let message = format!(
                "{} containers failed, {maximum} are tolerated (yarn.maximum-failed-containers); \
                 the last one, {container}: {failure}",
                self.failed
            );
            self.give_up(Failure::new(FailureClass::Fatal, message));
        }
    }

    fn give_up(&mut self, failure: Failure) {
        // The first reason is the one that explains the others.
        self.given_up.get_or_insert(failure);
    }

    fn release(&mut self, container: ContainerId, reason: &str) {
        let reason = reason.to_owned();
        self.act(ResourceAction::ReleaseContainer { container, reason });
    }

    pub(super) fn act(&mut self, action: ResourceAction) {
        self.actions.push(action);
    }
}

#[cfg(test)]
mod tests;
