//! Generated records, as fast as possible or at a rate.

use std::collections::VecDeque;
use std::marker::PhantomData;

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::source::{
    Boundedness, EnumeratorContext, ReaderContext, ReaderProgress, Source, SourceReader,
    SourceSplit, SplitPool, StaticEnumerator,
};
use flott_operators::{TaskClock, TaskError};
use flott_record::Record;
use serde::{Deserialize, Serialize};

/// A reader that fell behind its rate catches up on at most so much.
const LONGEST_CATCH_UP_MS: f64 = 1_000.0;

/// Makes record after record by calling a function with 0, 1, 2, …; each number is used once in the
/// whole job, and in order in each subtask.
///
/// ```
/// # use flott_connectors::datagen::DataGeneratorSource;
///
/// let squares = DataGeneratorSource::new(|index| index * index, 1_000);
/// let ticks = DataGeneratorSource::unbounded(|index| format!("tick {index}")).rate_per_second(5.0);
/// # let _ = (squares, ticks);
/// ```
pub struct DataGeneratorSource<T, F> {
    generate: F,
    count: Option<u64>,
    rate: Option<f64>,
    types: PhantomData<fn() -> T>,
}

impl<T: Record, F: Fn(u64) -> T + Clone + Send + Sync + 'static> DataGeneratorSource<T, F> {
    /// So many records, then the source ends.
    pub fn new(generate: F, count: u64) -> Self {
        Self {
            generate,
            count: Some(count),
            rate: None,
            types: PhantomData,
        }
    }

    /// Records without end.
    pub fn unbounded(generate: F) -> Self {
        Self {
            generate,
            count: None,
            rate: None,
            types: PhantomData,
        }
    }

    /// At most so many records per second, all subtasks together. Default: as fast as possible.
    ///
    /// # Panics
    /// If it is not a positive number.
    #[must_use]
    pub fn rate_per_second(mut self, records: f64) -> Self {
        assert!(
            records.is_finite() && records > 0.0,
            "a rate is a positive number of records per second"
        );
        self.rate = Some(records);
        self
    }
}

/// Every `step`-th number from `next` on, below `end`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorSplit {
    next: u64,
    step: u64,
    end: u64,
}

impl SourceSplit for GeneratorSplit {
    fn split_id(&self) -> String {
        format!("{} of {}", self.next % self.step, self.step)
    }
}

impl<T, F> Source for DataGeneratorSource<T, F>
where
    T: Record,
    F: Fn(u64) -> T + Clone + Send + Sync + 'static,
{
    type Out = T;
    type Split = GeneratorSplit;
    type Enumerator = StaticEnumerator<GeneratorSplit>;
    type Reader = GeneratorReader<T, F>;

    fn boundedness(&self) -> Boundedness {
        match self.count {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::ContinuousUnbounded,
        }
    }

    fn create_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Self::Enumerator, TaskError> {
        let step = u64::from(context.parallelism().max(1));
        let end = self.count.unwrap_or(u64::MAX);
        let mut pool = SplitPool::new(context.parallelism());
        for next in 0..step {
            pool.add_to(next as u32, GeneratorSplit { next, step, end });
        }
        Ok(StaticEnumerator::new(pool))
    }

    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        pool: SplitPool<GeneratorSplit>,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(pool.rescaled(context.parallelism())))
    }

    fn create_reader(&self, context: &ReaderContext) -> Result<Self::Reader, TaskError> {
        let pace = self.rate.map(|rate| {
            // The subtasks take turns.
            let gap_ms = 1_000.0 / rate;
            let first = context.clock().now() as f64 + gap_ms * f64::from(context.subtask_index());
            Pace::new(first, gap_ms * f64::from(context.parallelism().max(1)))
        });
        Ok(GeneratorReader {
            generate: self.generate.clone(),
            splits: VecDeque::new(),
            current: String::new(),
            pace,
            clock: context.clock().clone(),
            types: PhantomData,
        })
    }
}

/// When records are due.
#[derive(Debug)]
struct Pace {
    /// When the next one is due, in milliseconds since the epoch.
    due_ms: f64,
    gap_ms: f64,
}

impl Pace {
    fn new(first_ms: f64, gap_ms: f64) -> Self {
        Self {
            due_ms: first_ms,
            gap_ms,
        }
    }

    /// How many are due.
    fn due(&mut self, now: i64) -> u64 {
        let now = now as f64;
        self.due_ms = self.due_ms.max(now - LONGEST_CATCH_UP_MS.max(self.gap_ms));
        if self.due_ms > now {
            return 0;
        }
        ((now - self.due_ms) / self.gap_ms) as u64 + 1
    }

