//! The shell of the ResourceManager: performs its actions, as the real one does.

use flott_coordination::job::JobEvent;
use flott_coordination::resource::{ResourceAction, ResourceEvent};

use crate::world::{Channel, Happening, World};

impl World {
    pub(crate) fn tell_resources(&mut self, event: ResourceEvent) {
        match &event {
            ResourceEvent::Required { job, slots } => {
                let record = self.record.of(*job);
                record.required = *slots;
                if *slots == 0 {
                    record.granted.clear();
                }
            }
            ResourceEvent::Released { job, slots } => {
                self.record
                    .of(*job)
                    .granted
                    .retain(|slot| !slots.contains(slot));
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

    /// Containers that the missing slots take.
    pub(crate) fn needed_containers(&self) -> usize {
        let slots = self.plan.resources.slots_per_container as usize;
        self.record.missing().div_ceil(slots)
    }

    fn perform_for_resources(&mut self, action: ResourceAction) {
        match action {
            ResourceAction::SetOutstanding(containers) => {
                self.record.outstanding = containers;
                self.ask_driver(containers);
            }
            ResourceAction::Launch(container) => {
                let needed = self.needed_containers();
                if self.record.coming.len() >= needed {
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
                let granted = slots.iter().map(|offer| offer.slot.clone());
                self.record.of(job).granted.extend(granted);
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
                    .retain(|slot| slot.container != container);
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
