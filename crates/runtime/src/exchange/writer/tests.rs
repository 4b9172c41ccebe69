//! Where rows go, in which order, and what is counted.

use std::sync::atomic::Ordering;

use flott_network::{Batch, LocalReceiver, Message, NO_TIMESTAMP, Waker, local_channel};
use flott_operators::checkpoint::ChannelEnd;
use flott_operators::keyed::{ByRef, ByValue};
use flott_record::hash::{key_group, subtask_of};
use proptest::prelude::*;

use super::super::OutputHalf;
use super::*;

/// A writer into rings that hold so many messages, and the other ends.
fn writer<T: Record, R: Router<T>>(
    ports: usize,
    ring: usize,
    router: R,
) -> (ExchangeWriter<T, R>, Vec<LocalReceiver<T>>) {
    let (halves, receivers) = (0..ports)
        .map(|port| {
            let (sender, receiver) = local_channel::<T>(ring, Waker::default(), Waker::default());
            let end = ChannelEnd::for_tests(port as u32, false);
            (OutputHalf::Local(Box::new(sender), end), receiver)
        })
        .unzip();
    let writer = ExchangeWriter::new(Ports::new(halves), router, Arc::default());
    (writer, receivers)
}

fn write<R: Router<u64>>(writer: &mut ExchangeWriter<u64, R>, rows: impl IntoIterator<Item = u64>) {
    for row in rows {
        writer.collect(row, NO_TIMESTAMP);
    }
    writer.check().unwrap();
}

/// What arrived: batches and control elements.
fn receive<T>(receiver: &mut LocalReceiver<T>) -> (Vec<Batch<T>>, Vec<Control>) {
    let (mut batches, mut controls) = (Vec::new(), Vec::new());
    while let Some(message) = receiver.receive() {
        match message {
            Message::Rows(batch) => batches.push(batch),
            Message::Control(control) => controls.push(control),
        }
    }
    (batches, controls)
}

fn rows(receiver: &mut LocalReceiver<u64>) -> Vec<u64> {
    let (batches, _) = receive(receiver);
    batches.into_iter().flat_map(|batch| batch.rows).collect()
}

#[test]
fn round_robin_begins_where_it_is_told_and_is_fair() {
    for start in [0, 2, 7] {
        let (mut writer, mut receivers) = writer(3, 16, RoundRobinRouter::starting_at(start));
        write(&mut writer, 0..10);
        writer.flush().unwrap();
        let received: Vec<_> = receivers.iter_mut().map(rows).collect();
        let first = if start < 3 { start } else { 0 };
        assert_eq!(received[first], [0, 3, 6, 9]);
        assert_eq!(received[(first + 1) % 3], [1, 4, 7]);
        assert_eq!(received[(first + 2) % 3], [2, 5, 8]);
    }
}

#[test]
fn broadcast_gives_every_row_to_every_port() {
    let (mut writer, mut receivers) = writer(4, 16, BroadcastRouter);
    write(&mut writer, 0..100);
    writer.flush().unwrap();
    for receiver in &mut receivers {
        assert_eq!(rows(receiver), (0..100).collect::<Vec<_>>());
    }
    assert_eq!(writer.counters.records_out.load(Ordering::Relaxed), 400);
}

#[test]
fn the_first_router_uses_one_port() {
    let (mut writer, mut receivers) = writer(2, 16, FirstRouter);
    write(&mut writer, 0..5);
    writer.flush().unwrap();
    assert_eq!(rows(&mut receivers[0]), [0, 1, 2, 3, 4]);
    assert_eq!(rows(&mut receivers[1]), [0_u64; 0]);
}

#[test]
fn control_elements_come_behind_all_rows_on_every_port() {
    let (mut writer, mut receivers) = writer(2, 16, RoundRobinRouter::default());
    write(&mut writer, 0..3);
    writer.control(Control::Watermark(7)).unwrap();
    write(&mut writer, 3..4);
    writer.control(Control::End).unwrap();
    for (receiver, expected) in receivers.iter_mut().zip([[0, 2], [1, 3]]) {
        let mut seen = Vec::new();
        while let Some(message) = receiver.receive() {
            match message {
                Message::Rows(batch) => seen.extend(batch.rows.iter().map(u64::to_string)),
                Message::Control(control) => seen.push(format!("{control:?}")),
            }
        }
        // The fourth row went to the second port, between the two control elements.
        let mut wanted: Vec<String> = Vec::new();
        for row in expected {
            if row == 3 {
                wanted.push("Watermark(7)".to_owned());
            }
            wanted.push(row.to_string());
        }
        if expected[1] != 3 {
            wanted.push("Watermark(7)".to_owned());
        }
        wanted.push("End".to_owned());
        assert_eq!(seen, wanted);
    }
}

