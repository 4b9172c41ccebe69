//! Consecutive numbers, split into ranges.

use flott_network::{Batch, batch_rows};
use flott_operators::TaskError;
use flott_operators::source::{
    Boundedness, EnumeratorContext, ReaderContext, ReaderProgress, Source, SourceReader,
    SourceSplit, SplitPool, StaticEnumerator,
};
use serde::{Deserialize, Serialize};

/// Longer ranges are cut, so that fast subtasks can help slow ones.
const LONGEST_RANGE: i128 = 1 << 20;
/// Ranges of each subtask at most.
const MOST_RANGES: i128 = 16;

/// Emits `from..=to`; each subtask has a range of its own, in order.
#[derive(Debug, Clone)]
pub struct SequenceSource {
    from: i64,
    to: i64,
}

impl SequenceSource {
    /// All numbers `from..=to`; none if `to` is smaller.
    pub fn new(from: i64, to: i64) -> Self {
        Self { from, to }
    }

    fn pool(&self, parallelism: u32) -> SplitPool<NumberRange> {
        let mut pool = SplitPool::new(parallelism);
        let (from, parallelism) = (i128::from(self.from), i128::from(parallelism.max(1)));
        let count = (i128::from(self.to) - from + 1).max(0);
        let each = (count / parallelism / LONGEST_RANGE).clamp(1, MOST_RANGES);
        let ranges = parallelism * each;
        let bound = |index: i128| from + count * index / ranges;
        for index in 0..ranges {
            let (next, end) = (bound(index), bound(index + 1));
            if next < end {
                // Both are between two i64 by construction.
                let (next, last) = (next as i64, (end - 1) as i64);
                pool.add_to((index / each) as u32, NumberRange { next, last });
            }
        }
        pool
    }
}

/// The numbers `next..=last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRange {
    next: i64,
    last: i64,
}

impl SourceSplit for NumberRange {
    fn split_id(&self) -> String {
        format!("..={}", self.last)
    }
}

impl Source for SequenceSource {
    type Out = i64;
    type Split = NumberRange;
    type Enumerator = StaticEnumerator<NumberRange>;
    type Reader = SequenceReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(self.pool(context.parallelism())))
    }

    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        pool: SplitPool<NumberRange>,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(pool.rescaled(context.parallelism())))
    }

    fn create_reader(&self, _: &ReaderContext) -> Result<Self::Reader, TaskError> {
        Ok(SequenceReader::default())
    }
}

/// Reads [`SequenceSource`].
#[derive(Debug, Default)]
pub struct SequenceReader {
    range: Option<NumberRange>,
}

impl SourceReader for SequenceReader {
    type Out = i64;
    type Split = NumberRange;

    fn add_split(&mut self, split: NumberRange) -> Result<(), TaskError> {
        self.range = Some(split);
        Ok(())
    }

    fn fill(&mut self, batch: &mut Batch<i64>) -> Result<ReaderProgress, TaskError> {
        let Some(NumberRange { next, last }) = self.range else {
            return Ok(ReaderProgress::Pending);
        };
        let end = next
            .saturating_add(batch_rows::<i64>() as i64 - 1)
            .min(last);
        batch.rows.extend(next..=end);
        if end == last {
            self.range = None;
            return Ok(ReaderProgress::SplitFinished);
        }
        let next = end + 1;
        self.range = Some(NumberRange { next, last });
        Ok(ReaderProgress::More)
    }

    fn snapshot(&self) -> Vec<NumberRange> {
        self.range.clone().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flott_filesystem::FileSystems;
    use flott_operators::source::conformance;

    use super::*;

    fn check(from: i64, to: i64) {
        let files = Arc::new(FileSystems::local());
        let all = (from..=to).collect();
        conformance::check(&SequenceSource::new(from, to), &files, all);
    }

    #[test]
    fn conforms() {
        check(-10, 5_000);
        check(i64::MAX, i64::MAX);
        check(i64::MAX - 3_000, i64::MAX);
        check(i64::MIN, i64::MIN + 1);
        check(1, 0);
        check(1, 2);
    }

    #[test]
    fn every_subtask_has_a_share_and_one_subtask_reads_in_order() {
        let mut pool = SequenceSource::new(1, 9).pool(4);
        let firsts: Vec<i64> = (0..4)
            .map(|subtask| pool.next(subtask).unwrap().next)
            .collect();
        assert_eq!(firsts, [1, 3, 5, 7]);
        let mut long = SequenceSource::new(0, 100 << 20).pool(1);
        let ranges: Vec<NumberRange> = std::iter::from_fn(|| long.next(0)).collect();
        assert_eq!(ranges.len(), 16);
        assert!(
            ranges
                .windows(2)
                .all(|pair| pair[0].last + 1 == pair[1].next)
        );
        let mut all = SequenceSource::new(i64::MIN, i64::MAX).pool(1);
        assert_eq!(all.next(0).unwrap().next, i64::MIN);
    }
}
