//! Which sub-partitions a blocking edge has, who writes into them and who reads them. Both ends
//! compute it from the job graph, and agree.

use std::ops::Range;

use flott_model::ShipStrategy;
use flott_record::hash::subtask_of;

/// Up to so many key groups, each is a sub-partition of its own.
const MOST_SINGLE_GROUPS: u32 = 1024;
/// Ranges of keys that there are at least, if there are that many key groups.
const LEAST_RANGES: u32 = 128;
/// Ranges of keys per consumer, at least.
const RANGES_PER_CONSUMER: u32 = 4;

/// The sub-partitions of the partitions of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLayout {
    ship: ShipStrategy,
    producers: u32,
    consumers: u32,
    key_groups: u32,
}

impl PartitionLayout {
    /// Of an edge that ships so, between so many subtasks, into so many key groups.
    pub fn new(ship: ShipStrategy, producers: u32, consumers: u32, key_groups: u32) -> Self {
        Self {
            ship,
            producers: producers.max(1),
            consumers: consumers.max(1),
            key_groups: key_groups.max(consumers).max(1),
        }
    }

    /// Whether a sub-partition has all rows of its keys.
    pub fn is_keyed(&self) -> bool {
        self.ship == ShipStrategy::Hash
    }

    /// How many there are.
    pub fn sub_partitions(&self) -> u32 {
        match self.ship {
            ShipStrategy::Hash if self.key_groups <= MOST_SINGLE_GROUPS => self.key_groups,
            ShipStrategy::Hash => self.consumers * self.ranges(),
            ShipStrategy::Broadcast => 1,
            ShipStrategy::Forward
            | ShipStrategy::Rescale
            | ShipStrategy::Rebalance
            | ShipStrategy::Global
            | ShipStrategy::Custom => self.consumers,
        }
    }

    /// Ranges of keys per consumer, where a range has many key groups.
    fn ranges(&self) -> u32 {
        LEAST_RANGES
            .max(RANGES_PER_CONSUMER * self.consumers)
            .div_ceil(self.consumers)
    }

    /// What a consumer reads, in this order.
    pub fn read_by(&self, consumer: u32) -> Range<u32> {
        match self.ship {
            ShipStrategy::Hash if self.key_groups <= MOST_SINGLE_GROUPS => self.groups_of(consumer),
            ShipStrategy::Hash => consumer * self.ranges()..(consumer + 1) * self.ranges(),
            ShipStrategy::Broadcast => 0..1,
            ShipStrategy::Forward
            | ShipStrategy::Rescale
            | ShipStrategy::Rebalance
            | ShipStrategy::Global
            | ShipStrategy::Custom => consumer..consumer + 1,
        }
    }

    /// The first sub-partition behind each port of a producer's router. A row of a keyed edge goes to
    /// the one of its key group instead.
    pub fn ports_of(&self, producer: u32) -> Vec<u32> {
        match self.ship {
            ShipStrategy::Broadcast => vec![0],
            ShipStrategy::Forward => vec![producer],
            ShipStrategy::Rescale => nearest(producer, self.producers, self.consumers).collect(),
            ShipStrategy::Hash
            | ShipStrategy::Rebalance
            | ShipStrategy::Global
            | ShipStrategy::Custom => (0..self.consumers)
                .map(|consumer| self.read_by(consumer).start)
                .collect(),
        }
    }

    /// The sub-partition of each key group; empty if the edge is not keyed.
    pub fn by_group(&self) -> Vec<u32> {
        if !self.is_keyed() {
            return Vec::new();
        }
        if self.key_groups <= MOST_SINGLE_GROUPS {
            return (0..self.key_groups).collect();
        }
        let mut table = Vec::with_capacity(self.key_groups as usize);
        for consumer in 0..self.consumers {
            let (groups, ranges) = (self.groups_of(consumer), self.ranges());
            let count = u64::from(groups.end - groups.start);
            for index in 0..count {
                // Less than the number of ranges.
                let range = (index * u64::from(ranges) / count) as u32;
                table.push(consumer * ranges + range);
            }
        }
        table
    }

