//! The slots a job holds, and which subtasks go where.
//!
//! A slot keeps its position while it is held: a restart moves only what it must.

use std::collections::{BTreeMap, BTreeSet};

use flott_model::{ContainerId, SlotId};

use super::message::SlotOffer;

/// The slots that the ResourceManager gave to the job.
#[derive(Debug)]
pub(super) struct SlotPool {
    /// How many the job wants to hold.
    needed: usize,
    /// Host by slot.
    held: BTreeMap<SlotId, String>,
    /// The slot at each position; subtask i of a group runs at the group's i-th position.
    positions: Vec<Option<SlotId>>,
}

impl SlotPool {
    pub(super) fn new(needed: u32) -> Self {
        let needed = needed as usize;
        Self {
            needed,
            held: BTreeMap::new(),
            positions: vec![None; needed],
        }
    }

    /// Takes what is missing and returns the rest. A doubled offer changes nothing.
    pub(super) fn offer(&mut self, offers: Vec<SlotOffer>) -> Vec<SlotId> {
        let mut surplus = Vec::new();
        for SlotOffer { slot, host } in offers {
            if self.held.contains_key(&slot) {
                continue;
            }
            if self.held.len() < self.needed {
                self.held.insert(slot, host);
            } else {
                surplus.push(slot);
            }
        }
        surplus
    }

    /// From now on so many are enough; what is held beyond stays until the end.
    pub(super) fn shrink_to(&mut self, needed: u32) {
        self.needed = needed as usize;
    }

    pub(super) fn needed(&self) -> usize {
        self.needed
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.held.len() >= self.needed
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

    /// Fills the positions that have no slot (any more) with slots that have no position, as far as
    /// they go.
    pub(super) fn assign(&mut self) {
        for position in &mut self.positions {
            if position
                .as_ref()
                .is_some_and(|slot| !self.held.contains_key(slot))
            {
                *position = None;
            }
        }
        let placed: BTreeSet<&SlotId> = self.positions.iter().flatten().collect();
        let free = self.held.iter().filter(|(slot, _)| !placed.contains(slot));
        let mut spread = spread(free).into_iter();
        for position in self
            .positions
            .iter_mut()
            .filter(|position| position.is_none())
        {
            *position = spread.next();
        }
    }

    /// The slot at a position that was filled.
    pub(super) fn at(&self, position: usize) -> &SlotId {
        self.assigned(position)
            .expect("tasks are placed after positions were assigned")
    }

    /// The slot at a position, if it was filled and is still held.
    pub(super) fn assigned(&self, position: usize) -> Option<&SlotId> {
        let slot = self.positions[position].as_ref();
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
        self.held.get(&slot).map(String::as_str)
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
    use crate::job::testkit::offers;

    fn layout(pool: &SlotPool) -> String {
        let names: Vec<String> = (0..pool.positions.len())
            .map(|at| format!("{}/{}", pool.at(at).container, pool.at(at).index))
            .collect();
        names.join(" ")
    }

    #[test]
    fn subtasks_spread_over_hosts_then_over_containers() {
        let mut pool = SlotPool::new(6);
        pool.offer(offers("a@h1:0,1 b@h1:0,1 c@h2:0,1"));
        pool.assign();
        assert_eq!(layout(&pool), "a/0 c/0 b/0 c/1 a/1 b/1");
    }

    #[test]
    fn survivors_keep_their_positions() {
        let mut pool = SlotPool::new(4);
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
        let mut pool = SlotPool::new(2);
        assert_eq!(pool.offer(offers("a@h1:0")), []);
        assert_eq!(pool.offer(offers("a@h1:0")), [], "a double is not surplus");
        let surplus = pool.offer(offers("a@h1:0 b@h2:0,1"));
        assert_eq!(
            surplus,
            [SlotId {
                container: ContainerId("b".to_owned()),
                index: 1
            }]
        );
        assert!(pool.is_complete());
    }
}
