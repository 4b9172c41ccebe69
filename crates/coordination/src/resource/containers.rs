//! The containers that are coming or here, and who holds their slots.

use std::collections::{BTreeMap, BTreeSet};

use flott_model::{ContainerId, JobId, SlotId};

/// One container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) host: String,
    pub(super) stage: Stage,
}

/// How far a container is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Launched; its agent has not registered.
    Launched,
    /// Its agent offers slots.
    Registered {
        /// Who holds each slot.
        slots: Vec<Option<JobId>>,
        /// Number of the present or the last idle period.
        idle: u64,
    },
}

impl Container {
    pub(super) fn slots(&self) -> &[Option<JobId>] {
        match &self.stage {
            Stage::Launched => &[],
            Stage::Registered { slots, .. } => slots,
        }
    }

    pub(super) fn free(&self) -> usize {
        self.slots()
            .iter()
            .filter(|holder| holder.is_none())
            .count()
    }

    pub(super) fn is_launched(&self) -> bool {
        matches!(self.stage, Stage::Launched)
    }

    /// Registered, and nobody holds anything of it.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_launched() && self.slots().iter().all(Option::is_none)
    }

    pub(super) fn holders(&self) -> BTreeSet<JobId> {
        self.slots().iter().flatten().copied().collect()
    }
}

/// All containers by id.
#[derive(Debug, Default)]
pub(super) struct Containers(pub(super) BTreeMap<ContainerId, Container>);

impl Containers {
    /// How many are on their way.
    pub(super) fn launched(&self) -> usize {
        self.0
            .values()
            .filter(|container| container.is_launched())
            .count()
    }

    pub(super) fn held_by(&self, job: JobId) -> usize {
        let slots = self.0.values().flat_map(Container::slots);
        slots.filter(|holder| **holder == Some(job)).count()
    }

    /// Gives up to `wanted` free slots to a job, from the fullest containers first, so that idle
    /// ones can go.
    pub(super) fn take_free(&mut self, job: JobId, wanted: usize) -> Vec<SlotId> {
        let mut candidates: Vec<(bool, usize, ContainerId)> = self
            .0
            .iter()
            .filter(|(_, container)| container.free() > 0)
            .map(|(id, container)| (container.is_idle(), container.free(), id.clone()))
            .collect();
        candidates.sort();
        let mut taken = Vec::new();
        for (_, _, id) in candidates {
            let Some(Container {
                stage: Stage::Registered { slots, .. },
                ..
            }) = self.0.get_mut(&id)
            else {
                continue;
            };
            for (index, holder) in (0..).zip(slots) {
                if taken.len() < wanted && holder.is_none() {
                    *holder = Some(job);
                    taken.push(SlotId {
                        container: id.clone(),
                        index,
                    });
                }
            }
        }
        taken
    }

    /// Takes a slot back from its holder; whether the job held it.
    pub(super) fn free(&mut self, job: JobId, slot: &SlotId) -> bool {
        let Some(Container {
            stage: Stage::Registered { slots, .. },
            ..
        }) = self.0.get_mut(&slot.container)
        else {
            return false;
        };
        match slots.get_mut(slot.index as usize) {
            Some(holder) if *holder == Some(job) => {
                *holder = None;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes everything back from a job.
    pub(super) fn free_all(&mut self, job: JobId) -> BTreeSet<ContainerId> {
        let mut touched = BTreeSet::new();
        for (id, container) in &mut self.0 {
            if let Stage::Registered { slots, .. } = &mut container.stage {
                for holder in slots.iter_mut().filter(|holder| **holder == Some(job)) {
                    *holder = None;
                    touched.insert(id.clone());
                }
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_containers_are_filled_before_idle_ones() {
        let registered = |slots: &[Option<JobId>]| Container {
            host: "h".to_owned(),
            stage: Stage::Registered {
                slots: slots.to_vec(),
                idle: 0,
            },
        };
        let id = |name: &str| ContainerId(name.to_owned());
        let (one, two) = (JobId(1), JobId(2));
        let mut containers = Containers::default();
        containers.0.insert(id("a"), registered(&[None, None]));
        containers.0.insert(id("b"), registered(&[Some(one), None]));
        let slot = |name: &str, index| SlotId {
            container: id(name),
            index,
        };
        assert_eq!(containers.take_free(two, 2), [slot("b", 1), slot("a", 0)]);
        assert_eq!(containers.held_by(two), 2);
        assert!(!containers.free(two, &slot("b", 0)), "it is another job's");
        assert!(!containers.free(two, &slot("z", 0)));
        assert_eq!(containers.free_all(two), BTreeSet::from([id("a"), id("b")]));
        assert!(containers.0[&id("a")].is_idle() && !containers.0[&id("b")].is_idle());
    }
}
