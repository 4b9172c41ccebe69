//! Keyed edges: ranges of keys, one after the other, over one input or two.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_key_is_in_one_range_of_one_consumer(
        keys in proptest::collection::vec(proptest::collection::vec(0u64..200, 0..300), 1..5),
        consumers in 1u32..5,
        many_groups: bool,
        memory_bytes in 0usize..10_000,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let groups = if many_groups { 5000 } else { 16 };
        let producers = keys.len() as u32;
        let layout = PartitionLayout::new(ShipStrategy::Hash, producers, consumers, groups);
        let edge = Edge { directory: directory.path(), edge: 0, layout, producers, memory_bytes };
        for (producer, keys) in (0..).zip(&keys) {
            edge.write(producer, KeyRouter::new(by_key(), consumers, groups), keys);
        }
        let (mut all, mut owners) = (Vec::new(), BTreeMap::new());
        for consumer in 0..consumers {
            let seen = read(&edge, consumer, 0..producers);
            let ranges = ranges(&seen);
            prop_assert_eq!(ranges.len(), edge.layout.read_by(consumer).len() + 1);
            prop_assert_eq!(ranges[ranges.len() - 1], the_end());
            for (range, seen) in ranges.into_iter().enumerate() {
                for row in rows(seen) {
                    let owner = owners.entry(row.2).or_insert((consumer, range));
                    prop_assert_eq!(*owner, (consumer, range));
                }
            }
            for (_, rows) in by_producer(rows(&seen)) {
                for key in rows.iter().map(|row| row.2).collect::<BTreeSet<_>>() {
                    let order = rows.iter().filter(|row| row.2 == key).map(|row| row.1);
                    prop_assert!(order.is_sorted());
                }
            }
            all.extend(rows(&seen));
        }
        let mut expected: Vec<Row> = Vec::new();
        for (producer, keys) in (0..).zip(&keys) {
            expected.extend((0..).zip(keys).map(|(index, key)| (producer, index, *key)));
        }
        all.sort_unstable();
        prop_assert_eq!(all, expected);
    }
}

/// Reads two edges into one task.
fn read_two(first: &Edge<'_>, second: &Edge<'_>, consumer: u32) -> Vec<Seen> {
    let (sleeper, waker) = Sleeper::bound();
    let head = Head::default();
    let channel = |edge: &Edge<'_>| {
        let missing = MissingPartitions::default();
        vec![InputChannel::new(edge.input(
            consumer,
            0..edge.producers,
            &waker,
            &missing,
        ))]
    };
    let inputs = TwoInputs::<Row, Row>::new(
        channel(first),
        channel(second),
        Box::new(head.clone()),
        Arc::default(),
    );
    run(inputs, &sleeper).unwrap();
    head.take()
}

#[test]
fn two_keyed_inputs_are_read_in_lockstep() {
    const CONSUMERS: u32 = 2;
    let directory = tempfile::tempdir().unwrap();
    let edges = [0, 1].map(|edge| Edge {
        directory: directory.path(),
        edge,
        layout: PartitionLayout::new(ShipStrategy::Hash, edge + 1, CONSUMERS, 16),
        producers: edge + 1,
        memory_bytes: 0,
    });
    let keys: Vec<u64> = (0..1000).map(|row| row * 7 % 60).collect();
    for edge in &edges {
        for producer in 0..edge.producers {
            edge.write(producer, KeyRouter::new(by_key(), CONSUMERS, 16), &keys);
        }
    }
    let mut count = 0;
    for consumer in 0..CONSUMERS {
        let seen = read_two(&edges[0], &edges[1], consumer);
        let mut owners = BTreeMap::new();
        for (range, seen) in ranges(&seen).into_iter().enumerate() {
            for seen in seen {
                let (Seen::Row(row, _) | Seen::Second(row)) = seen else {
                    continue;
                };
                assert_eq!(*owners.entry(row.2).or_insert(range), range);
                count += 1;
            }
        }
        assert_eq!(ranges(&seen).len(), 16 / CONSUMERS as usize + 1);
        assert_eq!(seen[seen.len() - 1], Seen::Control(Control::End));
        assert!(seen.contains(&Seen::Ended(1)) && seen.contains(&Seen::Ended(2)));
    }
    assert_eq!(count, 3 * keys.len());
}

#[test]
fn a_broadcast_is_read_whole_before_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let keys: Vec<u64> = (0..3000).collect();
    for broadcast_is_first in [true, false] {
        let edge = |edge, ship| Edge {
            directory: directory.path(),
            edge,
            layout: PartitionLayout::new(ship, 1, 1, 8),
            producers: 1,
            memory_bytes: 0,
        };
        let (keyed, broadcast) = (
            edge(0, ShipStrategy::Hash),
            edge(1, ShipStrategy::Broadcast),
        );
        keyed.write(0, KeyRouter::new(by_key(), 1, 8), &keys);
        broadcast.write(0, BroadcastRouter, &keys);
        let seen = if broadcast_is_first {
            read_two(&broadcast, &keyed, 0)
        } else {
            read_two(&keyed, &broadcast, 0)
        };
        let first = |seen: &Seen| matches!(seen, Seen::Row(..)) == broadcast_is_first;
        assert!(seen[..keys.len()].iter().all(first));
        assert_eq!(rows(&seen).len(), 2 * keys.len());
        assert_eq!(ranges(&seen).len(), 9);
        let ended = if broadcast_is_first { 1 } else { 2 };
        assert_eq!(seen[keys.len()], Seen::Ended(ended));
    }
}
