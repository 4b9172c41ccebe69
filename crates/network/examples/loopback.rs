//! Moves frames between two networks of one process: MB/s, and time and CPU per 32 KiB frame.
//!
//! `cargo run --release -p flott-network --example loopback -- [megabytes] [channels] [checksums]`

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use flott_model::{EdgeId, Epoch, ExecutionAttemptId, VertexId};
use flott_network::{
    ChannelId, Control, DataFrame, Network, NetworkError, NetworkSettings, RemoteMessage,
    RemoteReceiver, RemoteSender, Wake, Waker,
};

const FRAME: usize = 32 * 1024;

#[derive(Default)]
struct Task {
    awake: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Task {
    fn wake(&self) {
        let mut awake = self.awake.lock().expect("nothing panics while holding it");
        if !*awake {
            *awake = true;
            self.changed.notify_one();
        }
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let (task, waker) = (Arc::new(Self::default()), Waker::default());
        waker.bind(Arc::clone(&task) as Arc<dyn Wake>);
        (task, waker)
    }

    fn sleep(&self) {
        let awake = self.awake.lock().expect("nothing panics while holding it");
        let mut awake = self
            .changed
            .wait_while(awake, |awake| !*awake)
            .expect("nothing panics while holding it");
        *awake = false;
    }
}

fn send(mut ends: Vec<RemoteSender>, frames: usize, task: &Task) -> Result<(), NetworkError> {
    let rows = vec![7; FRAME];
    let mut left = vec![frames; ends.len()];
    loop {
        let mut moved = false;
        for (tx, left) in ends.iter_mut().zip(&mut left) {
            while *left > 0 && tx.settle()? {
                let mut payload = tx.buffer();
                payload.extend_from_slice(&rows);
                tx.send(DataFrame {
                    payload,
                    rows: 1,
                    has_timestamps: false,
                });
                *left -= 1;
                moved = true;
                if *left == 0 {
                    tx.control(Control::End);
                }
            }
        }
        if left.iter().all(|left| *left == 0) {
            return Ok(());
        }
        if !moved {
            task.sleep();
        }
    }
}

fn receive(mut ends: Vec<RemoteReceiver>, task: &Task) -> Result<usize, NetworkError> {
    let mut frames = 0;
    loop {
        let mut moved = false;
        for rx in &mut ends {
            while let Some(message) = rx.receive()? {
                moved = true;
                if let RemoteMessage::Data(frame) = message {
                    frames += 1;
                    rx.recycle(frame.payload);
                }
            }
        }
        if ends.iter().all(RemoteReceiver::is_ended) {
            return Ok(frames);
        }
        if !moved {
            task.sleep();
        }
    }
}

/// CPU seconds of this process, user and system.
fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn argument(position: usize, default: usize) -> usize {
    std::env::args()
        .nth(position)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() -> Result<(), NetworkError> {
    let (megabytes, channels) = (argument(1, 4096), argument(2, 4).max(1));
    let start = |container: &str| {
        Network::start(NetworkSettings {
            token: b"loopback".to_vec(),
            container: container.into(),
            checksums: argument(3, 0) > 0,
            ..NetworkSettings::default()
        })
    };
    let (a, b) = (start("a")?, start("b")?);
    let (sender, sender_waker) = Task::new();
    let (receiver, receiver_waker) = Task::new();
    let ids = (0..channels as u32).map(|subtask| {
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
    });
    let rx = ids
        .clone()
        .map(|id| b.receiver(id, receiver_waker.clone()))
        .collect();
    let tx = ids
        .map(|id| a.sender(id, b.address(), sender_waker.clone()))
        .collect();
    let frames = (megabytes << 20) / FRAME / channels;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let sending = std::thread::spawn(move || send(tx, frames, &sender));
    let received = receive(rx, &receiver)?;
    let elapsed = started.elapsed();
    sending.join().expect("the sender does not panic")?;
    let per_frame = |seconds: f64| seconds * 1e9 / received as f64;
    println!(
        "{received} frames of {FRAME} bytes, {channels} channels: {:.0} MB/s, {:.0} ns per frame",
        (received * FRAME) as f64 / 1e6 / elapsed.as_secs_f64(),
        per_frame(elapsed.as_secs_f64()),
    );
    if let (Some(before), Some(after)) = (cpu, cpu_seconds()) {
        println!(
            "{:.0} CPU ns per frame, both ends",
            per_frame(after - before)
        );
    }
    Ok(())
}
