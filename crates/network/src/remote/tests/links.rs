//! What a link between two well-behaved workers does.

use super::*;

#[test]
fn everything_arrives_in_order() {
    for checksums in [false, true] {
        let start = |container| {
            Network::start(NetworkSettings {
                checksums,
                ..settings(container)
            })
            .unwrap()
        };
        let (a, b) = (start("a"), start("b"));
        let mut rx = b.receiver(channel(0), Waker::default());
        let mut tx = a.sender(channel(0), b.address(), Waker::default());
        let length = |index: u32| 4 + index as usize % 3000 * 11;
        let (mut sent, mut received) = (0u32, 0u32);
        until(|| {
            if sent < 10_000 && tx.settle().unwrap() {
                let mut payload = tx.buffer();
                payload.extend_from_slice(&sent.to_le_bytes());
                payload.resize(length(sent), sent as u8);
                tx.send(data(payload));
                sent += 1;
                if sent.is_multiple_of(100) {
                    tx.control(Control::Barrier(Barrier::for_tests(u64::from(sent))));
                }
                if sent == 10_000 {
                    tx.control(Control::End);
                }
            }
            while let Some(message) = rx.receive().unwrap() {
                match message {
                    RemoteMessage::Data(frame) => {
                        assert_eq!(frame.payload[..4], received.to_le_bytes());
                        assert_eq!(frame.payload.len(), length(received));
                        assert!(
                            frame.payload[4..]
                                .iter()
                                .all(|byte| *byte == received as u8)
                        );
                        received += 1;
                        rx.recycle(frame.payload);
                    }
                    RemoteMessage::Control(Control::Barrier(barrier)) => {
                        assert_eq!(barrier.checkpoint.0, u64::from(received));
                    }
                    RemoteMessage::Control(control) => assert_eq!(control, Control::End),
                }
            }
            rx.is_ended().then_some(())
        });
        assert_eq!(received, 10_000);
        assert_eq!(rx.bytes_received(), tx.bytes_sent());
    }
}

#[test]
fn a_barrier_overtakes_what_waits_for_credit_and_calls_the_receiver() {
    let (a, b) = (network("a"), network("b"));
    let waker = Waker::default();
    let mut rx = b.receiver(channel(0), waker.clone());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let mut sent = 0;
    while tx.settle().unwrap() || sent == 0 {
        tx.send(data(vec![sent; 20_000]));
        sent += 1;
        // Before the first credit nobody knows how much of it there is.
        until(|| (sent > 1 || tx.settle().unwrap()).then_some(()));
    }
    assert!(!waker.take_call());
    let barrier = Barrier::for_tests(3).overtaking(crate::Overtakes::AtOnce);
    let overtaken = tx.overtake(barrier);
    let (taken, ahead) = until(|| waker.take_call().then(|| rx.take_barrier()).flatten());
    assert_eq!(taken, barrier);
    assert!(rx.take_barrier().is_none(), "it is told once");
    let mut seen = Vec::new();
    rx.look(|message| seen.push(message.map(|frame| frame.payload[0])));
    assert_eq!(seen.len(), ahead + 1);
    assert_eq!(seen[ahead], Err(Control::Barrier(barrier)));
    assert_eq!(ahead + overtaken.len(), usize::from(sent));
    // Nothing of that was taken: all comes, in order, and the barrier where it is.
    for at in 0..usize::from(sent) {
        if at == ahead {
            assert_eq!(
                next(&mut rx),
                RemoteMessage::Control(Control::Barrier(barrier))
            );
        }
        assert_eq!(next_payload(&mut rx)[0], at as u8);
    }
}

/// Both tasks sleep whenever they have nothing to do: no wake-up may be lost.
#[test]
fn wake_ups_suffice() {
    let (a, b) = (network("a"), network("b"));
    let (sender, sender_waker) = Sleeper::bound();
    let (receiver, receiver_waker) = Sleeper::bound();
    let mut rx = b.receiver(channel(0), receiver_waker);
    let mut tx = a.sender(channel(0), b.address(), sender_waker);
    let sending = std::thread::spawn(move || {
        for round in 0..5_000usize {
            tx.send(data(vec![1; round * 37 % 40_000]));
            while !tx.settle().unwrap() {
                sender.sleep();
            }
        }
        tx.control(Control::End);
        tx.bytes_sent()
    });
    while !rx.is_ended() {
        match rx.receive().unwrap() {
            Some(RemoteMessage::Data(frame)) => rx.recycle(frame.payload),
            Some(RemoteMessage::Control(_)) => {}
            None => receiver.sleep(),
        }
    }
    assert_eq!(sending.join().unwrap(), rx.bytes_received());
}

