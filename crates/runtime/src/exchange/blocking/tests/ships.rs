//! Edges without keys: who reads what.

use super::*;

/// Three producers of ten rows each, and what each consumer read of them.
fn shipped<R: Router<Row>>(
    ship: ShipStrategy,
    [producers, consumers]: [u32; 2],
    router: impl Fn(u32) -> R,
    connected: impl Fn(u32) -> std::ops::Range<u32>,
) -> Vec<Vec<Row>> {
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge {
        directory: directory.path(),
        edge: 3,
        layout: PartitionLayout::new(ship, producers, consumers, 128),
        producers,
        memory_bytes: 0,
    };
    let keys: Vec<u64> = (0..10).collect();
    for producer in 0..producers {
        edge.write(producer, router(producer), &keys);
    }
    (0..consumers)
        .map(|consumer| {
            let seen = read(&edge, consumer, connected(consumer));
            assert_eq!(seen[seen.len() - 2..], the_end());
            assert_eq!(ranges(&seen).len(), 1, "there are no keys that could end");
            let mut rows = rows(&seen);
            rows.sort_unstable();
            rows
        })
        .collect()
}

fn sent_by(producers: impl IntoIterator<Item = u32>) -> Vec<Row> {
    let each = |producer| (0..10).map(move |index| (producer, index, u64::from(index)));
    producers.into_iter().flat_map(each).collect()
}

#[test]
fn broadcast_is_written_once_and_read_by_all() {
    let read = shipped(
        ShipStrategy::Broadcast,
        [3, 4],
        |_| BroadcastRouter,
        |_| 0..3,
    );
    assert_eq!(read, vec![sent_by(0..3); 4]);
}

#[test]
fn forward_and_global_have_one_target() {
    let read = shipped(
        ShipStrategy::Forward,
        [3, 3],
        |_| FirstRouter,
        |own| own..own + 1,
    );
    let expected: Vec<_> = (0..3).map(|own| sent_by([own])).collect();
    assert_eq!(read, expected);
    let read = shipped(ShipStrategy::Global, [3, 2], |_| FirstRouter, |_| 0..3);
    assert_eq!(read, [sent_by(0..3), vec![]]);
}

#[test]
fn rebalance_spreads_over_all() {
    let router = |producer| RoundRobinRouter::starting_at(producer as usize);
    let read = shipped(ShipStrategy::Rebalance, [3, 5], router, |_| 0..3);
    assert!(read.iter().all(|rows| rows.len() == 6));
    let mut all = read.concat();
    all.sort_unstable();
    assert_eq!(all, sent_by(0..3));
}

#[test]
fn rescale_keeps_to_its_block() {
    let router = |producer| RoundRobinRouter::starting_at(producer as usize);
    let read = shipped(ShipStrategy::Rescale, [2, 4], router, |own| {
        own / 2..own / 2 + 1
    });
    for (consumer, rows) in (0..).zip(&read) {
        assert_eq!(rows.len(), 5);
        assert!(rows.iter().all(|row| row.0 == consumer / 2));
    }
    let router = |producer| RoundRobinRouter::starting_at(producer as usize);
    let read = shipped(ShipStrategy::Rescale, [4, 2], router, |own| {
        2 * own..2 * own + 2
    });
    assert_eq!(read, [sent_by(0..2), sent_by(2..4)]);
}

#[test]
fn custom_goes_where_the_program_says() {
    let choose = |row: &Row, ports: u32| row.1 % ports;
    let router = |_| CustomRouter::new(Arc::new(choose));
    let read = shipped(ShipStrategy::Custom, [2, 3], router, |_| 0..2);
    for (consumer, rows) in (0..).zip(&read) {
        assert!(rows.iter().all(|row| row.1 % 3 == consumer));
    }
    assert_eq!(read.concat().len(), 20);
}
