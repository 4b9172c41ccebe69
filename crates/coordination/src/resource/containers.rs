//! The containers that are coming or here, and who holds their slots.

use std::collections::{BTreeMap, BTreeSet};

use flott_model::{ContainerId, JobId, ResourceProfile, SlotId};

use super::size::SlotSize;
use crate::SlotRequirement;

/// Who holds a slot, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHolder {
    /// The job.
    pub job: JobId,
    /// Which need of the job it meets; `None`: one of default size.
    pub profile: Option<ResourceProfile>,
}

/// One container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) host: String,
    /// What it was made for; `None`: it is of default size.
    pub(super) profile: Option<ResourceProfile>,
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
        slots: Vec<Option<SlotHolder>>,
        /// Number of the present or the last idle period.
        idle: u64,
    },
}

impl Container {
    pub(super) fn slots(&self) -> &[Option<SlotHolder>] {
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
        let holders = self.slots().iter().flatten();
        holders.map(|holder| holder.job).collect()
    }
}

/// All containers by id.
#[derive(Debug)]
pub(super) struct Containers {
    pub(super) by_id: BTreeMap<ContainerId, Container>,
    /// What a slot of a container of default size offers.
    default_slot: SlotSize,
}

impl Containers {
    pub(super) fn new(default_slot: SlotSize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            default_slot,
        }
    }

    /// What slots of that kind offer, and needs of that kind ask for.
    pub(super) fn size(&self, profile: Option<ResourceProfile>) -> SlotSize {
        SlotSize::of(profile, self.default_slot)
    }

    /// The kind of container that is made for a need: of default size if that is enough.
    pub(super) fn made_for(&self, need: Option<ResourceProfile>) -> Option<ResourceProfile> {
        need.filter(|_| !self.default_slot.covers(self.size(need)))
    }

    /// How many of a kind are on their way.
    pub(super) fn launched(&self, profile: Option<ResourceProfile>) -> usize {
        let of_kind = |it: &&Container| it.is_launched() && it.profile == profile;
        self.by_id.values().filter(of_kind).count()
    }

    /// What a job holds, by the needs that it meets.
    pub(super) fn held_by(&self, job: JobId) -> SlotRequirement {
        let holders = self.by_id.values().flat_map(Container::slots).flatten();
        holders
            .filter(|holder| holder.job == job)
            .map(|holder| holder.profile)
            .collect()
    }

    /// Whether there is a free slot that meets a need.
    pub(super) fn has_free(&self, need: Option<ResourceProfile>) -> bool {
        let mut containers = self.by_id.values();
        containers.any(|it| it.free() > 0 && self.size(it.profile).covers(self.size(need)))
    }

    /// Gives up to `wanted` free slots to a job for a need: from the containers whose slots exceed it
    /// least, and of those from the fullest first, so that idle ones can go.
    pub(super) fn take_free(&mut self, holder: SlotHolder, wanted: usize) -> Vec<SlotId> {
        let need = self.size(holder.profile);
        let mut candidates: Vec<(SlotSize, bool, usize, ContainerId)> = Vec::new();
        for (id, container) in &self.by_id {
            let (size, free) = (self.size(container.profile), container.free());
            if free > 0 && size.covers(need) {
                candidates.push((size, container.is_idle(), free, id.clone()));
            }
        }
        candidates.sort();
        let mut taken = Vec::new();
        for (_, _, _, id) in candidates {
            let Some(Container {
                stage: Stage::Registered { slots, .. },
                ..
            }) = self.by_id.get_mut(&id)
            else {
                continue;
            };
            for (index, slot) in (0..).zip(slots) {
                if taken.len() < wanted && slot.is_none() {
                    *slot = Some(holder);
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
        }) = self.by_id.get_mut(&slot.container)
        else {
            return false;
        };
        match slots.get_mut(slot.index as usize) {
            Some(held) if held.is_some_and(|holder| holder.job == job) => {
                *held = None;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes everything back from a job.
    pub(super) fn free_all(&mut self, job: JobId) -> BTreeSet<ContainerId> {
        let mut touched = BTreeSet::new();
        for (id, container) in &mut self.by_id {
            if let Stage::Registered { slots, .. } = &mut container.stage {
                for slot in slots {
                    if slot.take_if(|holder| holder.job == job).is_some() {
                        touched.insert(id.clone());
                    }
                }
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: JobId = JobId(1);
    const TWO: JobId = JobId(2);

    fn id(name: &str) -> ContainerId {
        ContainerId(name.to_owned())
    }

    fn slot(name: &str, index: u32) -> SlotId {
        SlotId {
            container: id(name),
            index,
        }
    }

    fn holder(job: JobId, profile: Option<ResourceProfile>) -> SlotHolder {
        SlotHolder { job, profile }
    }

    /// A core and that many bytes.
    fn profile(memory: u64) -> Option<ResourceProfile> {
        Some(ResourceProfile {
            cpu_millicores: 1000,
            task_heap_bytes: memory,
            ..ResourceProfile::default()
        })
    }

    /// Slots of default size offer a core and 100 bytes.
    fn containers(all: &[(&str, Option<ResourceProfile>, &[Option<SlotHolder>])]) -> Containers {
        let mut containers = Containers::new(SlotSize {
            memory_bytes: 100,
            cpu_millicores: 1000,
        });
        for (name, profile, slots) in all {
            let stage = Stage::Registered {
                slots: slots.to_vec(),
                idle: 0,
            };
            let container = Container {
                host: "h".to_owned(),
                profile: *profile,
                stage,
            };
            containers.by_id.insert(id(name), container);
        }
        containers
    }

    #[test]
    fn used_containers_are_filled_before_idle_ones() {
        let mut containers = containers(&[
            ("a", None, &[None, None]),
            ("b", None, &[Some(holder(ONE, None)), None]),
        ]);
        let taken = containers.take_free(holder(TWO, None), 2);
        assert_eq!(taken, [slot("b", 1), slot("a", 0)]);
        assert_eq!(containers.held_by(TWO).total(), 2);
        assert!(!containers.free(TWO, &slot("b", 0)), "it is another job's");
        assert!(!containers.free(TWO, &slot("z", 0)));
        assert_eq!(containers.free_all(TWO), BTreeSet::from([id("a"), id("b")]));
        assert!(containers.by_id[&id("a")].is_idle() && !containers.by_id[&id("b")].is_idle());
    }

    #[test]
    fn a_need_gets_the_smallest_slot_that_is_large_enough() {
        let mut containers = containers(&[
            ("a-huge", profile(900), &[None]),
            ("b-small", profile(50), &[None]),
            ("c-big", profile(500), &[None]),
            ("d-default", None, &[None]),
        ]);
        let mut take = |need| containers.take_free(holder(ONE, need), 1);
        assert_eq!(take(profile(400)), [slot("c-big", 0)]);
        assert_eq!(take(None), [slot("d-default", 0)], "never the small one");
        assert_eq!(take(profile(30)), [slot("b-small", 0)]);
        assert_eq!(take(profile(950)), [], "larger than any");
        assert_eq!(take(None), [slot("a-huge", 0)], "it fits, too");
        assert_eq!(containers.held_by(ONE).count(profile(400)), 1);
        assert_eq!(containers.held_by(ONE).count(None), 2);
        assert!(!containers.has_free(profile(1)));
    }

    #[test]
    fn containers_are_made_for_needs_that_exceed_the_default() {
        let containers = containers(&[]);
        let mut cores = profile(10).unwrap();
        cores.cpu_millicores = 1001;
        for (need, made) in [
            (None, None),
            (profile(100), None),
            (profile(101), profile(101)),
            (Some(cores), Some(cores)),
        ] {
            assert_eq!(containers.made_for(need), made);
        }
    }
}
