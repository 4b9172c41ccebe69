//! How full a channel is, told to whoever asks, on any thread: whoever looks disturbs neither end.

use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Weak};

use crate::local::RingCounts;
use crate::remote::{InChannel, OutChannel};

/// What waits at an end of a channel, or at the ends of several.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueueLoad {
    /// Batches and frames.
    pub buffers: u64,
    /// Bytes of the frames among them; rows that stay in their process are no bytes.
    pub bytes: u64,
    /// The room of its own that is taken, in full buffers.
    pub exclusive: Room,
    /// The room it borrowed.
    pub floating: Room,
}

/// Some room, in full buffers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Room {
    /// Taken.
    pub used: f64,
    /// All of it.
    pub all: f64,
}

impl Room {
    /// Of so many bytes so many, where buffers have that size.
    pub(crate) fn of_bytes(used: u64, all: u64, buffer: usize) -> Self {
        let buffers = |bytes: u64| bytes as f64 / buffer.max(1) as f64;
        Self {
            used: buffers(used),
            all: buffers(all),
        }
    }

    /// The share that is taken, from 0 to 1; none of no room.
    pub fn usage(&self) -> f64 {
        if self.all > 0.0 {
            (self.used / self.all).min(1.0)
        } else {
            0.0
        }
    }
}

impl AddAssign for Room {
    fn add_assign(&mut self, other: Self) {
        self.used += other.used;
        self.all += other.all;
    }
}

impl AddAssign for QueueLoad {
    fn add_assign(&mut self, other: Self) {
        self.buffers += other.buffers;
        self.bytes += other.bytes;
        self.exclusive += other.exclusive;
        self.floating += other.floating;
    }
}

impl QueueLoad {
    /// All room, its own and borrowed.
    pub fn room(&self) -> Room {
        let mut room = self.exclusive;
        room += self.floating;
        room
    }
}

/// Tells how full an end of a channel is, as long as it is there; after that it is empty and without room. Clones tell of the
/// same end.
#[derive(Clone)]
pub struct QueueGauge(End);

#[derive(Clone)]
enum End {
    /// Of a ring: what was sent, even if it found no room.
    Sent(Arc<RingCounts>),
    /// Of a ring: what may be received.
    Received(Arc<RingCounts>),
    Outgoing(Weak<OutChannel>, usize),
    Incoming(Weak<InChannel>, usize),
}

impl QueueGauge {
    pub(crate) fn sent(ring: &Arc<RingCounts>) -> Self {
        Self(End::Sent(Arc::clone(ring)))
    }

    pub(crate) fn received(ring: &Arc<RingCounts>) -> Self {
        Self(End::Received(Arc::clone(ring)))
    }

    /// Full buffers have so many bytes.
    pub(crate) fn outgoing(channel: &Arc<OutChannel>, buffer: usize) -> Self {
        Self(End::Outgoing(Arc::downgrade(channel), buffer))
    }

    /// Full buffers have so many bytes.
    pub(crate) fn incoming(channel: &Arc<InChannel>, buffer: usize) -> Self {
        Self(End::Incoming(Arc::downgrade(channel), buffer))
    }

    /// How full it is now.
    pub fn load(&self) -> QueueLoad {
        match &self.0 {
            End::Sent(ring) => ring.load(u64::MAX),
            End::Received(ring) => ring.load(ring.capacity()),
            End::Outgoing(channel, buffer) => {
                let channel = channel.upgrade();
                channel.map_or_else(QueueLoad::default, |channel| channel.load(*buffer))
            }
            End::Incoming(channel, buffer) => {
                let channel = channel.upgrade();
                channel.map_or_else(QueueLoad::default, |channel| channel.load(*buffer))
            }
        }
    }
}

impl fmt::Debug for QueueGauge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("QueueGauge").field(&self.load()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_of_several_channels_are_one_pool() {
        let frames = |used, all| QueueLoad {
            buffers: 1,
            bytes: used,
            exclusive: Room::of_bytes(used, all, 100),
            floating: Room::of_bytes(used, 2 * used, 100),
        };
        let mut pool = QueueLoad::default();
        assert_eq!(pool.room().usage(), 0.0, "there is no room");
        pool += frames(100, 400);
        pool += frames(300, 400);
        assert_eq!((pool.buffers, pool.bytes), (2, 400));
        assert_eq!(
            pool.exclusive,
            Room {
                used: 4.0,
                all: 8.0
            }
        );
        assert_eq!(pool.room().usage(), 8.0 / 16.0);
        let overdrawn = Room {
            used: 3.0,
            all: 2.0,
        };
        assert_eq!(overdrawn.usage(), 1.0);
    }
}
