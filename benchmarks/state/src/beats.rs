//! What comes to the sinks, and when, told to the process that measures: over the loopback, because the sinks' processes
//! are killed.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flott_record::hash::{key_group, stable_hash, subtask_of};

/// Of the job: what it has at a small parallelism.
const MAX_PARALLELISM: u32 = 128;
/// A sink tells at most so often.
const PAUSE: Duration = Duration::from_millis(1);

/// At a sink.
pub(crate) struct Beat {
    address: String,
    socket: Option<UdpSocket>,
    told: Option<Instant>,
    greatest: u64,
    parallelism: u32,
}

impl Clone for Beat {
    fn clone(&self) -> Self {
        Self::new(self.address.clone(), self.parallelism)
    }
}

impl Beat {
    pub(crate) fn new(address: String, parallelism: u32) -> Self {
        Self {
            address,
            socket: None,
            told: None,
            greatest: 0,
            parallelism,
        }
    }

    /// A record came.
    pub(crate) fn tell(&mut self, key: u64, n: u64) {
        self.greatest = self.greatest.max(n);
        if self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        if self.socket.is_none() {
            self.socket = UdpSocket::bind("127.0.0.1:0").ok();
        }
        if let Some(socket) = &self.socket {
            // The sink that has the key: processes come and go.
            let group = key_group(stable_hash(&key), MAX_PARALLELISM);
            let sink = subtask_of(group, self.parallelism, MAX_PARALLELISM);
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.greatest.to_le_bytes());
            bytes[8..].copy_from_slice(&u64::from(sink).to_le_bytes());
            // Nobody listens once the measurement is over.
            let _ = socket.send_to(&bytes, &self.address);
        }
    }
}

/// When something came to which sink, and the greatest number that had come there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) greatest: u64,
    pub(crate) sink: u64,
}

/// Everything that was told.
#[derive(Clone)]
pub(crate) struct Beats {
    address: String,
    // Held for a moment.
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Beats {
    /// Listens until the process ends.
    pub(crate) fn listen() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("listening for the sinks")?;
        let address = socket.local_addr()?.to_string();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let to = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut bytes = [[0; 8]; 2];
            while socket.recv(bytes.as_flattened_mut()).is_ok() {
                let [greatest, sink] = bytes.map(u64::from_le_bytes);
                let at = Instant::now();
                lock(&to).push(Heard { at, greatest, sink });
            }
        });
        Ok(Self { address, heard })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// All of it, oldest first.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
