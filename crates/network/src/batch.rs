//! The unit that moves along every edge: rows and, where the stream has event time, their times.

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

    /// Appends a row; `NO_TIMESTAMP` if it has no event time. All rows of a batch agree on that.
    #[inline(always)]
    pub fn push(&mut self, row: T, timestamp: i64) {
        self.rows.push(row);
        if timestamp != NO_TIMESTAMP {
            self.timestamps.push(timestamp);
        }
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
    /// No row with a smaller event time follows.
    Watermark(i64),
    /// Rows before it belong to the checkpoint of that id.
    Barrier(u64),
    /// Nothing follows.
    End,
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