#[test]
fn records_larger_than_a_frame_arrive_whole() {
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let piece = settings("a").piece_bytes();
    let sizes = [
        0,
        1,
        piece - 1,
        piece,
        piece + 1,
        2 * piece,
        100_000,
        5_000_000,
        20_000_000,
        3,
    ];
    for size in sizes {
        tx.send(DataFrame {
            payload: (0..size).map(|at| (at % 251) as u8).collect(),
            rows: size as u32 + 1,
            has_timestamps: size % 2 == 0,
        });
    }
    tx.control(Control::End);
    for size in sizes {
        let RemoteMessage::Data(frame) = next(&mut rx) else {
            panic!("data of {size} bytes is missing")
        };
        assert_eq!(frame.payload.len(), size);
        assert_eq!(frame.rows, size as u32 + 1);
        assert_eq!(frame.has_timestamps, size % 2 == 0);
        assert!((0..size).all(|at| frame.payload[at] == (at % 251) as u8));
    }
    assert_eq!(next(&mut rx), RemoteMessage::Control(Control::End));
}

#[test]
fn a_sender_may_come_before_its_receiver() {
    let (a, b) = (network("a"), network("b"));
    let (sender, waker) = Sleeper::bound();
    let mut early = a.sender(channel(0), b.address(), waker);
    early.send(data(vec![1]));
    early.control(Control::Watermark(5));
    assert!(
        !early.settle().unwrap(),
        "nothing is sent without a receiver"
    );
    // A second channel on the same link shows that the first one was opened before.
    let mut rx = b.receiver(channel(1), Waker::default());
    let mut tx = a.sender(channel(1), b.address(), Waker::default());
    tx.send(data(vec![2]));
    assert_eq!(next_payload(&mut rx), [2]);
    assert!(!early.settle().unwrap());
    let mut late = b.receiver(channel(0), Waker::default());
    while !early.settle().unwrap() {
        sender.sleep();
    }
    assert_eq!(next_payload(&mut late), [1]);
    let watermark = RemoteMessage::Control(Control::Watermark(5));
    assert_eq!(next(&mut late), watermark);
}

#[test]
fn a_channel_that_nobody_reads_does_not_stop_another_one() {
    const FRAMES: u64 = 200 * 1024 * 1024 / FRAME as u64;
    const FRAME: usize = 32 * 1024;
    let (a, b) = (network("a"), network("b"));
    let slow_rx = b.receiver(channel(0), Waker::default());
    let mut slow_tx = a.sender(channel(0), b.address(), Waker::default());
    let mut rx = b.receiver(channel(1), Waker::default());
    let mut tx = a.sender(channel(1), b.address(), Waker::default());
    let share = slow_rx.credit_bytes();
    // Far more than its credit, so that the slow one always has something to send.
    for _ in 0..100 {
        slow_tx.send(data(vec![0; FRAME]));
    }
    until(|| (slow_rx.queued_bytes() + FRAME as u64 > share).then_some(()));
    let (mut sent, mut received) = (0, 0);
    until(|| {
        while sent < FRAMES && tx.settle().unwrap() {
            let mut payload = tx.buffer();
            payload.resize(FRAME, 1);
            tx.send(data(payload));
            sent += 1;
        }
        while let Some(message) = rx.receive().unwrap() {
            if let RemoteMessage::Data(frame) = message {
                received += 1;
                rx.recycle(frame.payload);
            }
        }
        assert!(slow_rx.queued_bytes() <= slow_rx.credit_bytes());
        (received == FRAMES).then_some(())
    });
    assert!(!slow_tx.settle().unwrap());
    // It may have borrowed once, when its queue was still empty.
    let most = share + u64::from(settings("").channel_floating_bytes);
    assert!(slow_rx.credit_bytes() <= most);
    assert!(slow_rx.queued_bytes() <= slow_rx.credit_bytes());
    assert_eq!(b.statistics().links_in, 1);
}

