//! Links that break, and ends that leave.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

use super::*;

/// Forwards one connection to `target`, through `change` on the way there. The handle cuts it.
fn proxy(
    target: &str,
    mut change: impl FnMut(&mut [u8]) + Send + 'static,
) -> (String, mpsc::Receiver<[TcpStream; 2]>) {
    fn pump(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut [u8])) {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            change(&mut buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = target.to_owned();
    let (cut, handle) = mpsc::channel();
    std::thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(target).unwrap();
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        cut.send([clone(&near), clone(&far)]).unwrap();
        let (back_from, back_to) = (clone(&far), clone(&near));
        std::thread::spawn(move || pump(back_from, back_to, |_| {}));
        pump(near, far, &mut change);
    });
    (address, handle)
}

#[test]
fn a_broken_link_fails_all_its_channels_and_wakes_their_tasks() {
    let (a, b) = (network("a"), network("b"));
    let (address, cut) = proxy(b.address(), |_| {});
    let (sender, sender_waker) = Sleeper::bound();
    let (receiver, receiver_waker) = Sleeper::bound();
    let mut rx = b.receiver(channel(0), receiver_waker);
    let mut tx = a.sender(channel(0), &address, sender_waker);
    let mut ended_rx = b.receiver(channel(1), Waker::default());
    let mut ended_tx = a.sender(channel(1), &address, Waker::default());
    let mut parked = a.sender(channel(2), &address, Waker::default());
    ended_tx.control(Control::End);
    assert_eq!(next(&mut ended_rx), RemoteMessage::Control(Control::End));
    for _ in 0..100 {
        tx.send(data(vec![0; 32 * 1024]));
    }
    next_payload(&mut rx);
    for stream in cut.recv().unwrap() {
        // The second one may be gone with the first.
        let _ = stream.shutdown(Shutdown::Both);
    }
    let sent = loop {
        match tx.settle() {
            Ok(_) => sender.sleep(),
            Err(error) => break error,
        }
    };
    let received = loop {
        match rx.receive() {
            Ok(None) => receiver.sleep(),
            Ok(Some(_)) => {}
            Err(error) => break error,
        }
    };
    for error in [sent, received, sender_error(&mut parked)] {
        assert!(
            matches!(
                error,
                NetworkError::Disconnected { .. } | NetworkError::Link { .. }
            ),
            "{error}"
        );
        assert_eq!(error.class(), flott_model::FailureClass::Transient);
    }
    assert_eq!(ended_rx.receive().unwrap(), None);
    assert!(ended_tx.settle().unwrap(), "its end was delivered");
    // The next attempt, by a new link.
    until(|| (a.statistics().links_out == 0).then_some(()));
    let mut rx = b.receiver(channel(3), Waker::default());
    let mut tx = a.sender(channel(3), b.address(), Waker::default());
    tx.send(data(vec![9]));
    assert_eq!(next_payload(&mut rx), [9]);
}

#[test]
fn a_changed_byte_is_found_by_the_checksum() {
    let start = |container| {
        Network::start(NetworkSettings {
            checksums: true,
            ..settings(container)
        })
        .unwrap()
    };
    let (a, b) = (start("a"), start("b"));
    let mut passed = 0usize;
    let (address, _cut) = proxy(b.address(), move |bytes| {
        // Far behind the handshake: inside some frame's payload.
        let place = 100_000usize;
        if (passed..passed + bytes.len()).contains(&place) {
            bytes[place - passed] ^= 1;
        }
        passed += bytes.len();
    });
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), &address, Waker::default());
    let error = until(|| {
        if let Ok(true) = tx.settle() {
            tx.send(data(vec![0; 10_000]));
        }
        loop {
            match rx.receive() {
                Ok(Some(RemoteMessage::Data(frame))) => {
                    assert!(frame.payload.iter().all(|byte| *byte == 0));
                }
                Ok(Some(RemoteMessage::Control(_))) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        }
    });
    assert!(error.to_string().contains("checksum"), "{error}");
    sender_error(&mut tx);
}

