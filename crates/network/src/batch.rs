//! The unit that moves along every edge: rows and, where the stream has event time, their times.

use flott_model::{CheckpointId, SnapshotKind};

/// Time of a row without event time.
pub const NO_TIMESTAMP: i64 = i64::MIN;

/// Rows in order, with their event times.
#[derive(Debug)]
pub struct Batch<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Empty (no event time), or as long as `rows`.
    pub timestamps: Vec<i64>,
    /// Empty, or the stable hash of each row's key, as computed by the keyed writer.
    pub hashes: Vec<u64>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            timestamps: Vec::new(),
            hashes: Vec::new(),
        }
    }
}

impl<T> Batch<T> {
    /// An empty batch with room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    /// Appends a row; `NO_TIMESTAMP` if it has no event time.
    #[inline(always)]
    pub fn push(&mut self, row: T, timestamp: i64) {
        if timestamp != NO_TIMESTAMP || !self.timestamps.is_empty() {
            self.push_timestamp(timestamp);
        }
        self.rows.push(row);
    }

    /// Streams with and without event time may be merged: the rows before the first time get none.
    #[inline]
    fn push_timestamp(&mut self, timestamp: i64) {
        if self.timestamps.len() < self.rows.len() {
            self.timestamps.resize(self.rows.len(), NO_TIMESTAMP);
        }
        self.timestamps.push(timestamp);
    }

    /// Appends up to so many rows, the next ones of the iterator; `timestamps` is empty (no event time),
    /// or has one for each of them. Cheaper than [`Batch::push`] for each.
    #[inline(always)]
    pub fn extend(&mut self, count: usize, rows: &mut impl Iterator<Item = T>, timestamps: &[i64]) {
        if !timestamps.is_empty() {
            self.timestamps.resize(self.rows.len(), NO_TIMESTAMP);
            self.timestamps.extend_from_slice(timestamps);
        }
        // On the stack, where the processor is quick to find the length again.
        let mut filled = std::mem::take(&mut self.rows);
        filled.reserve(count);
        for _ in 0..count {
            let Some(row) = rows.next() else { break };
            filled.push(row);
        }
        self.rows = filled;
        if timestamps.is_empty() && !self.timestamps.is_empty() {
            self.timestamps.resize(self.rows.len(), NO_TIMESTAMP);
        }
    }

    /// Keeps the first so many rows.
    #[inline(always)]
    pub fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.timestamps.truncate(rows);
        self.hashes.truncate(rows);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Removes all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.timestamps.clear();
        self.hashes.clear();
    }

    /// Takes the rows out one by one with their times.
    #[inline(always)]
    pub fn drain(&mut self) -> impl Iterator<Item = (T, i64)> {
        self.hashes.clear();
        let mut times = self.timestamps.drain(..);
        self.rows
            .drain(..)
            .map(move |row| (row, times.next().unwrap_or(NO_TIMESTAMP)))
    }
}

/// What travels in order between the rows of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// No row with this event time (milliseconds since the epoch) or a smaller one follows.
    Watermark(i64),
    /// Nothing is to be expected for a while: nobody should wait for this channel's watermark.
    Idle,
    /// The end of [`Control::Idle`], before the next row or watermark.
    Active,
    /// Measures how long elements are on their way.
    Marker(LatencyMarker),
    /// BATCH, inside a task only: of every key that came since the last of these, all rows have come.
    KeysEnd,
    /// Rows before it belong to a checkpoint, those behind it do not.
    Barrier(Barrier),
    /// Nothing follows.
    End,
}

impl Control {
    /// Whether a receiver that waits for room looks at its channels because of it.
    pub(crate) fn calls(&self) -> bool {
        match self {
            Self::Barrier(barrier) => barrier.overtakes != Overtakes::Never,
            Self::End => true,
            Self::Watermark(_) | Self::Idle | Self::Active | Self::Marker(_) | Self::KeysEnd => {
                false
            }
        }
    }
}

/// Where a checkpoint cuts a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// What is wanted of those who meet it.
    pub kind: SnapshotKind,
    /// When it was triggered: the low 32 bits of the milliseconds since the epoch, for durations.
    pub triggered_ms: u32,
    /// When it no longer waits for the rows in front of it.
    pub overtakes: Overtakes,
}

/// Whether a barrier may overtake rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overtakes {
    /// Never: it is where it is between the rows.
    Never,
    /// So many milliseconds after it was triggered.
    AfterMs(u32),
    /// At once.
    AtOnce,
}

impl Overtakes {
    /// As a number: 0 at once, the greatest one never, else milliseconds.
    pub fn number(self) -> u32 {
        match self {
            Self::Never => u32::MAX,
            Self::AtOnce => 0,
            Self::AfterMs(ms) => ms.clamp(1, u32::MAX - 1),
        }
    }

