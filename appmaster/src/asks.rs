//! The books of what YARN is asked for: how many containers of each kind are outstanding, and which
//! kind one that comes belongs to. Pure: no clock, no calls.
//!
//! YARN knows one size of container per priority and allocation request id, so each kind has its own
//! of both, for the life of the application; the id comes back with the container.

use std::collections::BTreeMap;

use flott_hadoop::yarn::{AllocationRequestId, Ask, Resource};
use flott_model::ResourceProfile;

/// What containers are for; `None`: they are of default size.
pub(crate) type Kind = Option<ResourceProfile>;

/// Id of the default size; those of other sizes follow in the order in which they were asked for.
const DEFAULT_SIZE: AllocationRequestId = 0;
/// Priority of the default size, which is the most urgent: most containers are of it.
const FIRST_PRIORITY: i32 = 1;

/// All kinds that were ever asked for.
#[derive(Debug, Default)]
pub(crate) struct Asks(BTreeMap<Kind, Asked>);

#[derive(Debug)]
struct Asked {
    id: AllocationRequestId,
    resource: Resource,
    /// Containers to come, without those whose allocation was taken.
    wanted: u32,
    /// Allocations that were reported and not taken yet.
    untaken: u32,
}

impl Asked {
    fn outstanding(&self) -> u32 {
        self.wanted.saturating_sub(self.untaken)
    }
}

impl Asks {
    /// From now on so many containers of a kind are wanted, each of that size.
    pub(crate) fn set_wanted(&mut self, kind: Kind, resource: Resource, count: u32) {
        let id = match kind {
            None => DEFAULT_SIZE,
            Some(_) => self.next_id(),
        };
        let asked = self.0.entry(kind).or_insert(Asked {
            id,
            resource,
            wanted: 0,
            untaken: 0,
        });
        asked.wanted = count;
    }

    fn next_id(&self) -> AllocationRequestId {
        let ids = self.0.values().map(|asked| asked.id);
        ids.max().unwrap_or(DEFAULT_SIZE) + 1
    }

    /// An allocation of a kind was taken into the ResourceManager's books.
    pub(crate) fn taken(&mut self, kind: Kind) {
        if let Some(asked) = self.0.get_mut(&kind) {
            asked.untaken = asked.untaken.saturating_sub(1);
            asked.wanted = asked.wanted.saturating_sub(1);
        }
    }

    /// The kind of a container that came, which counts as delivered; `None` if none of its kind is
    /// outstanding.
    pub(crate) fn kind_of(&self, id: AllocationRequestId) -> Option<Kind> {
        let mut asked = self.0.iter();
        let (kind, asked) = asked.find(|(_, asked)| asked.id == id)?;
        (asked.outstanding() > 0).then_some(*kind)
    }

    /// A container of a kind was kept and reported.
    pub(crate) fn reported(&mut self, kind: Kind) {
        if let Some(asked) = self.0.get_mut(&kind) {
            asked.untaken += 1;
        }
    }

    /// Nothing more of a kind is wanted.
    pub(crate) fn drop_kind(&mut self, kind: Kind) {
        if let Some(asked) = self.0.get_mut(&kind) {
            asked.wanted = asked.untaken;
        }
    }

    /// Nothing more is wanted, and nobody takes what was reported.
    pub(crate) fn clear(&mut self) {
        for asked in self.0.values_mut() {
            (asked.wanted, asked.untaken) = (0, 0);
        }
    }

    /// Containers of all kinds that are outstanding.
    pub(crate) fn outstanding(&self) -> u32 {
        let each = self.0.values().map(Asked::outstanding);
        each.fold(0, u32::saturating_add)
    }

    /// The kinds of which some are outstanding, each with its size.
    pub(crate) fn outstanding_kinds(&self) -> Vec<(Kind, Resource)> {
        let asked = self.0.iter().filter(|(_, asked)| asked.outstanding() > 0);
        asked.map(|(kind, asked)| (*kind, asked.resource)).collect()
    }

    /// What YARN is told.
    pub(crate) fn to_yarn(&self) -> BTreeMap<AllocationRequestId, Ask> {
        let asked = self.0.values().filter(|asked| asked.outstanding() > 0);
        asked
            .map(|asked| {
                let further = i32::try_from(asked.id).unwrap_or(i32::MAX);
                let ask = Ask {
                    priority: FIRST_PRIORITY.saturating_add(further),
                    resource: asked.resource,
                    count: asked.outstanding(),
                    node_label: None,
                };
                (asked.id, ask)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(memory_mb: i64) -> Resource {
        Resource {
            memory_mb,
            vcores: 1,
        }
    }

    fn big() -> Kind {
        Some(ResourceProfile {
            task_heap_bytes: 700 << 20,
            ..ResourceProfile::default()
        })
    }

    /// Id, priority, memory and number of each ask.
    fn told(asks: &Asks) -> Vec<(i64, i32, i64, u32)> {
        let asks = asks.to_yarn().into_iter();
        asks.map(|(id, ask)| (id, ask.priority, ask.resource.memory_mb, ask.count))
            .collect()
    }

    #[test]
    fn each_kind_has_its_own_id_and_priority_for_good() {
        let mut asks = Asks::default();
        asks.set_wanted(big(), size(920), 1);
        asks.set_wanted(None, size(512), 2);
        assert_eq!(told(&asks), [(0, 1, 512, 2), (1, 2, 920, 1)]);
        assert_eq!(
            (asks.kind_of(0), asks.kind_of(1)),
            (Some(None), Some(big()))
        );
        assert_eq!(asks.kind_of(7), None, "never asked for");
        asks.set_wanted(None, size(512), 0);
        assert_eq!(told(&asks), [(1, 2, 920, 1)]);
        assert_eq!(asks.kind_of(0), None, "surplus");
        asks.set_wanted(None, size(512), 1);
        assert_eq!(told(&asks), [(0, 1, 512, 1), (1, 2, 920, 1)]);
        assert_eq!(asks.outstanding(), 2);
    }

    #[test]
    fn what_was_reported_is_not_asked_for_again_until_the_next_word() {
        let mut asks = Asks::default();
        asks.set_wanted(big(), size(920), 2);
        asks.reported(big());
        assert_eq!(told(&asks), [(1, 2, 920, 1)]);
        // The ResourceManager's word crossed the report: it still counts both.
        asks.set_wanted(big(), size(920), 2);
        assert_eq!(asks.outstanding(), 1);
        asks.taken(big());
        asks.set_wanted(big(), size(920), 1);
        assert_eq!(asks.outstanding(), 1);
        asks.reported(big());
        assert_eq!((asks.outstanding(), asks.kind_of(1)), (0, None));
        asks.taken(None);
        assert_eq!(asks.outstanding(), 0, "nobody asked for that kind");
    }

    #[test]
    fn kinds_can_be_dropped_one_by_one_and_together() {
        let mut asks = Asks::default();
        asks.set_wanted(None, size(512), 1);
        asks.set_wanted(big(), size(920), 3);
        asks.reported(big());
        asks.drop_kind(big());
        assert_eq!(asks.outstanding_kinds(), [(None, size(512))]);
        asks.clear();
        assert_eq!(asks.outstanding(), 0);
        asks.set_wanted(big(), size(920), 1);
        assert_eq!(asks.outstanding(), 1, "what was reported is forgotten");
    }
}