#[test]
fn both_ends_tell_what_waits_against_their_credit() {
    const FRAMES: u64 = 100;
    const FRAME: usize = 32 * 1024;
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let (outgoing, incoming) = (tx.gauge(), rx.gauge());
    let own = rx.credit_bytes() as f64 / FRAME as f64;
    let room = incoming.load().room();
    assert_eq!((room.used, room.all), (0.0, own));
    for _ in 0..FRAMES {
        tx.send(data(vec![0; FRAME]));
    }
    // Nobody reads: the credit is used up, the rest waits at the sender.
    until(|| {
        let (sent, received) = (outgoing.load(), incoming.load());
        let room = received.room();
        let is_full = room.used + 1.1 > room.all && sent.room().usage() == 1.0;
        (is_full && sent.buffers + received.buffers == FRAMES).then_some(())
    });
    let (sent, received) = (outgoing.load(), incoming.load());
    assert!(received.buffers >= 2, "{received:?}");
    assert_eq!(sent.bytes, sent.buffers * FRAME as u64);
    assert_eq!(received.bytes, rx.queued_bytes());
    assert!(received.exclusive.used > own - 1.2, "{received:?}");
    assert_eq!(received.exclusive.all, own);
    let all = rx.credit_bytes() as f64 / FRAME as f64;
    assert_eq!(received.room().all, all);
    // All is read.
    for _ in 0..FRAMES {
        next_payload(&mut rx);
    }
    settled(&mut tx);
    let (sent, received) = (outgoing.load(), incoming.load());
    assert_eq!((sent.buffers, sent.bytes, sent.room().usage()), (0, 0, 0.0));
    assert_eq!((received.buffers, received.room().used), (0, 0.0));
    drop((tx, rx));
    assert_eq!(incoming.load(), QueueLoad::default());
    until(|| (outgoing.load() == QueueLoad::default()).then_some(()));
}

#[test]
fn many_channels_share_one_link() {
    const CHANNELS: u32 = 200;
    let (a, b) = (network("a"), network("b"));
    let mut ends: Vec<_> = (0..CHANNELS)
        .map(|index| {
            let tx = a.sender(channel(index), b.address(), Waker::default());
            (tx, b.receiver(channel(index), Waker::default()))
        })
        .collect();
    for round in 0..20u32 {
        for (index, (tx, _)) in ends.iter_mut().enumerate() {
            let mut payload = vec![0; 1000 + index * 50];
            payload[..4].copy_from_slice(&round.to_le_bytes());
            tx.send(data(payload));
        }
        for (index, (_, rx)) in ends.iter_mut().enumerate() {
            let payload = next_payload(rx);
            assert_eq!(payload.len(), 1000 + index * 50);
            assert_eq!(payload[..4], round.to_le_bytes());
        }
    }
    assert_eq!(a.statistics().links_out, 1);
    assert_eq!(b.statistics().links_in, 1);
    // The shares of 200 channels are within the budget, and come back.
    let budget = settings("").memory_bytes as i64;
    assert!(b.statistics().available_bytes < budget);
    drop(ends);
    assert_eq!(b.statistics().available_bytes, budget);
}

#[test]
fn credit_is_borrowed_while_the_receiver_waits_for_a_sender_with_a_backlog() {
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let share = rx.credit_bytes();
    until(|| {
        if tx.settle().unwrap() {
            for _ in 0..16 {
                tx.send(data(vec![0; 32 * 1024]));
            }
        }
        while rx.receive().unwrap().is_some() {}
        (rx.credit_bytes() > share).then_some(())
    });
    // Without a backlog it goes back: now one frame at a time.
    until(|| {
        while rx.receive().unwrap().is_some() {}
        (rx.bytes_received() == tx.bytes_sent()).then_some(())
    });
    let borrowed = rx.credit_bytes() - share;
    for _ in 0..borrowed / 30_000 + 20 {
        tx.send(data(vec![0; 30_000]));
        next_payload(&mut rx);
    }
    assert_eq!(rx.credit_bytes(), share);
    drop(rx);
    let budget = settings("").memory_bytes as i64;
    assert_eq!(b.statistics().available_bytes, budget);
}

#[test]
fn the_end_may_be_followed_by_anything() {
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    tx.send(data(vec![1]));
    tx.control(Control::End);
    drop(tx);
    assert_eq!(next_payload(&mut rx), [1]);
    // The end is on its way, maybe not here yet; shutting down does not cut it off.
    a.shutdown();
    assert_eq!(next(&mut rx), RemoteMessage::Control(Control::End));
    assert!(rx.is_ended());
    assert_eq!(rx.receive().unwrap(), None);
    let mut other = b.receiver(channel(1), Waker::default());
    b.shutdown();
    assert_eq!(rx.receive().unwrap(), None);
    assert!(matches!(other.receive(), Err(NetworkError::ShutDown)));
}

#[test]
fn a_sender_and_a_receiver_may_be_in_one_network() {
    let a = network("a");
    let mut rx = a.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), a.address(), Waker::default());
    tx.send(data(vec![1, 2, 3]));
    assert_eq!(next_payload(&mut rx), [1, 2, 3]);
}