    /// The inverse of [`Overtakes::number`].
    pub fn from_number(number: u32) -> Self {
        match number {
            u32::MAX => Self::Never,
            0 => Self::AtOnce,
            ms => Self::AfterMs(ms),
        }
    }
}

impl Barrier {
    /// For a checkpoint of that kind, triggered at `now_ms` (milliseconds since the epoch).
    pub fn new(checkpoint: CheckpointId, kind: SnapshotKind, now_ms: i64) -> Self {
        Self {
            checkpoint,
            kind,
            // The low bits are all that is wanted.
            triggered_ms: now_ms as u32,
            overtakes: Overtakes::Never,
        }
    }

    /// The same barrier, which overtakes rows like this.
    #[must_use]
    pub fn overtaking(self, overtakes: Overtakes) -> Self {
        Self { overtakes, ..self }
    }

    /// Whether it overtakes rows now.
    pub fn overtakes_at_once(&self) -> bool {
        self.overtakes == Overtakes::AtOnce
    }

    /// For one that overtakes after a while: how many milliseconds are left of it.
    pub fn patience_ms(&self, now_ms: i64) -> Option<u64> {
        match self.overtakes {
            Overtakes::AfterMs(after) => Some(u64::from(after).saturating_sub(self.age_ms(now_ms))),
            Overtakes::Never | Overtakes::AtOnce => None,
        }
    }

    /// For a plain checkpoint, where nobody looks at the time.
    #[doc(hidden)]
    pub fn for_tests(checkpoint: u64) -> Self {
        Self::new(CheckpointId(checkpoint), SnapshotKind::Checkpoint, 0)
    }

    /// Milliseconds between its trigger and a time, in milliseconds since the epoch.
    pub fn age_ms(&self, now_ms: i64) -> u64 {
        // The low bits are all that is known of both.
        let age = (now_ms as u32).wrapping_sub(self.triggered_ms);
        // A clock that is behind is no age of weeks.
        if age > u32::MAX / 2 {
            0
        } else {
            u64::from(age)
        }
    }
}

/// Emitted by a source now and then; travels with the rows, and stops at sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyMarker {
    /// When the source emitted it, in milliseconds since the epoch.
    pub emitted_ms: i64,
    /// The vertex of the source.
    pub vertex: u32,
    /// The subtask of the source.
    pub subtask: u32,
}

/// Rows per batch: about 16 KiB, so that a batch is still in cache when it is consumed.
pub const fn batch_rows<T>() -> usize {
    let size = if size_of::<T>() == 0 {
        1
    } else {
        size_of::<T>()
    };
    let rows = 16 * 1024 / size;
    if rows > 2048 {
        2048
    } else if rows < 32 {
        32
    } else {
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_barrier_survives_clocks_that_differ_and_wrap() {
        let barrier = |triggered_ms| Barrier {
            checkpoint: CheckpointId(1),
            kind: SnapshotKind::Checkpoint,
            triggered_ms,
            overtakes: Overtakes::Never,
        };
        let now = (7_i64 << 32) + 5;
        assert_eq!(barrier(2).age_ms(now), 3);
        assert_eq!(barrier(u32::MAX).age_ms(now), 6);
        assert_eq!(barrier(100).age_ms(now), 0);
    }

    #[test]
    fn rows_with_and_without_time_share_a_batch() {
        let mut batch = Batch::default();
        batch.push("a", NO_TIMESTAMP);
        batch.push("b", 7);
        batch.push("c", NO_TIMESTAMP);
        let rows: Vec<_> = batch.drain().collect();
        assert_eq!(rows, [("a", NO_TIMESTAMP), ("b", 7), ("c", NO_TIMESTAMP)]);
    }

    #[test]
    fn several_rows_at_once_are_as_one_after_the_other() {
        // How many rows, and whether they have times.
        let groups = [
            (2, false),
            (0, true),
            (3, true),
            (1, true),
            (2, false),
            (1, true),
        ];
        let (mut singly, mut at_once) = (Batch::default(), Batch::default());
        for (group, (count, timed)) in groups.into_iter().enumerate() {
            let rows = (0..count).map(|at| group * 10 + at);
            let times: Vec<i64> = rows.clone().map(|row| row as i64).collect();
            rows.clone()
                .for_each(|row| singly.push(row, if timed { row as i64 } else { NO_TIMESTAMP }));
            at_once.extend(count, &mut { rows }, if timed { &times } else { &[] });
            assert_eq!(at_once.rows, singly.rows);
            assert_eq!(at_once.timestamps, singly.timestamps);
        }
    }
}