#[test]
fn full_batches_leave_at_once_and_others_when_flushed() {
    let (mut writer, mut receivers) = writer(1, 16, FirstRouter);
    let full = flott_network::batch_rows::<u64>() as u64;
    write(&mut writer, 0..full + 1);
    assert_eq!(rows(&mut receivers[0]).len() as u64, full);
    assert_eq!(writer.counters.records_out.load(Ordering::Relaxed), full);
    writer.flush().unwrap();
    assert_eq!(rows(&mut receivers[0]), [full]);
    assert_eq!(
        writer.counters.records_out.load(Ordering::Relaxed),
        full + 1
    );
    writer.flush().unwrap();
    assert!(
        receive(&mut receivers[0]).0.is_empty(),
        "an empty batch was sent"
    );
}

#[test]
fn a_slow_port_holds_the_writer_until_it_is_read() {
    let (mut writer, mut receivers) = writer(2, 2, RoundRobinRouter::default());
    let rows_of_a_batch = flott_network::batch_rows::<u64>() as u64;
    // Five batches per port into rings of two.
    write(&mut writer, 0..10 * rows_of_a_batch);
    writer.flush().unwrap();
    assert!(!writer.settle().unwrap());
    let mut fast = Vec::new();
    while fast.len() < 5 * rows_of_a_batch as usize {
        fast.extend(rows(&mut receivers[0]));
        assert!(!writer.settle().unwrap(), "the other port is full");
    }
    let mut slow = rows(&mut receivers[1]);
    while !writer.settle().unwrap() {
        slow.extend(rows(&mut receivers[1]));
    }
    slow.extend(rows(&mut receivers[1]));
    assert_eq!(
        fast,
        (0..5 * rows_of_a_batch).map(|n| 2 * n).collect::<Vec<_>>()
    );
    assert_eq!(
        slow,
        (0..5 * rows_of_a_batch)
            .map(|n| 2 * n + 1)
            .collect::<Vec<_>>()
    );
}

#[test]
fn event_times_stay_with_their_rows() {
    let (mut writer, mut receivers) = writer(2, 16, RoundRobinRouter::default());
    for row in 0..4_u64 {
        writer.collect(row, row as i64 * 10);
    }
    writer.flush().unwrap();
    for (receiver, times) in receivers.iter_mut().zip([[0, 20], [10, 30]]) {
        let (batches, _) = receive(receiver);
        assert_eq!(batches[0].timestamps, times);
    }
}

/// All that came through a port.
fn joined<T>(receiver: &mut LocalReceiver<T>) -> Batch<T> {
    let mut all = Batch::default();
    for batch in receive(receiver).0 {
        all.hashes.extend(batch.hashes);
        let times = batch.timestamps.iter().copied();
        let times = times.chain(std::iter::repeat(NO_TIMESTAMP));
        for (row, time) in batch.rows.into_iter().zip(times) {
            all.push(row, time);
        }
    }
    all
}

/// Writes rows one by one through one writer, and in groups through another: both must send the same.
fn at_once_as_singly<T, R>(ports: usize, router: impl Fn() -> R, groups: &[(Vec<T>, bool)])
where
    T: Record + std::fmt::Debug + PartialEq,
    R: Router<T>,
{
    let (mut singly, mut singly_ends) = writer(ports, 1_000, router());
    let (mut at_once, mut at_once_ends) = writer(ports, 1_000, router());
    for (group, (rows, timed)) in groups.iter().enumerate() {
        let times: Vec<i64> = (0..rows.len()).map(|at| (group * 7 + at) as i64).collect();
        for (row, time) in rows.iter().zip(&times) {
            singly.collect(row.clone(), if *timed { *time } else { NO_TIMESTAMP });
        }
        let times = if *timed { times.as_slice() } else { &[] };
        at_once.collect_all(&mut rows.iter().cloned(), times);
    }
    singly.flush().unwrap();
    at_once.flush().unwrap();
    for (singly, at_once) in singly_ends.iter_mut().zip(&mut at_once_ends) {
        let (singly, at_once) = (joined(singly), joined(at_once));
        assert_eq!(at_once.rows, singly.rows);
        assert_eq!(at_once.timestamps, singly.timestamps);
        assert_eq!(at_once.hashes, singly.hashes);
    }
    let counted =
        |writer: &ExchangeWriter<T, R>| writer.counters.records_out.load(Ordering::Relaxed);
    assert_eq!(counted(&at_once), counted(&singly));
}

