//! Consecutive numbers, split into one range per subtask.

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::TaskError;
use flott_operators::source::{Progress, Reader};

/// Emits one subtask's share of `from..=to`.
pub struct SequenceReader {
    next: i128,
    end: i128,
}

impl SequenceReader {
    /// The share of that subtask; all shares together are exactly `from..=to`.
    pub fn new(from: i64, to: i64, subtask: u32, parallelism: u32) -> Self {
        let (from, count) = (
            i128::from(from),
            (i128::from(to) - i128::from(from) + 1).max(0),
        );
        let bound = |index: u32| from + count * i128::from(index) / i128::from(parallelism.max(1));
        Self {
            next: bound(subtask),
            end: bound(subtask + 1),
        }
    }
}

impl Reader for SequenceReader {
    type Out = i64;

    fn fill(&mut self, out: &mut Batch<i64>) -> Result<Progress, TaskError> {
        let end = self.end.min(self.next + batch_rows::<i64>() as i128);
        while self.next < end {
            // Between two i64 bounds by construction.
            out.push(self.next as i64, NO_TIMESTAMP);
            self.next += 1;
        }
        Ok(if self.next == self.end {
            Progress::End
        } else {
            Progress::More
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut reader: SequenceReader) -> Vec<i64> {
        let mut all = Vec::new();
        loop {
            let mut batch = Batch::default();
            let progress = reader.fill(&mut batch).unwrap();
            all.append(&mut batch.rows);
            if progress == Progress::End {
                return all;
            }
        }
    }

    #[test]
    fn shares_are_exact_for_any_parallelism() {
        for parallelism in [1, 2, 3, 7, 100] {
            let all: Vec<i64> = (0..parallelism)
                .flat_map(|subtask| read(SequenceReader::new(-10, 5_000, subtask, parallelism)))
                .collect();
            assert_eq!(all, (-10..=5_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn extremes_and_empty_ranges() {
        assert_eq!(
            read(SequenceReader::new(i64::MAX, i64::MAX, 0, 1)),
            [i64::MAX]
        );
        assert_eq!(read(SequenceReader::new(1, 0, 0, 1)), [0_i64; 0]);
        assert_eq!(read(SequenceReader::new(1, 2, 3, 4)), [2]);
    }
}
