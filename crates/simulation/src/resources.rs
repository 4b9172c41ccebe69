//! The shell of the ResourceManager: performs its actions, as the real one does.

use flott_coordination::job::JobEvent;
use flott_coordination::resource::{ResourceAction, ResourceEvent};

use crate::record::Kind;
use crate::world::{Channel, Happening, World};

impl World {
    pub(crate) fn tell_resources(&mut self, event: ResourceEvent) {
        match &event {
            ResourceEvent::Required { job, slots } => {
                let record = self.record.of(*job);
                let each = slots.iter().map(|(kind, count)| (kind, count as usize));
                record.required = each.collect();
                if slots.is_empty() {
                    record.granted.clear();
                }
            }
            ResourceEvent::Released { job, slots } => {
                self.record
                    .of(*job)
                    .granted
                    .retain(|slot, _| !slots.contains(slot));
            }
            ResourceEvent::AgentRegistered { container, .. }
            | ResourceEvent::ContainerCompleted { container, .. } => {
                self.record.coming.remove(container);
            }
            _ => (),
        }
        for action in self.resources.handle(self.now, event) {
            self.perform_for_resources(action);
        }
    }

    /// Containers of a kind that the missing slots take.
    pub(crate) fn needed_containers(&self, kind: Kind) -> usize {
        let missing = self.record.missing().into_iter();
        let slots = missing.filter(|(need, _)| {
            let is_enough = self.covers(None, *need);
            if kind.is_none() {
                is_enough
            } else {
                *need == kind && !is_enough
            }
        });
        let slots: usize = slots.map(|(_, count)| count).sum();
        match kind {
            None => slots.div_ceil(self.plan.resources.slots_per_container as usize),
            Some(_) => slots,
        }
    }

    /// Whether a slot that was made for one thing is large enough for another.
    pub(crate) fn covers(&self, slot: Kind, need: Kind) -> bool {
        let default = self.plan.resources.default_slot;
        let size = |kind: Kind| match kind {
            None => (default.memory_bytes, default.cpu_millicores),
            Some(it) => (it.task_heap_bytes + it.managed_bytes, it.cpu_millicores),
        };
        size(slot).0 >= size(need).0 && size(slot).1 >= size(need).1
    }

    fn perform_for_resources(&mut self, action: ResourceAction) {
        match action {
            ResourceAction::SetOutstanding {
                profile,
                containers,
            } => {
                self.record.outstanding.insert(profile, containers);
                self.ask_driver(profile, containers);
            }
            ResourceAction::Launch(container) => {
                let kind = self.record.kinds[&container];
                let needed = self.needed_containers(kind);
                if self.record.coming(kind) >= needed {
                    self.record.needless_launch = Some(container.clone());
                }
                self.record.coming.insert(container.clone());
                self.say(
                    Channel::ResourceToDriver,
                    Happening::ContainerLaunches(container),
                );
            }
            ResourceAction::ReleaseContainer { container, reason } => {
                self.check_not_needed(&container, &reason);
                self.record.coming.remove(&container);
                self.say(
                    Channel::ResourceToDriver,
                    Happening::ContainerDies(container, false),
                );
            }
            ResourceAction::Grant { job, slots } => {
                for offer in &slots {
                    let (slot, need) = (offer.slot.clone(), offer.profile);
                    let kind = self.record.kinds[&slot.container];
                    if !self.covers(kind, need) {
                        let what = format!("{slot:?} is for {kind:?}, granted for {need:?}");
                        self.record.wrong_size.get_or_insert(what);
                    }
                    self.record.of(job).granted.insert(slot, need);
                }
                let event = JobEvent::SlotsGranted(slots);
                self.say(Channel::ResourceToJob(job), Happening::Job(job, event));
            }
            ResourceAction::NotifyLost {
                job,
                container,
                failure,
            } => {
                self.record
                    .of(job)
                    .granted
                    .retain(|slot, _| slot.container != container);
                let event = JobEvent::ContainerLost { container, failure };
                self.say(Channel::ResourceToJob(job), Happening::Job(job, event));
            }
            ResourceAction::GiveUp { job, failure } => {
                let event = JobEvent::SlotsUnavailable(failure);
                self.say(Channel::ResourceToJob(job), Happening::Job(job, event));
            }
            ResourceAction::ScheduleTimer(timer, due) => {
                self.at(due, Happening::Resource(ResourceEvent::TimerFired(timer)));
            }
        }
    }
}
