//! Whole networks on loopback, and peers that break the rules.

mod faults;
mod links;
mod peers;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use flott_model::{EdgeId, Epoch, ExecutionAttemptId, VertexId};

use super::*;
use crate::{Barrier, ChannelId, Control, QueueLoad, Wake, Waker};

const PATIENCE: Duration = Duration::from_secs(60);

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
#[track_caller]
fn until<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
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

/// The next message; waits for it.
#[track_caller]
fn next(rx: &mut RemoteReceiver) -> RemoteMessage {
    until(|| rx.receive().unwrap())
}

#[track_caller]
fn next_payload(rx: &mut RemoteReceiver) -> Vec<u8> {
    match next(rx) {
        RemoteMessage::Data(frame) => frame.payload,
        RemoteMessage::Control(control) => panic!("{control:?} instead of data"),
    }
}

#[track_caller]
fn settled(tx: &mut RemoteSender) {
    until(|| tx.settle().unwrap().then_some(()));
}

/// The error a sender or receiver ends with.
#[track_caller]
fn sender_error(tx: &mut RemoteSender) -> NetworkError {
    until(|| tx.settle().err())
}

#[track_caller]
fn receiver_error(rx: &mut RemoteReceiver) -> NetworkError {
    until(|| rx.receive().err())
}

/// A task that sleeps until it is woken.
#[derive(Default)]
struct Sleeper {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Sleeper {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Sleeper {
    fn bound() -> (Arc<Self>, Waker) {
        let (sleeper, waker) = (Arc::new(Self::default()), Waker::default());
        waker.bind(Arc::clone(&sleeper) as Arc<dyn Wake>);
        (sleeper, waker)
    }

    #[track_caller]
    fn sleep(&self) {
        let woken = self.woken.lock().unwrap();
        let (mut woken, result) = self
            .changed
            .wait_timeout_while(woken, PATIENCE, |woken| !*woken)
            .unwrap();
        assert!(!result.timed_out(), "slept in vain");
        *woken = false;
    }
}