    /// The key groups of a consumer: the inverse of [`subtask_of`].
    fn groups_of(&self, consumer: u32) -> Range<u32> {
        let first = |consumer: u32| {
            let groups = u64::from(consumer) * u64::from(self.key_groups);
            groups.div_ceil(u64::from(self.consumers)) as u32
        };
        let groups = first(consumer)..first(consumer + 1);
        debug_assert!(
            groups
                .clone()
                .all(|group| { subtask_of(group, self.consumers, self.key_groups) == consumer })
        );
        groups
    }
}

/// The consumers that a producer of a rescale edge feeds. As the JobMaster connects them: the wider
/// side is cut into consecutive blocks whose sizes differ by at most one.
fn nearest(here: u32, heres: u32, there: u32) -> Range<u32> {
    let (at, from, to) = (u64::from(here), u64::from(heres), u64::from(there));
    if heres <= there {
        (at * to / from) as u32..((at + 1) * to / from) as u32
    } else {
        let block = (((at + 1) * to - 1) / from) as u32;
        block..block + 1
    }
}

#[cfg(test)]
mod tests {
    use flott_record::hash::key_group;
    use proptest::prelude::*;

    use super::*;

    fn ships() -> impl Strategy<Value = ShipStrategy> {
        prop_oneof![
            Just(ShipStrategy::Hash),
            Just(ShipStrategy::Broadcast),
            Just(ShipStrategy::Rebalance),
            Just(ShipStrategy::Rescale),
            Just(ShipStrategy::Global),
            Just(ShipStrategy::Custom),
        ]
    }

    proptest! {
        #[test]
        fn consumers_share_all_sub_partitions(
            ship in ships(),
            producers in 1u32..50,
            consumers in 1u32..300,
            more_groups in prop_oneof![0u32..200, 0u32..33_000],
        ) {
            let groups = consumers + more_groups;
            let layout = PartitionLayout::new(ship, producers, consumers, groups);
            let read: Vec<u32> = (0..consumers).flat_map(|consumer| layout.read_by(consumer)).collect();
            if ship == ShipStrategy::Broadcast {
                prop_assert!(read.iter().all(|sub_partition| *sub_partition == 0));
            } else {
                prop_assert_eq!(read, (0..layout.sub_partitions()).collect::<Vec<_>>());
            }
            let mut ports: Vec<u32> = (0..producers).flat_map(|producer| layout.ports_of(producer)).collect();
            prop_assert!(ports.iter().all(|port| *port < layout.sub_partitions()));
            ports.sort_unstable();
            ports.dedup();
            if ship == ShipStrategy::Rescale {
                // Nobody is left out.
                prop_assert_eq!(ports.len() as u32, consumers);
            }
        }

        #[test]
        fn a_key_is_read_by_its_owner(
            hash: u64,
            consumers in 1u32..300,
            more_groups in prop_oneof![0u32..200, 0u32..33_000],
        ) {
            let groups = consumers + more_groups;
            let layout = PartitionLayout::new(ShipStrategy::Hash, 3, consumers, groups);
            let group = key_group(hash, groups);
            let table = layout.by_group();
            prop_assert_eq!(table.len() as u32, groups);
            let owner = subtask_of(group, consumers, groups);
            prop_assert!(layout.read_by(owner).contains(&table[group as usize]));
        }
    }

    #[test]
    fn few_key_groups_are_ranges_of_their_own() {
        let of = |consumers, groups| {
            PartitionLayout::new(ShipStrategy::Hash, 1, consumers, groups).sub_partitions()
        };
        assert_eq!(of(4, 128), 128);
        assert_eq!(of(100, 1024), 1024);
        assert_eq!(of(4, 32_768), 128);
        assert_eq!(of(3, 4096), 129);
        assert_eq!(of(100, 4096), 400);
    }

    #[test]
    fn forward_keeps_to_its_own() {
        let layout = PartitionLayout::new(ShipStrategy::Forward, 4, 4, 128);
        assert_eq!(layout.ports_of(2), [2]);
        assert_eq!(layout.read_by(2), 2..3);
        assert_eq!(layout.sub_partitions(), 4);
    }
}
