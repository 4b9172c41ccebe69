//! From a sink that collects for the program to whoever carries that there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Some records on their way to the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultFrame {
    /// The frames of a subtask are counted from 0.
    pub sequence: u64,
    /// So many records.
    pub rows: u32,
    /// The records, encoded one after the other.
    pub bytes: Vec<u8>,
    /// None follows.
    pub last: bool,
}

type Send = dyn Fn(ResultFrame) + std::marker::Send + Sync;

/// A subtask's way to the program; clones are the same. Who sends keeps to what the program takes.
#[derive(Clone)]
pub struct ResultPort {
    send: Arc<Send>,
    taken: Arc<AtomicU64>,
}

impl Default for ResultPort {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl ResultPort {
    /// Frames go to `send`.
    pub fn new(send: impl Fn(ResultFrame) + std::marker::Send + Sync + 'static) -> Self {
        Self {
            send: Arc::new(send),
            taken: Arc::default(),
        }
    }

    /// Sends a frame.
    pub fn send(&self, frame: ResultFrame) {
        (self.send)(frame);
    }

    /// The program has taken the frames before that one; who says so wakes the subtask.
    pub fn confirm(&self, taken: u64) {
        self.taken.fetch_max(taken, Ordering::Relaxed);
    }

    /// How many frames the program has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}
