//! The slots a job holds, and which subtasks go where.
//!
//! A slot keeps its position while it is held: a restart moves only what it must.

use std::collections::{BTreeMap, BTreeSet};

use flott_model::{ContainerId, ResourceProfile, SlotId};

use super::message::SlotOffer;
use crate::SlotRequirement;

/// The slots that the ResourceManager gave to the job.
#[derive(Debug)]
pub(super) struct SlotPool {
    /// What the job wants to hold.
    needed: SlotRequirement,
    held: BTreeMap<SlotId, Held>,
    /// Subtask i of a group runs at the group's i-th position.
    positions: Vec<Position>,
}

#[derive(Debug)]
struct Held {
    host: String,
    /// Which need it meets.
    profile: Option<ResourceProfile>,
}

#[derive(Debug)]
struct Position {
    /// What its slot must offer.
    profile: Option<ResourceProfile>,
    slot: Option<SlotId>,
}

impl SlotPool {
    /// An empty pool for these positions, each with what its slot must offer.
    pub(super) fn new(positions: &[Option<ResourceProfile>]) -> Self {
        let empty = |profile: &Option<ResourceProfile>| Position {
            profile: *profile,
            slot: None,
        };
        Self {
            needed: positions.iter().copied().collect(),
            held: BTreeMap::new(),
            positions: positions.iter().map(empty).collect(),
        }
    }

    /// Takes what is missing and returns the rest. A doubled offer changes nothing.
    pub(super) fn offer(&mut self, offers: Vec<SlotOffer>) -> Vec<SlotId> {
        let mut surplus = Vec::new();
        let mut lacking = self.lacking();
        for offer in offers {
            let SlotOffer {
                slot,
                host,
                profile,
            } = offer;
            if self.held.contains_key(&slot) {
                continue;
            }
            if lacking.take(profile) {
                self.held.insert(slot, Held { host, profile });
            } else {
                surplus.push(slot);
            }
        }
        surplus
    }

    /// From now on those are enough; what is held beyond stays until the end.
    pub(super) fn shrink_to(&mut self, needed: SlotRequirement) {
        self.needed = needed;
    }

    pub(super) fn needed(&self) -> u32 {
        self.needed.total()
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.lacking().is_empty()
    }

    fn lacking(&self) -> SlotRequirement {
        let held: SlotRequirement = self.held.values().map(|held| held.profile).collect();
        self.needed.lacking(&held)
    }

    /// `; missing are 2 of (1 core, 700 MiB task heap)`: what is missing, if it is not of default size alone.
    pub(super) fn missing_sizes(&self) -> String {
        let lacking = self.lacking();
        if lacking.iter().any(|(profile, _)| profile.is_some()) {
            format!("; missing are {lacking}")
        } else {
            String::new()
        }
    }

    pub(super) fn holds(&self, slot: &SlotId) -> bool {
        self.held.contains_key(slot)
    }

    pub(super) fn holds_in(&self, container: &ContainerId) -> bool {
        self.indices_in(container).next().is_some()
    }

    /// Forgets the slots of a container.
    pub(super) fn lose(&mut self, container: &ContainerId) {
        self.held.retain(|slot, _| slot.container != *container);
    }

    /// Gives up everything.
    pub(super) fn drain(&mut self) -> Vec<SlotId> {
        std::mem::take(&mut self.held).into_keys().collect()
    }

    /// Fills the positions that have no slot (any more) with slots of their kind that have no
    /// position, as far as they go.
    pub(super) fn assign(&mut self) {
        for position in &mut self.positions {
            position.slot.take_if(|slot| !self.held.contains_key(slot));
        }
        let placed = self.positions.iter().filter_map(|it| it.slot.as_ref());
        let placed: BTreeSet<&SlotId> = placed.collect();
        let mut free: BTreeMap<Option<ResourceProfile>, Vec<(&SlotId, &String)>> = BTreeMap::new();
        for (slot, held) in &self.held {
            if !placed.contains(slot) {
                let kind = free.entry(held.profile).or_default();
                kind.push((slot, &held.host));
            }
        }
        for (profile, slots) in free {
            let mut spread = spread(slots.into_iter()).into_iter();
            let empty = self.positions.iter_mut();
            for position in empty.filter(|it| it.profile == profile && it.slot.is_none()) {
                position.slot = spread.next();
            }
        }
    }

    /// The slot at a position that was filled.
    pub(super) fn at(&self, position: usize) -> &SlotId {
        self.assigned(position)
            .expect("tasks are placed after positions were assigned")
    }

    /// The slot at a position, if it was filled and is still held.
    pub(super) fn assigned(&self, position: usize) -> Option<&SlotId> {
        let slot = self.positions[position].slot.as_ref();
        slot.filter(|slot| self.holds(slot))
    }

    /// The containers with slots of the job.
    pub(super) fn containers(&self) -> BTreeSet<ContainerId> {
        self.held
            .keys()
            .map(|slot| slot.container.clone())
            .collect()
    }