#[test]
fn a_receiver_that_leaves_before_the_end_is_an_error_of_the_sender() {
    let (a, b) = (network("a"), network("b"));
    let rx = b.receiver(channel(0), Waker::default());
    let (sender, waker) = Sleeper::bound();
    let mut tx = a.sender(channel(0), b.address(), waker);
    tx.send(data(vec![1]));
    settled(&mut tx);
    drop(rx);
    let error = loop {
        match tx.settle() {
            Ok(_) => sender.sleep(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, NetworkError::ReceiverClosed { .. }));
    assert!(tx.error().is_some());
    // Neither end can come back: attempts are never used twice.
    let mut again = a.sender(channel(0), b.address(), Waker::default());
    let error = sender_error(&mut again);
    assert!(matches!(error, NetworkError::Refused { .. }), "{error}");
    let mut again = b.receiver(channel(0), Waker::default());
    assert!(matches!(
        again.receive(),
        Err(NetworkError::AlreadyRegistered { .. })
    ));
}

#[test]
fn a_sender_that_leaves_before_the_end_is_an_error_of_the_receiver() {
    let (a, b) = (network("a"), network("b"));
    let (receiver, waker) = Sleeper::bound();
    let mut rx = b.receiver(channel(0), waker);
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    tx.send(data(vec![1]));
    assert_eq!(next_payload(&mut rx), [1]);
    drop(tx);
    let error = loop {
        match rx.receive() {
            Ok(_) => receiver.sleep(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, NetworkError::SenderClosed { .. }));
}

#[test]
fn a_second_sender_of_a_channel_is_refused() {
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let mut second = a.sender(channel(0), b.address(), Waker::default());
    let error = sender_error(&mut second);
    assert!(matches!(error, NetworkError::Refused { .. }), "{error}");
    tx.send(data(vec![1]));
    assert_eq!(next_payload(&mut rx), [1]);
}

#[test]
fn a_record_above_the_limit_is_refused_at_the_sender() {
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    tx.send(data(vec![0; 64 * 1024 * 1024 + 1]));
    let error = tx.settle().unwrap_err();
    assert!(matches!(error, NetworkError::RecordTooLarge { .. }));
    assert_eq!(error.class(), flott_model::FailureClass::Fatal);
    drop(tx);
    // Whether or not the channel was open by then, nothing of the record arrives.
    assert_eq!(rx.bytes_received(), 0);
    assert!(!matches!(rx.receive(), Ok(Some(RemoteMessage::Data(_)))));
}

#[test]
fn another_token_is_refused_in_both_directions() {
    let a = network("a");
    let b = Network::start(NetworkSettings {
        token: b"other".to_vec(),
        ..settings("b")
    })
    .unwrap();
    for (from, to) in [(&a, &b), (&b, &a)] {
        let mut tx = from.sender(channel(0), to.address(), Waker::default());
        let error = sender_error(&mut tx);
        assert!(
            matches!(error, NetworkError::Authentication { .. }),
            "{error}"
        );
        assert_eq!(to.statistics().links_in, 0);
    }
}

#[test]
fn other_frame_sizes_are_refused() {
    let a = network("a");
    let b = Network::start(NetworkSettings {
        frame_bytes: 16 * 1024,
        ..settings("b")
    })
    .unwrap();
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let error = sender_error(&mut tx).to_string();
    assert!(
        error.contains("its frames have 32768 bytes, ours 16384"),
        "{error}"
    );
}

#[test]
fn nobody_there_is_an_error_of_the_sender() {
    let a = network("a");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut tx = a.sender(channel(0), &address, Waker::default());
    let error = sender_error(&mut tx);
    assert!(matches!(error, NetworkError::Connect { .. }), "{error}");
}

#[test]
fn a_newer_life_of_a_worker_replaces_the_older_one() {
    let start = |incarnation| {
        Network::start(NetworkSettings {
            incarnation,
            ..settings("a")
        })
        .unwrap()
    };
    let b = network("b");
    let (older, newer, oldest) = (start(2), start(3), start(1));
    let mut old_rx = b.receiver(channel(0), Waker::default());
    let mut old_tx = older.sender(channel(0), b.address(), Waker::default());
    old_tx.send(data(vec![1]));
    next_payload(&mut old_rx);
    let mut rx = b.receiver(channel(1), Waker::default());
    let mut tx = newer.sender(channel(1), b.address(), Waker::default());
    tx.send(data(vec![2]));
    assert_eq!(next_payload(&mut rx), [2]);
    let error = receiver_error(&mut old_rx);
    assert!(matches!(error, NetworkError::Superseded { .. }), "{error}");
    sender_error(&mut old_tx);
    for late in [&older, &oldest] {
        let mut late_tx = late.sender(channel(2), b.address(), Waker::default());
        let error = sender_error(&mut late_tx).to_string();
        assert!(error.contains("replaced by a newer one"), "{error}");
    }
    tx.send(data(vec![3]));
    assert_eq!(next_payload(&mut rx), [3], "the newer one is not disturbed");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |change: fn(&mut NetworkSettings)| {
        let mut settings = settings("a");
        change(&mut settings);
        Network::start(settings).unwrap_err().to_string()
    };
    assert!(check(|s| s.token.clear()).contains("token is empty"));
    assert!(check(|s| s.frame_bytes = 10).contains("a frame of 10 bytes"));
    assert!(check(|s| s.container = "x".repeat(300)).contains("container name"));
    assert!(check(|s| s.max_record_bytes = 1).contains("records of at most 1"));
    assert!(check(|s| s.ping_timeout = s.ping_interval).contains("ping timeout"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Network::start(NetworkSettings {
        ports: vec![port],
        ..settings("a")
    });
    assert!(matches!(error, Err(NetworkError::Bind { .. })));
}
