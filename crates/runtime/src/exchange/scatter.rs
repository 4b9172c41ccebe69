//! Keyed rows on their way to several ports: who owns a key, and how rows are told apart many at a
//! time.

use std::ops::Range;

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::keyed::KeySelector;
use flott_record::Record;
use flott_record::hash::{key_group, stable_hash, subtask_of};

/// Rows on their way to several ports, with the hashes of their keys.
pub(super) struct Stage<T> {
    pub(super) rows: Vec<T>,
    /// As many as rows fit; those of the rows come first.
    pub(super) hashes: Vec<u64>,
    /// The rows of one port, as [`Stage::select`] found them.
    selected: Vec<u16>,
}

impl<T> Default for Stage<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            hashes: Vec::new(),
            selected: Vec::new(),
        }
    }
}

impl<T: Record> Stage<T> {
    /// Whether a row is bytes and nothing else, so that copies cost nothing.
    pub(super) const IS_PLAIN: bool = !std::mem::needs_drop::<T>();

    /// So many rows at once, so that they are in the nearest cache still.
    const ROWS: usize = {
        let rows = batch_rows::<T>() / 4;
        if rows < 16 { 16 } else { rows }
    };

    #[inline(always)]
    pub(super) fn fill<S: KeySelector<T>>(
        &mut self,
        rows: &mut impl ExactSizeIterator<Item = T>,
        selector: &S,
    ) {
        if self.hashes.is_empty() {
            self.hashes.resize(Self::ROWS, 0);
            self.selected.resize(Self::ROWS, 0);
        }
        let mut filled = std::mem::take(&mut self.rows);
        filled.reserve(Self::ROWS);
        for hash in &mut self.hashes {
            let Some(row) = rows.next() else { break };
            *hash = selector.with(&row, stable_hash);
            filled.push(row);
        }
        self.rows = filled;
    }

    /// Finds the rows whose hashes are in a range: how many there are.
    #[inline(always)]
    pub(super) fn select(&mut self, range: HashRange) -> usize {
        let mut count = 0;
        for (at, hash) in self.hashes[..self.rows.len()].iter().enumerate() {
            // Without a branch, which no processor would foresee.
            self.selected[count] = at as u16;
            count += usize::from(range.contains(*hash));
        }
        count
    }

    /// Copies some of the rows that were found.
    #[inline(always)]
    pub(super) fn copy(&self, selected: Range<usize>, timestamps: &[i64], into: &mut Batch<T>) {
        let selected = || {
            self.selected[selected.clone()]
                .iter()
                .map(|at| usize::from(*at))
        };
        if !timestamps.is_empty() {
            into.timestamps.resize(into.rows.len(), NO_TIMESTAMP);
            into.timestamps.extend(selected().map(|at| timestamps[at]));
        }
        into.rows.extend(selected().map(|at| self.rows[at].clone()));
        into.hashes.extend(selected().map(|at| self.hashes[at]));
        if timestamps.is_empty() && !into.timestamps.is_empty() {
            into.timestamps.resize(into.rows.len(), NO_TIMESTAMP);
        }
    }
}

/// Which port the rows of a key group go to.
pub(super) struct Owners {
    /// Key group → port.
    table: Vec<u16>,
    max_parallelism: u32,
    /// The hashes of each port's key groups.
    ranges: Vec<HashRange>,
}

/// Consecutive hashes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HashRange {
    first: u64,
    /// Behind the first.
    more: u64,
}

impl HashRange {
    #[inline(always)]
    fn contains(self, hash: u64) -> bool {
        hash.wrapping_sub(self.first) <= self.more
    }
}

impl Owners {
    /// For so many subtasks and key groups.
    pub(super) fn new(parallelism: u32, max_parallelism: u32) -> Self {
        // Parallelism ≤ 32768 is checked by JobGraph::validate.
        let owner = |group| subtask_of(group, parallelism, max_parallelism) as u16;
        let table: Vec<u16> = (0..max_parallelism).map(owner).collect();
        // Groups are consecutive hashes, and a subtask's groups are consecutive.
        let first_hash = |port: u16| {
            let group = table.partition_point(|owner| *owner < port) as u64;
            (group << 32).div_ceil(u64::from(max_parallelism)) << 32
        };
        let ranges = (0..parallelism as u16).map(|port| {
            let first = first_hash(port);
            let last = if u32::from(port) + 1 == parallelism {
                u64::MAX
            } else {
                first_hash(port + 1) - 1
            };
            HashRange {
                first,
                more: last - first,
            }
        });
        Self {
            ranges: ranges.collect(),
            table,
            max_parallelism,
        }
    }

    #[inline(always)]
    pub(super) fn port_of(&self, hash: u64) -> usize {
        usize::from(self.table[key_group(hash, self.max_parallelism) as usize])
    }

    pub(super) fn hashes_of(&self, port: usize) -> HashRange {
        self.ranges[port]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The range of a port has exactly the hashes that the table gives it.
        #[test]
        fn ranges_and_table_agree(
            parallelism in 1..40_u32,
            more in 0..300_u32,
            hashes in proptest::collection::vec(any::<u64>(), 1..100),
        ) {
            let owners = Owners::new(parallelism, parallelism + more);
            let edges = owners.ranges.iter().flat_map(|range| {
                let last = range.first + range.more;
                [range.first, last, range.first.wrapping_sub(1), last.wrapping_add(1)]
            });
            for hash in hashes.iter().copied().chain(edges) {
                for port in 0..parallelism as usize {
                    let contains = owners.hashes_of(port).contains(hash);
                    prop_assert_eq!(contains, owners.port_of(hash) == port, "{} {:x}", port, hash);
                }
            }
        }
    }
}
