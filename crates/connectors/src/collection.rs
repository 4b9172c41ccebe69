//! Records that are in the program.

use std::sync::Arc;

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::TaskError;
use flott_operators::source::{
    Boundedness, EnumeratorContext, ReaderContext, ReaderProgress, Source, SourceReader,
    SourceSplit, SplitPool, StaticEnumerator,
};
use flott_record::Record;
use serde::{Deserialize, Serialize};

/// Emits the items one by one, in order, in one subtask.
pub struct CollectionSource<T> {
    items: Arc<Vec<T>>,
}

impl<T> CollectionSource<T> {
    /// All these items.
    pub fn new(items: impl IntoIterator<Item = T>) -> Self {
        Self {
            items: Arc::new(items.into_iter().collect()),
        }
    }
}

/// The items from a position on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionSplit {
    next: u64,
}

impl SourceSplit for CollectionSplit {
    fn split_id(&self) -> String {
        "items".to_owned()
    }
}

impl<T: Record + Sync> Source for CollectionSource<T> {
    type Out = T;
    type Split = CollectionSplit;
    type Enumerator = StaticEnumerator<CollectionSplit>;
    type Reader = CollectionReader<T>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Self::Enumerator, TaskError> {
        let mut pool = SplitPool::new(context.parallelism());
        pool.add([CollectionSplit { next: 0 }]);
        Ok(StaticEnumerator::new(pool))
    }

    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        pool: SplitPool<CollectionSplit>,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(pool.rescaled(context.parallelism())))
    }

    fn create_reader(&self, _: &ReaderContext) -> Result<Self::Reader, TaskError> {
        Ok(CollectionReader {
            items: Arc::clone(&self.items),
            split: None,
        })
    }
}

/// Reads [`CollectionSource`].
pub struct CollectionReader<T> {
    items: Arc<Vec<T>>,
    split: Option<CollectionSplit>,
}

impl<T: Record + Sync> SourceReader for CollectionReader<T> {
    type Out = T;
    type Split = CollectionSplit;

    fn add_split(&mut self, split: CollectionSplit) -> Result<(), TaskError> {
        self.split = Some(split);
        Ok(())
    }

    fn fill(&mut self, batch: &mut Batch<T>) -> Result<ReaderProgress, TaskError> {
        let Some(split) = &mut self.split else {
            return Ok(ReaderProgress::Pending);
        };
        let from = usize::try_from(split.next).unwrap_or(usize::MAX);
        let rest = self.items.get(from..).unwrap_or_default();
        for item in rest.iter().take(batch_rows::<T>()) {
            batch.push(item.clone(), NO_TIMESTAMP);
            split.next += 1;
        }
        if split.next < self.items.len() as u64 {
            return Ok(ReaderProgress::More);
        }
        self.split = None;
        Ok(ReaderProgress::SplitFinished)
    }

    fn snapshot(&self) -> Vec<CollectionSplit> {
        self.split.clone().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use flott_filesystem::FileSystems;
    use flott_operators::source::conformance;

    use super::*;

    #[test]
    fn conforms() {
        let files = Arc::new(FileSystems::local());
        for count in [0, 1, 5_000] {
            let items: Vec<u64> = (0..count).collect();
            conformance::check(&CollectionSource::new(items.clone()), &files, items);
        }
    }
}