proptest! {
    /// Rows that are nothing but bytes, and others; few ports, and many.
    #[test]
    fn rows_at_once_go_where_they_go_singly(
        groups in proptest::collection::vec((0..1_500_u64, any::<u64>(), any::<bool>()), 0..5),
        parallelism in 1..14_u32,
    ) {
        let groups: Vec<(Vec<u64>, bool)> = groups
            .into_iter()
            .map(|(count, seed, timed)| {
                let rows = (0..count).map(|at| seed.wrapping_add(at).wrapping_mul(seed | 1) >> 40);
                (rows.collect(), timed)
            })
            .collect();
        let texts: Vec<(Vec<String>, bool)> = groups
            .iter()
            .map(|(rows, timed)| (rows.iter().map(u64::to_string).collect(), *timed))
            .collect();
        let ports = parallelism as usize;
        let by_value = || KeyRouter::new(ByValue::new(|row: &u64| row % 50), parallelism, 128);
        at_once_as_singly(ports, by_value, &groups);
        let by_ref = || KeyRouter::new(ByRef::new(|row: &String| row), parallelism, 128);
        at_once_as_singly(ports, by_ref, &texts);
        at_once_as_singly(ports, || FirstRouter, &texts);
        at_once_as_singly(ports, RoundRobinRouter::default, &groups);
    }

    /// Every row goes to the owner of its key group, with the hash of its key, in order.
    #[test]
    fn keyed_rows_go_to_the_owner_of_their_key_group(
        values in proptest::collection::vec(any::<u64>(), 0..300),
        parallelism in 1..20_u32,
        more in 0..200_u32,
    ) {
        let max = parallelism + more;
        let router = KeyRouter::new(ByValue::new(|row: &u64| row % 50), parallelism, max);
        let (mut writer, mut receivers) = writer(parallelism as usize, 16, router);
        write(&mut writer, values.iter().copied());
        writer.flush().unwrap();
        for (port, receiver) in receivers.iter_mut().enumerate() {
            let owner = |row: &u64| {
                let group = key_group(stable_hash(&(row % 50)), max);
                subtask_of(group, parallelism, max) as usize
            };
            let expected: Vec<u64> =
                values.iter().copied().filter(|row| owner(row) == port).collect();
            let (batches, _) = receive(receiver);
            let hashes: Vec<u64> = batches.iter().flat_map(|batch| batch.hashes.clone()).collect();
            let rows: Vec<u64> = batches.into_iter().flat_map(|batch| batch.rows).collect();
            let hashes_expected: Vec<u64> =
                expected.iter().map(|row| stable_hash(&(row % 50))).collect();
            prop_assert_eq!(rows, expected);
            prop_assert_eq!(hashes, hashes_expected);
        }
    }

    /// A key is the same whether it is computed or borrowed: both must meet in one subtask.
    #[test]
    fn borrowed_and_computed_keys_agree(values in proptest::collection::vec(any::<u64>(), 1..50)) {
        let by_value = KeyRouter::new(ByValue::new(|row: &u64| *row), 5, 128);
        let by_ref = KeyRouter::new(ByRef::new(|row: &u64| row), 5, 128);
        let (mut left, mut left_ends) = writer(5, 16, by_value);
        let (mut right, mut right_ends) = writer(5, 16, by_ref);
        write(&mut left, values.iter().copied());
        write(&mut right, values.iter().copied());
        left.flush().unwrap();
        right.flush().unwrap();
        for (left, right) in left_ends.iter_mut().zip(&mut right_ends) {
            prop_assert_eq!(rows(left), rows(right));
        }
    }
}