    fn made(&mut self, records: u64) {
        self.due_ms += self.gap_ms * records as f64;
    }

    fn wake_at(&self) -> i64 {
        self.due_ms.ceil() as i64
    }
}

/// Reads [`DataGeneratorSource`].
pub struct GeneratorReader<T, F> {
    generate: F,
    /// All of them are read, in turn: an unbounded one never ends.
    splits: VecDeque<GeneratorSplit>,
    current: String,
    pace: Option<Pace>,
    clock: TaskClock,
    types: PhantomData<fn() -> T>,
}

impl<T, F> SourceReader for GeneratorReader<T, F>
where
    T: Record,
    F: Fn(u64) -> T + Send + 'static,
{
    type Out = T;
    type Split = GeneratorSplit;

    fn max_splits(&self) -> usize {
        usize::MAX
    }

    fn add_split(&mut self, split: GeneratorSplit) -> Result<(), TaskError> {
        self.splits.push_back(split);
        Ok(())
    }

    fn fill(&mut self, batch: &mut Batch<T>) -> Result<ReaderProgress, TaskError> {
        if self.splits.len() > 1 {
            self.splits.rotate_left(1);
        }
        let Some(split) = self.splits.front_mut() else {
            return Ok(ReaderProgress::Pending);
        };
        let mut room = batch_rows::<T>() as u64;
        if let Some(pace) = &mut self.pace {
            room = room.min(pace.due(self.clock.now()));
            if room == 0 {
                self.clock.wake_at(pace.wake_at());
                return Ok(ReaderProgress::Pending);
            }
        }
        self.current = split.split_id();
        let mut made = 0;
        while made < room && split.next < split.end {
            batch.push((self.generate)(split.next), NO_TIMESTAMP);
            split.next = split.next.saturating_add(split.step);
            made += 1;
        }
        if let Some(pace) = &mut self.pace {
            pace.made(made);
        }
        if split.next < split.end {
            return Ok(ReaderProgress::More);
        }
        self.splits.pop_front();
        Ok(ReaderProgress::SplitFinished)
    }

    fn current_split(&self) -> Option<&str> {
        Some(&self.current)
    }

    fn snapshot(&self) -> Vec<GeneratorSplit> {
        self.splits.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flott_filesystem::FileSystems;
    use flott_operators::SubtaskContext;
    use flott_operators::source::conformance;

    use super::*;

    #[test]
    fn conforms() {
        let files = Arc::new(FileSystems::local());
        for count in [0, 1, 10_000] {
            let source = DataGeneratorSource::new(|index| index * 3, count);
            conformance::check(&source, &files, (0..count).map(|n| n * 3).collect());
        }
    }

    #[test]
    fn subtasks_together_keep_the_rate() {
        let rate = 250.0;
        let source = DataGeneratorSource::unbounded(|index| index).rate_per_second(rate);
        let contexts: Vec<SubtaskContext> = (0..3)
            .map(|subtask| SubtaskContext {
                subtask,
                parallelism: 3,
                clock: TaskClock::manual(5_000),
                ..SubtaskContext::for_tests("generator")
            })
            .collect();
        let mut readers: Vec<_> = contexts
            .iter()
            .map(|context| {
                let mut reader = source.create_reader(&ReaderContext::new(context)).unwrap();
                let next = u64::from(context.subtask);
                let split = GeneratorSplit {
                    next,
                    step: 3,
                    end: u64::MAX,
                };
                reader.add_split(split).unwrap();
                reader
            })
            .collect();
        let (mut count, mut at) = (0_u64, 5_000);
        while at < 15_000 {
            for (reader, context) in readers.iter_mut().zip(&contexts) {
                context.clock.set(at);
                let mut batch = Batch::default();
                while reader.fill(&mut batch).unwrap() == ReaderProgress::More {}
                count += batch.len() as u64;
                assert!(context.clock.next_wake().is_some_and(|wake| wake > at));
                context.clock.take_due(i64::MAX);
            }
            let so_far = rate * (at - 5_000) as f64 / 1_000.0;
            assert!((count as f64 - so_far).abs() <= 3.0, "{count} at {at}");
            at += 7;
        }
        // A reader that was held up does not make up for all of it.
        contexts[0].clock.set(1_000_000);
        let mut batch = Batch::default();
        while readers[0].fill(&mut batch).unwrap() == ReaderProgress::More {}
        assert!(batch.len() <= 90, "{} at once", batch.len());
    }
}
