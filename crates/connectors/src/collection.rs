//! Records that are in the program.

use std::sync::Arc;

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::TaskError;
use flott_operators::source::{Progress, Reader};
use flott_record::Record;

/// Emits the items one by one, in order.
pub struct CollectionReader<T> {
    items: Arc<Vec<T>>,
    next: usize,
}

impl<T> CollectionReader<T> {
    /// All these items.
    pub fn new(items: Arc<Vec<T>>) -> Self {
        Self { items, next: 0 }
    }
}

impl<T: Record + Sync> Reader for CollectionReader<T> {
    type Out = T;

    fn fill(&mut self, out: &mut Batch<T>) -> Result<Progress, TaskError> {
        let end = self.items.len().min(self.next + batch_rows::<T>());
        for item in &self.items[self.next..end] {
            out.push(item.clone(), NO_TIMESTAMP);
        }
        self.next = end;
        Ok(if end == self.items.len() {
            Progress::End
        } else {
            Progress::More
        })
    }
}
