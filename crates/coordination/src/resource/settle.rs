//! What follows from needs, slots and containers, whatever happened: grants, what is asked for, bad
//! news; and what holds afterwards.

use std::collections::BTreeMap;

use flott_model::JobId;

use super::containers::{Container, SlotHolder};
use super::core::{Kind, ResourceCore};
use super::message::ResourceAction;
use crate::SlotRequirement;
use crate::job::SlotOffer;

impl ResourceCore {
    /// Brings grants, outstanding containers and bad news in line with what is wanted.
    pub(super) fn settle(&mut self) {
        self.grant();
        let needed = self.needed_containers();
        for kind in self.known_kinds(&needed) {
            let hopeless = self.given_up.is_some() || self.refused.contains_key(&kind);
            let needed = needed.get(&kind).filter(|_| !hopeless).copied();
            let missing = needed
                .unwrap_or_default()
                .saturating_sub(self.containers.launched(kind));
            self.ask_for(kind, u32::try_from(missing).unwrap_or(u32::MAX));
        }
        self.tell_bad_news();
    }

    /// The kinds of containers that are needed, or that the driver was told of.
    fn known_kinds(&self, needed: &BTreeMap<Kind, usize>) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = needed
            .keys()
            .chain(self.outstanding.keys())
            .copied()
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn ask_for(&mut self, profile: Kind, containers: u32) {
        let told = self.outstanding.get(&profile).copied();
        if told.unwrap_or(Some(0)) != Some(containers) {
            self.act(ResourceAction::SetOutstanding {
                profile,
                containers,
            });
        }
        if containers == 0 {
            self.outstanding.remove(&profile);
        } else {
            self.outstanding.insert(profile, Some(containers));
        }
    }

    fn tell_bad_news(&mut self) {
        for (job, missing) in self.missing() {
            let mut needs = missing.iter().map(|(need, _)| need);
            let refused = |need| self.refused.get(&self.containers.made_for(need));
            let bad_news = match &self.given_up {
                Some(failure) => needs.next().map(|_| failure),
                None => needs.find_map(refused),
            };
            if let Some(failure) = bad_news.cloned()
                && self.demand.tell(job)
            {
                self.act(ResourceAction::GiveUp { job, failure });
            }
        }
    }

    fn grant(&mut self) {
        for (job, missing) in self.missing() {
            // What is hardest to meet first, so that lesser needs do not take its slots.
            let mut needs: Vec<(Kind, u32)> = missing.iter().collect();
            needs.sort_by_key(|(need, _)| std::cmp::Reverse(self.containers.size(*need)));
            let mut offers = Vec::new();
            for (profile, count) in needs {
                let holder = SlotHolder { job, profile };
                let slots = self.containers.take_free(holder, count as usize);
                offers.extend(slots.into_iter().map(|slot| SlotOffer {
                    host: self.containers.by_id[&slot.container].host.clone(),
                    slot,
                    profile,
                }));
            }
            if !offers.is_empty() {
                let slots = offers;
                self.act(ResourceAction::Grant { job, slots });
            }
        }
    }

    /// Which slots each job lacks, in order of request.
    pub(super) fn missing(&self) -> Vec<(JobId, SlotRequirement)> {
        let lacks = |(job, required): (JobId, &SlotRequirement)| {
            (job, required.lacking(&self.containers.held_by(job)))
        };
        self.demand.in_order().into_iter().map(lacks).collect()
    }

    /// How many containers of each kind the slots that are missing take.
    pub(super) fn needed_containers(&self) -> BTreeMap<Kind, usize> {
        let mut slots: BTreeMap<Kind, usize> = BTreeMap::new();
        for (_, missing) in self.missing() {
            for (need, count) in missing.iter() {
                *slots.entry(self.containers.made_for(need)).or_default() += count as usize;
            }
        }
        if let Some(slots) = slots.get_mut(&None) {
            *slots = slots.div_ceil(self.settings.slots_per_container as usize);
        }
        slots
    }

    pub(super) fn check_invariants(&self) {
        for (_, missing) in self.missing() {
            for (need, _) in missing.iter() {
                assert!(
                    !self.containers.has_free(need),
                    "free slots are granted at once"
                );
            }
        }
        let needed = self.needed_containers();
        for (kind, outstanding) in &self.outstanding {
            let outstanding = outstanding.unwrap_or(u32::MAX) as usize;
            assert!(
                needed
                    .get(kind)
                    .is_some_and(|needed| outstanding <= *needed),
                "never more outstanding than needed"
            );
            assert!(
                self.given_up.is_none() && !self.refused.contains_key(kind),
                "who gave up asks for nothing"
            );
        }
        for id in self.containers.by_id.keys() {
            assert!(!self.departed.contains(id), "nothing comes back");
        }
        let jobs: Vec<JobId> = self
            .demand
            .in_order()
            .into_iter()
            .map(|(job, _)| job)
            .collect();
        let holders = self.containers.by_id.values().flat_map(Container::holders);
        for job in holders {
            assert!(
                jobs.contains(&job),
                "whoever holds slots has a standing requirement"
            );
        }
    }
}
