//! Two networks on loopback.

use std::time::{Duration, Instant};

use flott_model::{EdgeId, Epoch, ExecutionAttemptId, VertexId};

use super::*;
use crate::{ChannelId, Control, Waker};

fn channel(subtask: u32) -> ChannelId {
    let attempt = |vertex| ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(vertex),
        subtask,
        attempt: 0,
    };
    ChannelId {
        edge: EdgeId(0),
        source: attempt(0),
        target: attempt(1),
    }
}

fn settings(container: &str) -> NetworkSettings {
    NetworkSettings {
        token: b"secret".to_vec(),
        container: container.into(),
        ..NetworkSettings::default()
    }
}

fn network(container: &str) -> Network {
    Network::start(settings(container)).unwrap()
}

/// Polls until there is a result; a test that waits in vain fails.
fn until<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}

fn data(payload: Vec<u8>) -> DataFrame {
    DataFrame {
        payload,
        rows: 1,
        has_timestamps: false,
    }
}

#[test]
fn everything_arrives_in_order() {
    let (a, b) = (network("a"), network("b"));
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut tx = a.sender(channel(0), b.address(), Waker::default());
    let (mut sent, mut received) = (0u32, 0u32);
    until(|| {
        if sent < 10_000 && tx.settle().unwrap() {
            let mut payload = tx.buffer();
            payload.extend_from_slice(&sent.to_le_bytes());
            payload.resize(4 + sent as usize % 3000 * 11, 7);
            tx.send(data(payload));
            sent += 1;
            if sent.is_multiple_of(100) {
                tx.control(Control::Barrier(u64::from(sent)));
            }
            if sent == 10_000 {
                tx.control(Control::End);
            }
        }
        while let Some(message) = rx.receive().unwrap() {
            match message {
                RemoteMessage::Data(frame) => {
                    assert_eq!(frame.payload[..4], received.to_le_bytes());
                    assert_eq!(frame.payload.len(), 4 + received as usize % 3000 * 11);
                    received += 1;
                    rx.recycle(frame.payload);
                }
                RemoteMessage::Control(Control::Barrier(id)) => {
                    assert_eq!(id, u64::from(received));
                }
                RemoteMessage::Control(control) => assert_eq!(control, Control::End),
            }
        }
        rx.is_ended().then_some(())
    });
    assert_eq!(received, 10_000);
    assert_eq!(rx.bytes_received(), tx.bytes_sent());
}