    /// Indices of the job's slots in a container, ascending.
    pub(super) fn indices_in(&self, container: &ContainerId) -> impl Iterator<Item = u32> {
        let first = SlotId {
            container: container.clone(),
            index: 0,
        };
        let last = SlotId {
            container: container.clone(),
            index: u32::MAX,
        };
        self.held.range(first..=last).map(|(slot, _)| slot.index)
    }

    /// Host of a container, if the job holds a slot there.
    pub(super) fn host_of(&self, container: &ContainerId) -> Option<&str> {
        let index = self.indices_in(container).next()?;
        let slot = SlotId {
            container: container.clone(),
            index,
        };
        self.held.get(&slot).map(|held| held.host.as_str())
    }
}

/// Orders slots so that neighbours lie far apart: one per host in turn, and within a host one per
/// container in turn.
fn spread<'a>(slots: impl Iterator<Item = (&'a SlotId, &'a String)>) -> Vec<SlotId> {
    let mut in_container: BTreeMap<&ContainerId, usize> = BTreeMap::new();
    let mut by_host: BTreeMap<&String, Vec<(usize, &SlotId)>> = BTreeMap::new();
    for (slot, host) in slots {
        let turn = in_container.entry(&slot.container).or_default();
        by_host.entry(host).or_default().push((*turn, slot));
        *turn += 1;
    }
    let mut turns: Vec<(usize, &String, &SlotId)> = Vec::new();
    for (host, mut slots) in by_host {
        slots.sort();
        turns.extend(
            slots
                .into_iter()
                .enumerate()
                .map(|(turn, (_, slot))| (turn, host, slot)),
        );
    }
    turns.sort();
    turns.into_iter().map(|(_, _, slot)| slot.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testkit::{offers, profile, sized};

    fn of_default_size(positions: usize) -> SlotPool {
        SlotPool::new(&vec![None; positions])
    }

    fn layout(pool: &SlotPool) -> String {
        let names: Vec<String> = (0..pool.positions.len())
            .map(|at| format!("{}/{}", pool.at(at).container, pool.at(at).index))
            .collect();
        names.join(" ")
    }

    fn slot(container: &str, index: u32) -> SlotId {
        SlotId {
            container: ContainerId(container.to_owned()),
            index,
        }
    }

    #[test]
    fn subtasks_spread_over_hosts_then_over_containers() {
        let mut pool = of_default_size(6);
        pool.offer(offers("a@h1:0,1 b@h1:0,1 c@h2:0,1"));
        pool.assign();
        assert_eq!(layout(&pool), "a/0 c/0 b/0 c/1 a/1 b/1");
    }

    #[test]
    fn survivors_keep_their_positions() {
        let mut pool = of_default_size(4);
        pool.offer(offers("a@h1:0,1 b@h2:0,1"));
        pool.assign();
        assert_eq!(layout(&pool), "a/0 b/0 a/1 b/1");
        pool.lose(&ContainerId("a".to_owned()));
        assert!(!pool.is_complete());
        pool.offer(offers("0@h0:0,1"));
        pool.assign();
        assert_eq!(layout(&pool), "0/0 b/0 0/1 b/1");
    }

    #[test]
    fn surplus_is_returned_and_doubles_are_not() {
        let mut pool = of_default_size(2);
        assert_eq!(pool.offer(offers("a@h1:0")), []);
        assert_eq!(pool.offer(offers("a@h1:0")), [], "a double is not surplus");
        let surplus = pool.offer(offers("a@h1:0 b@h2:0,1"));
        assert_eq!(surplus, [slot("b", 1)]);
        assert!(pool.is_complete());
    }

    #[test]
    fn each_position_gets_a_slot_of_its_kind() {
        let big = Some(profile(700));
        let mut pool = SlotPool::new(&[None, big, None, big]);
        assert_eq!(pool.offer(offers("a@h1:0,1,2")), [slot("a", 2)]);
        assert_eq!(pool.held(), 2);
        assert_eq!(
            pool.missing_sizes(),
            "; missing are 2 of (1 core, 700 MiB task heap)"
        );
        let other = sized(500, offers("c@h3:0"));
        assert_eq!(pool.offer(other), [slot("c", 0)], "nobody asked for it");
        pool.offer(sized(700, offers("b@h1:0")));
        assert!(!pool.is_complete());
        pool.offer(sized(700, offers("0@h2:0")));
        assert!(pool.is_complete());
        pool.assign();
        assert_eq!(layout(&pool), "a/0 b/0 a/1 0/0");
        pool.lose(&ContainerId("b".to_owned()));
        assert_eq!(pool.offer(offers("d@h1:0")), [slot("d", 0)]);
        pool.offer(sized(700, offers("e@h1:0")));
        pool.assign();
        assert_eq!(layout(&pool), "a/0 e/0 a/1 0/0");
    }

    #[test]
    fn any_slot_is_enough_for_the_last_act() {
        let mut pool = SlotPool::new(&[None, Some(profile(700))]);
        pool.offer(sized(700, offers("b@h1:0")));
        assert!(!pool.is_complete());
        pool.shrink_to(SlotRequirement::of_default_size(1));
        assert!(pool.is_complete());
        assert_eq!(pool.offer(offers("a@h1:0")), [slot("a", 0)]);
    }
}
