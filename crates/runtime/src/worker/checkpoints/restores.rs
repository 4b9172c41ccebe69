//! How many subtasks were restored, and where their state came from.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where the state of a restored subtask came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum RestoredFrom {
    /// All that it needs was kept in this process.
    Memory,
    /// Files that the container keeps were read, and no others.
    Local,
    /// Files of the checkpoint were read, or it is all in `_metadata`.
    Storage,
}

impl RestoredFrom {
    pub(in crate::worker) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local => "local",
            Self::Storage => "storage",
        }
    }
}

/// The counts of one worker.
#[derive(Debug, Default)]
pub(in crate::worker) struct Restores {
    memory: AtomicU64,
    local: AtomicU64,
    storage: AtomicU64,
}

impl Restores {
    pub(super) fn count(&self, from: RestoredFrom) {
        self.counter(from).fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, by the names of their metrics.
    pub(super) fn all(&self) -> [(&'static str, u64); 3] {
        let get = |from| self.counter(from).load(Ordering::Relaxed);
        [
            ("Status.State.RestoresFromMemory", get(RestoredFrom::Memory)),
            ("Status.State.RestoresFromLocal", get(RestoredFrom::Local)),
            (
                "Status.State.RestoresFromStorage",
                get(RestoredFrom::Storage),
            ),
        ]
    }

    fn counter(&self, from: RestoredFrom) -> &AtomicU64 {
        match from {
            RestoredFrom::Memory => &self.memory,
            RestoredFrom::Local => &self.local,
            RestoredFrom::Storage => &self.storage,
        }
    }
}
